"""A call to the event that it is: clear, backward, step, clip, and what libraries call them."""

from __future__ import annotations

import re
from dataclasses import replace
from weakref import WeakKeyDictionary

import libcst as cst

from loopguard.events import Kind
from loopguard.lifecycles import closure as closures
from loopguard.lifecycles import loss as losses
from loopguard.static.collected import leaves
from loopguard.static.library import (
    CLIPPERS,
    NEEDS_CLOSURE,
    OPTIMIZER_NAME,
    SCALER_NAME,
    SCHEDULER_NAME,
)
from loopguard.static.lowering import modes, replacement, scaling, schedules
from loopguard.static.lowering.arguments import Arguments
from loopguard.static.lowering.constructors import is_optimizer_like
from loopguard.static.lowering.context import Accumulation, Context
from loopguard.static.lowering.tensors import provenance
from loopguard.static.paths.graph import Assumption, Condition
from loopguard.static.paths.guards import SYNC
from loopguard.static.scope import File
from loopguard.static.syntax import code_of, text_of
from loopguard.static.values import (
    Attachment,
    Bound,
    Const,
    Function,
    Gradient,
    Group,
    Inert,
    Params,
    Partial,
    Ref,
    Role,
    Table,
    Tensor,
    Thing,
    Value,
)
from loopguard.static.wording import Wording

_TRAINS = Wording(
    r"backward|back_prop|backprop|(?:^|_)(?:bwd|train|fit|learn|optimize|closure)(?:_|$)|train_(?:step|batch|one)|update_(?:param|weight|model|net)|"
    r"^(?:run_)?step$|forward_backward|optimize_|"
    r"^replay$",  # a CUDA graph replays what it has captured, an agent its memory
    re.IGNORECASE,
)
_CONSTRUCTION = Wording(r"^_{0,2}[A-Z]|^(?:build|create|make|init|setup|get|wrap)_?", re.ASCII)
_METRIC_AND_EPOCH = 2
"""How many arguments the step of a learning-rate schedule takes at most."""
_LOSS_NAME = Wording(r"loss|err|cost|objective|criterion", re.IGNORECASE)

_said: WeakKeyDictionary[File, dict[str, bool]] = WeakKeyDictionary()


def may_train(name: str) -> bool:
    """Whether code behind this name may well run a backward pass or a step."""
    return _TRAINS.search(name) is not None


def must_train(ctx: Context, name: str) -> bool:
    """Whether code behind this name is the only one that may run the backward pass.

    Lightning's `training_step` only computes a loss, which somebody else differentiates. Where nobody in the file does
    that, somebody's `training_step` must, as Megatron's do.
    """
    return name == "training_step" and "backward" not in code_of(ctx.file.source.text)


def is_construction(name: str) -> bool:
    """Whether a call of this name makes an object rather than does something to its arguments."""
    return _CONSTRUCTION.search(name) is not None and not may_train(name)


def is_super(node: cst.BaseExpression) -> bool:
    """Whether an expression is `super()`."""
    return type(node) is cst.Call and type(node.func) is cst.Name and node.func.value == "super"


def method_event(ctx: Context, node: cst.Call, owner: Value, name: str, arguments: Arguments) -> Value | None:
    """Lower `owner.name(...)` if it is an event. Returns its value, or None if it is no event."""
    if isinstance(owner, Gradient):
        return _gradient_method(ctx, node, owner, name, arguments)
    handler = _METHODS.get(name)
    if handler is not None:
        return handler(ctx, node, owner, arguments)
    if scaling.is_clip(name):
        target = arguments.get(0, "parameters") or owner
        ctx.emit(Kind.CLIP, node, target)
        return Const(...)
    return None


def _gradient_method(ctx: Context, node: cst.Call, owner: Gradient, name: str, arguments: Arguments) -> Value:
    zeroes = name == "zero_" or (
        name in ("mul_", "fill_") and bool(arguments.positional) and _is_zero(arguments.positional[0])
    )
    if zeroes:
        ctx.emit(Kind.CLEAR, node, owner.of, maybe=owner.of is None)
        return owner
    return owner if name in ("detach", "data", "view", "clone", "to", "flatten") else Tensor()


def _is_zero(value: Value) -> bool:
    return isinstance(value, Const) and value.value == 0 and value.value is not False


def _zero_grad(ctx: Context, node: cst.Call, owner: Value, arguments: Arguments) -> Value | None:
    things = _objects(ctx, owner, node)
    if not things:
        ctx.emit(Kind.CLEAR, node, None, maybe=True)
    for thing in things:
        if thing.role is Role.OPAQUE and OPTIMIZER_NAME.search(thing.label):
            thing.role = Role.OPTIMIZER
        gated(ctx, node, thing, Kind.CLEAR)
    return Const(None)


def _objects(ctx: Context, owner: Value, node: cst.Call) -> list[Thing]:
    """The things that a method is called on, each in turn for a group."""
    if isinstance(owner, Thing):
        return [owner]
    if isinstance(owner, Group | Table):
        inner = (item for item in leaves(owner) if not isinstance(item, Group | Table))
        return list(dict.fromkeys(thing for item in inner for thing in _objects(ctx, item, node)))
    if isinstance(owner, Ref | Inert) and isinstance(node.func, cst.Attribute):
        name = text_of(node.func.value)
        return [ctx.implicit(name)] if not name[:1].isupper() else []
    return []


def gated(
    ctx: Context,
    node: cst.Call,
    thing: Thing,
    kind: Kind,
    clears_itself: bool = False,
    via: str = "",
    scaler: Thing | None = None,
) -> None:
    """Emit a clear or step; within `accumulate()` a prepared optimizer does it at the end of a window only."""
    if not (ctx.accumulating and thing.role is Role.OPTIMIZER):
        ctx.emit(kind, node, thing, clears_itself=clears_itself, via=via or ctx.accumulating, scaler=scaler)
        return
    condition = Condition(SYNC, SYNC, frozenset({SYNC}), SYNC)
    when = Assumption(condition, True)
    around = ctx.graph.split(when)
    ctx.guards.append(when)
    ctx.emit(kind, node, thing, clears_itself=clears_itself, via=ctx.accumulating)
    ctx.guards.pop()
    ctx.graph.frontier = [*ctx.graph.frontier, *around]


def _step(ctx: Context, node: cst.Call, owner: Value, arguments: Arguments) -> Value | None:
    things = _objects(ctx, owner, node)
    result: Value | None = None
    given = arguments.get(0, "optimizer")
    if not things and isinstance(given, Thing) and is_optimizer_like(given):
        # Whatever the scaler is, here it steps.
        given.role = Role.OPTIMIZER
        gated(ctx, node, given, Kind.STEP, given.clears_itself)
        return Const(None)
    for thing in things:
        result = _step_of(ctx, node, thing, arguments) or result
    return result


def _step_of(ctx: Context, node: cst.Call, thing: Thing, arguments: Arguments) -> Value | None:
    first = arguments.get(0, "closure", "optimizer")
    if first is not None and is_optimizer_like(first) and thing.role is not Role.OPTIMIZER:
        if thing.role is Role.SCALER or SCALER_NAME.search(thing.label) or thing.role is Role.OPAQUE:
            assert isinstance(first, Thing)
            first.role = Role.OPTIMIZER
            scaler = thing if scaling.is_scaler(thing) else None
            gated(ctx, node, first, Kind.STEP, first.clears_itself, via=thing.label, scaler=scaler)
            return Const(None)
    if thing.role is Role.SCHEDULER or (thing.role is not Role.OPTIMIZER and SCHEDULER_NAME.search(thing.label)):
        if len(arguments.positional) > _METRIC_AND_EPOCH:
            return None  # one that samples from a diffusion model: `scheduler.step(noise, time, sample)`
        ctx.emit(Kind.SCHEDULE, node, thing)
        return Const(None)
    if thing.role is Role.ENGINE or (thing.backs and thing.role in (Role.OPAQUE, Role.MODULE)):
        thing.role = Role.ENGINE
        thing.clears_itself = True
        ctx.emit(Kind.STEP, node, thing, clears_itself=True)
        return Const(None)
    if thing.role is Role.OPAQUE and _looks_like_optimizer(ctx, thing):
        thing.role = Role.OPTIMIZER
    if thing.role is not Role.OPTIMIZER:
        return None
    if first is None:
        if thing.dotted in NEEDS_CLOSURE:
            ctx.note(closures.Mistake.ABSENT, node, thing.label)
        gated(ctx, node, thing, Kind.STEP, thing.clears_itself)
        return Const(None)
    if isinstance(first, Function | Bound | Partial):
        return _closure_step(ctx, node, thing, first)
    if isinstance(first, Const) and first.value is None:
        gated(ctx, node, thing, Kind.STEP, thing.clears_itself)
        return Const(None)
    # A closure that cannot be read, or a library whose `step` takes something else (a loss, a context).
    ctx.emit(Kind.UNKNOWN, node, thing)
    ctx.emit(Kind.STEP, node, thing)
    ctx.emit(Kind.UNKNOWN, node, None)
    return Thing("")


def _looks_like_optimizer(ctx: Context, thing: Thing) -> bool:
    if thing.holds is not None or OPTIMIZER_NAME.search(thing.label):
        return True
    name = thing.label.rsplit(".", 1)[-1]
    return bool(name) and _says(ctx.file, f"{name}.zero_grad(")


def is_engine_like(ctx: Context, thing: Thing) -> bool:
    """Whether a thing of which nothing else is known clears and steps by itself, so that it may run backward, too."""
    name = thing.label.rsplit(".", 1)[-1]
    return bool(name) and _says(ctx.file, f"{name}.zero_grad(") and _says(ctx.file, f"{name}.step(")


def _says(file: File, words: str) -> bool:
    """Whether some words are in the text of a file."""
    known = _said.setdefault(file, {})
    if words not in known:
        known[words] = words in file.source.text
    return known[words]


def _closure_step(ctx: Context, node: cst.Call, thing: Thing, closure: Function | Bound | Partial) -> Value:
    size = len(ctx.graph.nodes)
    result = ctx.call(ctx, closure, node)
    events = [item.event for item in ctx.graph.nodes[size:] if item.event is not None]
    kinds = {event.kind for event in events}
    if Kind.UNKNOWN not in kinds and not ctx.silent and ctx.graph.reachable:
        if Kind.BACKWARD not in kinds and Kind.ASSIGN not in kinds and Kind.READ not in kinds:
            if not closures.USES_GRADIENTS.search(_closure_text(closure)):
                ctx.note(closures.Mistake.NO_BACKWARD, node, thing.label)
                ctx.emit(Kind.UNKNOWN, node, None)
        elif not kinds & {Kind.CLEAR, Kind.ASSIGN} and thing.dotted in NEEDS_CLOSURE:
            ctx.note(closures.Mistake.NO_CLEAR, node, thing.label)
            ctx.emit(Kind.UNKNOWN, node, None)
        if thing.dotted in NEEDS_CLOSURE and isinstance(result, Const) and result.value is None:
            ctx.note(closures.Mistake.NO_RETURN, node, thing.label)
    ctx.emit(Kind.STEP, node, thing, clears_itself=thing.clears_itself)
    return result


def _closure_text(closure: Function | Bound | Partial) -> str:
    inner = closure.function if isinstance(closure, Partial) else closure
    function = inner.function if isinstance(inner, Bound) else inner
    return function.file.tree.source(function.node)


def _backward(ctx: Context, node: cst.Call, owner: Value, arguments: Arguments) -> Value | None:
    if isinstance(owner, Ref | Inert):
        if isinstance(owner, Ref) and owner.dotted == "torch.autograd":
            return function_event(ctx, node, "torch.autograd.backward", arguments)
        if not arguments.positional:
            owner = ctx.implicit(text_of(node.func.value)) if isinstance(node.func, cst.Attribute) else owner
        else:
            ctx.emit(Kind.UNKNOWN, node, None)
            return Const(None)
    first = arguments.get(0, "loss", "gradient")
    loss, written = provenance(owner), _receiver(node)
    seeded = first is not None and not isinstance(first, Const)
    inputs = arguments.keywords.get("inputs")
    if inputs is not None:
        deposit(ctx, node, replace(provenance(inputs), ancestors=loss.ancestors, born=loss.born), written)
        return Const(None)
    if isinstance(owner, Thing) and first is not None and seeded and not _LOSS_NAME.search(owner.label):
        named = _LOSS_NAME.search(arguments.written)
        runs = owner.role in (Role.ACCELERATOR, Role.ENGINE, Role.SCALER)
        if runs or (named and (owner.role is not Role.OPAQUE or not owner.captured)):
            loss = provenance(first)
            written, seeded = arguments.written, False
            if owner.role in (Role.OPAQUE, Role.MODULE):
                owner.backs = True  # `engine.backward(loss)`: its step, if it has one, clears by itself
                loss = replace(loss, divided=True)  # and the engine may average what a window sums
        else:
            # `y.backward(gradient)`: what is known of the gradient says nothing of `y`.
            loss = replace(loss, graph=Attachment.MAYBE, cut="", complete=False)
    elif isinstance(owner, Group):
        loss = provenance(owner)
    deposit(ctx, node, loss, "" if seeded else written)
    return Const(None)


def deposit(ctx: Context, node: cst.CSTNode, loss: Tensor, written: str) -> None:
    """Emit a backward pass from `loss`, which is `written` so: as nothing if the pass is given a gradient."""
    if loss.graph is Attachment.NO and loss.cut and not ctx.silent:
        # Where the backward pass itself stands in a block without recording, it is the block that is wrong.
        mistake = modes.GRAD_OFF if loss.cut == ctx.grad_off else losses.Mistake.NO_GRAPH
        ctx.note(mistake, node, written or "loss", how=loss.cut)
        ctx.emit(Kind.UNKNOWN, node, None)
        return
    event = ctx.emit(Kind.BACKWARD, node, loss=loss, via=ctx.accumulating, written=written)
    loops = tuple(ctx.loops)
    if event is not None and len(loss.born) > len(loops) and loss.born[: len(loops)] == loops:
        left = loss.born[len(loops)]
        if left.batches and not left.breaks and not loss.carried:
            ctx.note(losses.Mistake.LAST_ONLY, node, written or "loss", loop=left.text)


def _receiver(node: cst.Call) -> str:
    """What the method is called on, as it is written: the loss itself where a scaler has multiplied it."""
    inner = node.func.value if isinstance(node.func, cst.Attribute) else node.func
    if isinstance(inner, cst.Call) and isinstance(inner.func, cst.Attribute) and inner.func.attr.value == "scale":
        inner = inner.args[0].value if inner.args else inner
    return text_of(inner)


def _requires_grad(ctx: Context, node: cst.Call, owner: Value, arguments: Arguments) -> Value | None:
    for thing in owner.of if isinstance(owner, Params) else (owner,) if isinstance(owner, Thing) else ():
        thing.toggled = True
    replacement.freeze(ctx, owner, arguments.get(0, "requires_grad") or Const(True))
    return owner if isinstance(owner, Thing | Params) else None


def _load(ctx: Context, node: cst.Call, owner: Value, arguments: Arguments) -> Value | None:
    assign = arguments.keywords.get("assign")
    if isinstance(owner, Thing) and isinstance(assign, Const) and assign.value is True:
        replacement.whole(ctx, node, owner)
    return None


_METHODS = {
    "zero_grad": _zero_grad,
    "zero_gradients": _zero_grad,
    "step": _step,
    "backward": _backward,
    "requires_grad_": _requires_grad,
    "unscale_": scaling.unscale,
    "update": scaling.update,
    "eval": modes.switch_to_eval,
    "train": modes.switch_to_train,
    "load_state_dict": _load,
    "set_epoch": schedules.set_epoch,
}


EVENT_METHODS = frozenset(_METHODS)
"""The names of methods that are events on the right object."""


def function_event(ctx: Context, node: cst.Call, dotted: str, arguments: Arguments) -> Value | None:
    """Lower a call of an outside function if it is an event."""
    last = dotted.rsplit(".", 1)[-1]
    first = arguments.get(0, "tensors", "parameters", "loss")
    if last in CLIPPERS:
        ctx.emit(Kind.CLIP, node, first)
        return Const(...)
    if dotted == "torch.autograd.backward":
        seeded = not isinstance(arguments.get(1, "grad_tensors"), Const | None)
        deposit(ctx, node, provenance(first), "" if seeded else arguments.written)
        return Const(None)
    if "distributed.autograd" in dotted or "dist_autograd" in dotted:
        return Const(None)  # gradients of distributed autograd live in a context of their own
    if last in ("_foreach_zero_", "_foreach_mul_") and isinstance(first, Gradient | Group | Params):
        of = first.of if isinstance(first, Gradient) else None
        ctx.emit(Kind.CLEAR, node, of, maybe=of is None)
        return Const(None)
    if dotted == "setattr" and len(arguments.positional) > 2:
        name, value = arguments.positional[1:3]
        if isinstance(name, Const) and name.value == "grad" and isinstance(value, Const) and value.value is None:
            of = first if isinstance(first, Params) else Params((first,)) if isinstance(first, Thing) else None
            ctx.emit(Kind.CLEAR, node, of, maybe=of is None)
        return Const(None)
    return None


def appended(ctx: Context, node: cst.Call, group: Group, value: Value) -> None:
    """Record `losses.append(loss)`: it keeps the loss, and with it its graph."""
    if isinstance(node.func, cst.Attribute):
        owner = node.func.value
        storage = ctx.storage(owner)[1] if isinstance(owner, cst.Name | cst.Attribute) else ""
        keep(ctx, node, text_of(owner), value, -group.number, storage)


def keep(ctx: Context, node: cst.CSTNode, into: str, value: Value, total: int, storage: str) -> None:
    """Record that `value` is kept in `into` beyond its iteration, if it may have a graph."""
    kept = provenance(value)
    if ctx.silent or not ctx.loops or kept.graph is Attachment.NO or not kept.ancestors or ctx.grad_off:
        return
    if not isinstance(value, Tensor | Thing):
        return
    ctx.accumulations.append(Accumulation(ctx.site(node), text_of(node), into, kept, total, tuple(ctx.loops), storage))
