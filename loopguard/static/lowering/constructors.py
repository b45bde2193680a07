"""Calls that make something: optimizers and what they hold, modules, scalers, wrapped objects, data, tensors."""

from __future__ import annotations

import re
from collections.abc import Sequence

import libcst as cst

from loopguard.events import Kind
from loopguard.static.library import (
    DATA_NAME,
    GRAPH_CUTTERS,
    MEAN_CRITERIA,
    MEAN_FUNCTIONS,
    OPTIMIZER_NAME,
    SAME_MODULE,
    SAME_OPTIMIZER,
    SCHEDULER_NAME,
)
from loopguard.static.lowering import iteration, replacement, scaling, schedules, wrappers
from loopguard.static.lowering.arguments import Arguments
from loopguard.static.lowering.context import Context
from loopguard.static.lowering.objects import attribute_of, derives_from, is_module
from loopguard.static.lowering.tensors import computed, detached, provenance
from loopguard.static.steps import spend
from loopguard.static.values import (
    Attachment,
    Bound,
    Class,
    Const,
    Function,
    Group,
    Inert,
    Method,
    Params,
    Partial,
    Ref,
    Role,
    Table,
    Tensor,
    Thing,
    Value,
    things_in,
)
from loopguard.static.wording import Wording

NEW = "made anew"
"""How the beginning of an optimizer's life is marked."""

_PARAMETERS = Wording(r"param", re.IGNORECASE)
_MAKES_OPTIMIZER = Wording(r"optim", re.IGNORECASE)
_MAKES_MODULE = Wording(
    r"^(?:get|build|create|make|init|load)_?\w*(?:model|net|module|generator|discriminator|encoder|agent)"
)
_NOT_OPTIMIZER = Wording(r"sched|ema|average|clip|norm|logger|param|lr_|count|zero|step|save|load|state", re.IGNORECASE)


def from_receiver(ctx: Context, node: cst.Call, owner: Value, name: str, arguments: Arguments) -> Value | None:
    """What `owner.name(...)` makes, or None if it is nothing that is known here."""
    if isinstance(owner, Thing):
        if name in ("parameters", "named_parameters") or (
            _PARAMETERS.search(name) and name.startswith(("get_", "trainable"))
        ):
            return Params((owner,), partial=name not in ("parameters", "named_parameters"))
        if name in ("children", "modules", "named_modules", "named_children"):
            return Thing("", captured=(owner,), parent=owner)
        wrapped = wrappers.made_by_method(owner, name, arguments)
        if wrapped is not None:
            return wrapped
        if name == "scale" and arguments.positional and owner.role is not Role.DATA:
            if owner.role is Role.SCALER or "scal" in owner.label.lower():
                return scaling.scaled(owner, arguments.positional[0])
        if (
            _MAKES_OPTIMIZER.search(name)
            and not _NOT_OPTIMIZER.search(name)
            and re.match(r"(?:configure|make|build|create|get|init)", name)
        ):
            if owner.cls is None:
                module = owner.role is Role.MODULE or owner.known
                holds = holdings(arguments.values) or ((owner,) if module else None)
                return Thing("", Role.OPTIMIZER, holds=holds, known=True, captured=(owner,))
    if isinstance(owner, Tensor | Thing) and name in GRAPH_CUTTERS:
        if isinstance(owner, Tensor) or provenance(owner).sources:
            return detached(ctx, owner, f"`.{name}()`")
    if isinstance(owner, Tensor) and name == "requires_grad_" and not isinstance(node.func, cst.Name):
        attach(ctx, node.func, owner)
        return computed(ctx, [owner], attaches=True)
    if isinstance(owner, Tensor) and name in ("parameters", "named_parameters"):
        return Params(tuple(owner.sources), partial=True, complete=False)
    return None


def attach(ctx: Context, target: cst.BaseExpression, tensor: Tensor) -> None:
    """Let the variable behind `x.requires_grad_()` or `x.requires_grad = True` be a leaf that has a graph."""
    if isinstance(target, cst.Attribute) and isinstance(target.value, cst.Name):
        name = target.value.value
        ctx.env.home(name).set(name, computed(ctx, [tensor], attaches=True))


def _optimizer(ctx: Context, node: cst.CSTNode, holds: tuple[Thing, ...] | None, dotted: str) -> Thing:
    """A new optimizer. Where a loop builds one anew, nothing is known of the gradients that it finds."""
    made = Thing("", Role.OPTIMIZER, dotted=dotted, holds=holds, known=True)
    made.call = node if isinstance(node, cst.Call) else None
    made.frozen = bool(holds) and all(replacement.is_frozen(held) for held in holds or ())
    for thing in holds or ():
        thing.held = True
    ctx.emit(Kind.BUILD, node, made)
    if ctx.loops:
        ctx.emit(Kind.UNKNOWN, node, made, via=NEW)
    return made


def from_library(ctx: Context, node: cst.Call, dotted: str, arguments: Arguments) -> Value | None:
    """What a call of the outside function or class `dotted` makes, or None if nothing is known of it."""
    last = dotted.rsplit(".", 1)[-1]
    first = arguments.positional[0] if arguments.positional else None
    if dotted in SAME_MODULE or last in (
        "DistributedDataParallel",
        "DataParallel",
        "FullyShardedDataParallel",
        "fully_shard",
    ):
        if isinstance(first, Thing):
            first.replicated = first.replicated or last == "DistributedDataParallel"
            # With `use_orig_params` the parameters stay the objects that they are.
            kept = arguments.keywords.get("use_orig_params", Const(False))
            parted = isinstance(kept, Const) and kept.value is False
            if "fully_shard" in last.lower() or ("FullySharded" in last and parted):
                replacement.whole(ctx, node, first)
        return first if first is not None else Thing("")
    if dotted in SAME_OPTIMIZER:
        given = arguments.get(0, "optimizer", "init_optimizer")
        if isinstance(given, Thing) and given.role is Role.OPTIMIZER:
            return given
        return _optimizer(ctx, node, holdings(arguments.values), dotted)
    if dotted.startswith("torch.optim.") and not dotted.startswith(
        ("torch.optim.lr_scheduler", "torch.optim.swa_utils")
    ):
        if last[:1].isupper():
            given = arguments.get(0, "params")
            return _optimizer(ctx, node, holdings([given]), dotted)
    if "lr_scheduler" in dotted or (dotted.startswith(("transformers.", "timm.")) and SCHEDULER_NAME.search(last)):
        return schedules.scheduler(ctx, node, dotted, arguments)
    if last == "DistributedSampler":
        return schedules.sampler(ctx, node, dotted)
    if last == "GradScaler" or last == "ShardedGradScaler":
        return scaling.made(arguments)
    wrapped = wrappers.made_by_framework(ctx, node, dotted, arguments)
    if wrapped is not None:
        return wrapped
    if last == "DataLoader" or (last[:1].isupper() and DATA_NAME.search(last)):
        return schedules.loader(arguments)
    if dotted in ("copy.deepcopy", "copy.copy", "deepcopy", "torch.optim.swa_utils.AveragedModel"):
        return _copied(first)
    if dotted.startswith("torch."):
        return _from_torch(ctx, node, dotted, last, first, arguments)
    if dotted in ("float", "int", "round"):
        return detached(ctx, first, f"`{dotted}()`") if first is not None else Const(...)
    if dotted == "numpy.mean" or dotted.startswith("numpy."):
        return Tensor(complete=True)
    if dotted == "functools.partial":
        if isinstance(first, Function | Bound):
            return Partial(first, tuple(arguments.positional[1:]), dict(arguments.keywords))
        return first if first is not None else Thing("")
    if dotted == "next":
        return iteration.element(ctx, first) if first is not None else Thing("")
    if dotted == "getattr" and len(arguments.positional) > 1 and isinstance(arguments.positional[1], Const):
        return attribute_of(ctx, arguments.positional[0], str(arguments.positional[1].value))
    if dotted in ("sum", "max", "min", "abs", "pow") and first is not None and not isinstance(first, Params):
        return computed(ctx, arguments.positional)
    if dotted in (
        "len",
        "isinstance",
        "hasattr",
        "str",
        "bool",
        "id",
        "print",
        "type",
        "repr",
        "format",
        "any",
        "all",
    ):
        return Const(...)
    return None


def _copied(first: Value | None) -> Value:
    if isinstance(first, Thing):
        return Thing("", first.role, known=True, cls=first.cls)
    return first if first is not None else Thing("")


def _from_torch(
    ctx: Context, node: cst.Call, dotted: str, last: str, first: Value | None, arguments: Arguments
) -> Value | None:
    reduction = arguments.keywords.get("reduction")
    averaged = not isinstance(reduction, Const) or reduction.value == "mean"
    averaged = averaged and "size_average" not in arguments.keywords and "reduce" not in arguments.keywords
    if dotted.startswith("torch.nn.") and last[:1].isupper() and not dotted.startswith("torch.nn.Parameter"):
        if last in MEAN_CRITERIA:
            made = Thing("", Role.CRITERION, known=True)
            made.averages = averaged and not arguments.open
            return made
        module = Thing("", Role.MODULE, known=True, captured=_things(arguments))
        module.call = node
        return module
    if dotted.startswith("torch.nn.functional."):
        return computed(ctx, arguments.values, mean=last in MEAN_FUNCTIONS and averaged)
    if dotted == "torch.autograd.grad":
        return Tensor()
    if dotted.startswith(
        (
            "torch.nn.",
            "torch.distributed",
            "torch.multiprocessing",
            "torch.utils",
            "torch.autograd",
            "torch.hub",
        )
    ):
        if last.endswith("Parameter"):
            return Thing("", known=True)
        return None
    if dotted.startswith(
        (
            "torch.optim",
            "torch.amp",
            "torch.cuda",
            "torch.backends",
            "torch.load",
            "torch.save",
            "torch._foreach",
        )
    ):
        return None
    if last in ("device", "dtype", "manual_seed", "is_tensor", "is_grad_enabled", "get_rng_state") or last.startswith(
        "set_"
    ):
        return Const(...)
    if last[:1].isupper():
        return Thing("", known=True, captured=_things(arguments))
    if last in (
        "zeros",
        "ones",
        "randn",
        "rand",
        "tensor",
        "empty",
        "full",
        "randint",
        "from_numpy",
        "zeros_like",
        "ones_like",
        "randn_like",
        "as_tensor",
        "Tensor",
    ):
        if isinstance(first, Tensor) and first.graph is Attachment.NO and last in ("tensor", "as_tensor"):
            return detached(ctx, first, first.cut or f"`torch.{last}()`")
        grows = arguments.keywords.get("requires_grad")
        if isinstance(grows, Const):
            return Thing("", known=True)
        return Thing("", Role.DATA, known=True)
    return computed(ctx, [*(first.items if isinstance(first, Group) else ()), *arguments.values])


_Held = tuple[Thing, ...] | None


def holdings(values: Sequence[Value | None], known: dict[int, _Held] | None = None) -> _Held:
    """The modules or tensors whose parameters these arguments give to an optimizer; None if that cannot be told.

    `known` says it of collections that are among them more than once.
    """
    known = known if known is not None else {}
    found: list[Thing] = []
    spend(len(values) + 1)
    for value in values:
        if isinstance(value, Params):
            found += value.of
            # An optimizer that has parameters itself is learned: what flows through it is its own affair.
            if not value.complete or any(thing.role is Role.OPTIMIZER for thing in value.of):
                return None
        elif isinstance(value, Group | Table):
            if id(value) not in known:
                items = value.items if isinstance(value, Group) else list(value.items.values())
                parts = [item for item in items if isinstance(item, Params | Group | Table | Thing)]
                known[id(value)] = holdings(parts, known)
            inner = known[id(value)]
            if inner:
                found += inner
            elif isinstance(value, Group) and value.open:
                return None
        elif isinstance(value, Thing) and not value.label.startswith(("args", "cfg", "config", "hparams")):
            if value.role is Role.MODULE or (value.known and not value.captured):
                found.append(value)
            else:
                found += value.captured or (value,)
    return tuple(dict.fromkeys(found)) or None


def built(ctx: Context, node: cst.CSTNode, name: str, arguments: Arguments, callee: Value | None = None) -> Value:
    """What code that cannot be read, called `name`, may return."""
    last = name.rsplit(".", 1)[-1]
    values = arguments.values
    parameters = [value for value in values if isinstance(value, Params)]
    if (_MAKES_OPTIMIZER.search(last) and not _NOT_OPTIMIZER.search(last)) or (
        parameters and "lr" in arguments.keywords and not SCHEDULER_NAME.search(last)
    ):
        given = [value for value in values if isinstance(value, Thing) and value.role is Role.OPTIMIZER]
        if len(given) == 1 and isinstance(given[0], Thing):
            return given[0]
        holds = holdings([*parameters]) or holdings(
            [value for value in values if isinstance(value, Thing) and (value.role is Role.MODULE or value.known)]
        )
        return _optimizer(ctx, node, holds, name)
    if DATA_NAME.search(last):
        return Thing("", Role.DATA, known=True)
    if isinstance(callee, Thing) and callee.role is not Role.INSTANCE:
        return computed(ctx, values, through=callee, known=callee.known)
    makes = last[:1].isupper() or _MAKES_MODULE.search(last)
    if any(isinstance(value, Tensor) for value in values) and not makes:
        return computed(ctx, values, known=False)
    things = tuple(dict.fromkeys(thing for value in values for thing in things_in(value)))
    if isinstance(callee, Thing):
        things = (*things, callee)
    if last[:1].isupper() and SCHEDULER_NAME.search(last):
        return Thing("", Role.SCHEDULER, captured=things, known=True)
    if last.endswith("GradScaler") or last.endswith("NativeScaler"):
        return scaling.made(arguments)
    made = Thing("", captured=things, known=True)
    if isinstance(node, cst.Call):
        made.call, made.dotted = node, name
    return made


def instance(cls: Class, arguments: Arguments) -> Thing:
    """An object of a class of the project."""
    things = tuple(dict.fromkeys(thing for value in arguments.values for thing in things_in(value)))
    if derives_from(cls, "Optimizer", "Adam", "AdamW", "SGD", "LBFGS", "RMSprop", "Adagrad"):
        given = [thing for thing in things if thing.role is Role.OPTIMIZER]
        if given:
            return given[0]
        made = Thing("", Role.OPTIMIZER, holds=holdings(list(arguments.values)), known=True, cls=cls)
        step = cls.methods.get("step")
        made.clears_itself = step is not None and "zero_grad" in cls.file.tree.source(step)
        return made
    if is_module(cls):
        return Thing("", Role.MODULE, known=True, cls=cls, captured=things)
    return Thing("", Role.INSTANCE, known=True, cls=cls, captured=things)


def passed_through(arguments: Arguments) -> Value:
    """`list(x)`, `chain(x, y)`, `filter(f, x)`: a collection of what the arguments hold."""
    values = [value for value in arguments.positional if not isinstance(value, Method | Ref | Inert)]
    collections = [value for value in values if isinstance(value, Params)]
    if collections:
        of = tuple(dict.fromkeys(thing for value in collections for thing in value.of))
        whole = len(values) == 1 and not collections[0].partial
        rest = [value for value in values if isinstance(value, Thing | Group)]
        return Params(of, not whole, all(value.complete for value in collections) and not rest)
    return values[-1] if values else Group([], open=True)


def _things(arguments: Arguments) -> tuple[Thing, ...]:
    return tuple(dict.fromkeys(thing for value in arguments.values for thing in things_in(value)))


def is_optimizer_like(value: Value | None) -> bool:
    """Whether a value is an optimizer, or is called like one."""
    return isinstance(value, Thing) and (value.role is Role.OPTIMIZER or bool(OPTIMIZER_NAME.search(value.label)))
