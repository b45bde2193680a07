"""Calls: an event, a function of the project that is lowered in place, or code that cannot be read.

A function of the project is its own summary: what it does to the caller is the events that its body holds, lowered once
more for the arguments of this call. Recursion and depth are bounded; past the bound, a call is unknown code.
"""

from __future__ import annotations

import builtins
from functools import partial

import libcst as cst

from loopguard.events import Kind
from loopguard.static.library import (
    COMPUTES,
    HARMFUL_CALL,
    HARMLESS_RECEIVER,
    HOOK_CALL,
    NUMBERS,
    OPTIMIZER_HARMLESS,
    OPTIMIZER_NAME,
    PASS_THROUGH,
    SAME_METHODS,
    is_harmless,
)
from loopguard.static.lowering import constructors, exit_stacks, known, modes, recognise, replacement
from loopguard.static.lowering.arguments import Arguments
from loopguard.static.lowering.containers import container_method
from loopguard.static.lowering.context import Context
from loopguard.static.lowering.decorators import decoration_of
from loopguard.static.lowering.escapes import escape, escape_arguments, escape_callbacks, is_relevant_callback
from loopguard.static.lowering.managers import Managed, enter
from loopguard.static.lowering.objects import (
    attribute_of,
    bases_of,
    find_method,
    has_unread_base,
    is_abstract,
    is_declared,
)
from loopguard.static.lowering.relevance import globals_set_by, holds_events, is_relevant
from loopguard.static.lowering.tensors import computed, detached, join
from loopguard.static.syntax import text_of
from loopguard.static.values import (
    Bound,
    Class,
    Const,
    Counter,
    Function,
    Gradient,
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

_RUN_UNSEEN = frozenset(["__init__", "__enter__", "__exit__", "__aenter__", "__aexit__"])
"""Methods that are lowered whatever they hold: what they do, the text of others that they call by name may not tell."""


def lower_call(ctx: Context, node: cst.Call) -> Value:
    """Lower a call expression: receiver, arguments, then what the call does."""
    if type(node.func) is cst.Attribute:
        if recognise.is_super(node.func.value):
            return _super_call(ctx, node, node.func.attr.value)
        owner = ctx.evaluate(ctx, node.func.value)
        arguments = Arguments.lower(ctx, node)
        return call_method(ctx, node, owner, node.func.attr.value, arguments)
    callee = ctx.evaluate(ctx, node.func)
    arguments = Arguments.lower(ctx, node)
    return call_value(ctx, node, callee, arguments)


def call_method(ctx: Context, node: cst.Call, owner: Value, name: str, arguments: Arguments) -> Value:
    """Lower `owner.name(...)`."""
    event = known.known_method(ctx, node, owner, name, arguments)
    if event is not None:
        return event
    if isinstance(owner, Thing) and owner.cls is not None and owner.role in (Role.INSTANCE, Role.MODULE):
        found = find_method(owner.cls, name)
        if found is not None and name not in owner.attrs:
            return call_function(ctx, Bound(found[0], owner), arguments, node)
    made = constructors.from_receiver(ctx, node, owner, name, arguments)
    if made is not None:
        return made
    event = recognise.method_event(ctx, node, owner, name, arguments)
    if event is not None:
        return event
    if isinstance(owner, Thing) and (name in owner.attrs or is_declared(owner.cls, name)):
        attribute = attribute_of(ctx, owner, name)
        if not _is_kept_method(attribute, owner, name):
            return call_value(ctx, node, attribute, arguments)
    if isinstance(owner, Managed):
        ctx.emit(Kind.UNKNOWN, node, None)  # it is entered and left by hand
        escape(ctx, node, [owner])
        return Thing("")
    if name in exit_stacks.METHODS and isinstance(owner, Thing) and exit_stacks.is_stack(owner):
        return exit_stacks.on_stack(ctx, node, owner, name, arguments, partial(call_value, ctx, node))
    if isinstance(owner, Group | Table):
        return container_method(ctx, node, owner, name, arguments)
    if isinstance(owner, Thing | Tensor | Params | Gradient | Counter | Const):
        if isinstance(owner, Thing) and name in SAME_METHODS and owner.role is not Role.DATA:
            return owner
        return _foreign_method(ctx, node, owner, name, arguments)
    value = attribute_of(ctx, owner, name)
    if isinstance(value, Method):
        return unknown_call(ctx, node, name, arguments)
    return call_value(ctx, node, value, arguments)


def _is_kept_method(value: Value, owner: Thing, name: str) -> bool:
    """Whether an attribute of a thing is nothing but its method, which was looked at: `step = optimizer.step`."""
    return (
        name in recognise.EVENT_METHODS
        and isinstance(value, Thing)
        and value.parent is owner
        and value.role is Role.OPAQUE
        and value.cls is None
    )


def call_value(ctx: Context, node: cst.Call, callee: Value, arguments: Arguments) -> Value:
    """Lower a call of a value that is already known."""
    if isinstance(callee, Function | Bound | Ref):
        event = known.known_function(ctx, node, callee, arguments)
        if event is not None:
            return event
    if isinstance(callee, Function | Bound):
        return call_function(ctx, callee, arguments, node)
    if isinstance(callee, Managed):
        return unknown_call(ctx, node, text_of(node.func), arguments)  # it decorates what it is given
    if isinstance(callee, Partial):
        return call_function(ctx, callee.function, arguments.behind(callee), node)
    if isinstance(callee, Class):
        return instantiate(ctx, node, callee, arguments)
    if isinstance(callee, Ref):
        if callee.dotted == "torch.multiprocessing.spawn" and isinstance(arguments.get(0, "fn"), Function):
            return _spawned(ctx, node, arguments)
        made = constructors.from_library(ctx, node, callee.dotted, arguments)
        if made is not None:
            return made
        event = recognise.function_event(ctx, node, callee.dotted, arguments)
        if event is not None:
            return event
        if callee.dotted in PASS_THROUGH and arguments.positional:
            return constructors.passed_through(arguments)
        return known.remember(ctx, unknown_call(ctx, node, callee.dotted, arguments), callee.dotted)
    if isinstance(callee, Method):
        return call_method(ctx, node, callee.of, callee.name, arguments)
    if isinstance(callee, Inert):
        if callee.certain:
            escape_callbacks(ctx, node, arguments)  # it has no events of its own, and may run those that it is given
        else:
            escape_arguments(ctx, node, callee.name, arguments)
        return _built(ctx, node, callee.name, arguments)
    if isinstance(callee, Thing):
        if callee.runs:
            ctx.emit(Kind.UNKNOWN, node, None)
        name = callee.label.rsplit(".", 1)[-1]
        owner = callee.parent
        if owner is not None and owner.attrs.get(name) is callee and _is_kept_method(callee, owner, name):
            return call_method(ctx, node, owner, name, arguments)
        if callee.cls is not None:
            found = find_method(callee.cls, "__call__")
            if found is not None:
                return call_function(ctx, Bound(found[0], callee), arguments, node)
        event = known.known_object(ctx, node, callee, arguments)
        if event is not None:
            return event
        modes.called(ctx, node, callee)
        if callee.role in (Role.MODULE, Role.CRITERION, Role.ENGINE):
            forward = find_method(callee.cls, "forward") if callee.cls is not None else None
            if forward is not None and holds_events(forward[0].file, forward[0].node):
                ctx.emit(Kind.UNKNOWN, node, None)
            return computed(ctx, arguments.values, through=callee, mean=bool(callee.averages))
        return unknown_call(ctx, node, callee.label or text_of(node.func), arguments, callee)
    return unknown_call(ctx, node, text_of(node.func), arguments)


def _spawned(ctx: Context, node: cst.Call, arguments: Arguments) -> Value:
    """Lower `spawn(function, args)`: each process calls `function(rank, *args)`, and ends with it."""
    function, given = arguments.get(0, "fn"), arguments.get(1, "args")
    assert isinstance(function, Function)
    known = isinstance(given, Group) and not given.open
    rest = list(given.items) if isinstance(given, Group) else []
    call_function(ctx, function, Arguments([Thing("rank"), *rest], open=not known), node)
    return Const(None)


def call_function(ctx: Context, callee: Function | Bound, arguments: Arguments, node: cst.CSTNode) -> Value:
    """Lower the body of a function of the project in place of a call to it."""
    function = callee.function if isinstance(callee, Bound) else callee
    receiver = callee.self if isinstance(callee, Bound) else None
    definition = function.node
    # What a constructor is given may be anything, and is kept for later; a function may call what it is given.
    relevant = (
        is_relevant(function.file, definition)
        or _name_of(definition) in _RUN_UNSEEN
        or any(is_relevant_callback(value) for value in arguments.values)
    )
    if not ctx.follows(definition, matters=relevant):
        if relevant:
            ctx.emit(Kind.UNKNOWN, node, None)
        return Thing("")
    if receiver is not None and isinstance(definition, cst.FunctionDef) and is_abstract(definition):
        return constructors.built(ctx, node, _name_of(definition), arguments)
    if not relevant and isinstance(definition, cst.FunctionDef):
        replacement.handed_over([*arguments.values, *([receiver] if receiver is not None else [])])
        outer = function.env.root()
        ctx.assigned([f"{outer.number}:{name}" for name in globals_set_by(function.file, definition)])
        mode = _decorated_grad_mode(definition)
        if mode:
            return detached(ctx, Const(...), mode)
        return constructors.built(ctx, node, _name_of(definition), arguments, receiver)
    decoration = decoration_of(ctx, function)
    if decoration.manages:
        return Managed(callee, tuple(arguments.positional), arguments.keywords, arguments.open)
    if decoration.hidden:
        ctx.generators += 1
        ctx.emit(Kind.UNKNOWN, node, None)
        made = Thing("", captured=tuple(thing for value in arguments.values for thing in things_in(value)))
        made.runs = True
        return made
    leaving = [leave for manager in decoration.managers if (leave := enter(ctx, manager, node)[1]) is not None]
    frame = arguments.bind_to(ctx, function, receiver)
    ctx.active.append(definition)
    ctx.called.add(definition)
    saved = ctx.frame, ctx.jumps, ctx.calls, ctx.grad_off
    ctx.jumps = []
    if node is not definition and not isinstance(node, cst.FunctionDef):  # else nobody is known to call it
        ctx.calls = (*ctx.calls, (ctx.file, node))
    ctx.frame = frame
    try:
        if isinstance(definition, cst.Lambda):
            return ctx.evaluate(ctx, definition.body)
        ctx.grad_off = _decorated_grad_mode(definition) or ctx.grad_off
        ctx.run(ctx, definition.body)
        ctx.graph.frontier = [*ctx.graph.frontier, *frame.returns]
        for leave in reversed(leaving):
            leave(True)
        if not frame.results:
            return Const(None)
        result = frame.results[0]
        for other in frame.results[1:]:
            result = join(result, other)
        return result
    finally:
        ctx.frame, ctx.jumps, ctx.calls, ctx.grad_off = saved
        ctx.active.pop()


def _decorated_grad_mode(definition: cst.FunctionDef) -> str:
    for decorator in definition.decorators:
        text = text_of(decorator.decorator)
        if text.split("(")[0].rsplit(".", 1)[-1] in ("no_grad", "inference_mode"):
            return f"`@{text}`"
    return ""


def instantiate(ctx: Context, node: cst.Call, cls: Class, arguments: Arguments) -> Value:
    """Lower the construction of an object of a class of the project."""
    made = constructors.instance(cls, arguments)
    init = find_method(cls, "__init__")
    if init is not None and made.role is not Role.OPTIMIZER and is_relevant(cls.file, cls.node):
        call_function(ctx, Bound(init[0], made), arguments, node)
    return made


def _super_call(ctx: Context, node: cst.Call, name: str) -> Value:
    arguments = Arguments.lower(ctx, node)
    receiver = ctx.env.lookup("self")
    owner = ctx.frame.owner
    if isinstance(receiver, Thing) and owner is not None:
        for base in bases_of(owner):
            if isinstance(base, Class):
                found = find_method(base, name)
                if found is not None:
                    return call_function(ctx, Bound(found[0], receiver), arguments, node)
        if name != "__init__" and has_unread_base(owner) and not is_harmless(name):
            escape(ctx, node, [receiver])
        event = recognise.method_event(ctx, node, receiver, name, arguments)
        if event is not None:
            return event
    return Thing("")


def _foreign_method(ctx: Context, node: cst.Call, owner: Value, name: str, arguments: Arguments) -> Value:
    """A method of an object whose class cannot be read."""
    if name in NUMBERS:
        return Const(...)
    if isinstance(owner, Thing):
        if name in modes.CALLS:
            modes.called(ctx, node, owner)
        elif not is_harmless(name):
            replacement.handed_over([owner])
        if owner.role is Role.OPTIMIZER or (owner.role is Role.OPAQUE and OPTIMIZER_NAME.search(owner.label)):
            if name.startswith("register_step") and arguments.values:
                owner.clears_itself = True  # a hook may
            elif name not in OPTIMIZER_HARMLESS and not is_harmless(name):
                ctx.emit(Kind.UNKNOWN, node, owner)
            return Thing("", captured=(owner,))
        if owner.role is Role.INSTANCE and owner.cls is not None:
            computes = COMPUTES.search(name) is not None and not recognise.may_train(name)
            if has_unread_base(owner.cls) and not is_harmless(name) and not computes:
                ctx.emit(Kind.UNKNOWN, node, owner)
            return computed(ctx, arguments.values, known=False)
        if HOOK_CALL.search(name):
            ctx.emit(Kind.UNKNOWN, node, None)
        elif owner.role is Role.OPAQUE and name not in OPTIMIZER_HARMLESS and recognise.is_engine_like(ctx, owner):
            ctx.emit(Kind.UNKNOWN, node, owner)
        elif not is_harmless(name) and owner.role is not Role.MODULE:
            reached = [thing for thing in owner.captured if thing.role in (Role.OPTIMIZER, Role.INSTANCE)]
            if reached:
                escape(ctx, node, list(reached))
            elif owner.role is Role.OPAQUE and not HARMLESS_RECEIVER.search(owner.label):
                if recognise.may_train(name) or recognise.must_train(ctx, name):
                    ctx.emit(Kind.UNKNOWN, node, None)
        elif owner.role is Role.MODULE and HARMFUL_CALL.search(name) and not is_harmless(name):
            ctx.emit(Kind.UNKNOWN, node, owner)
        if not HARMLESS_RECEIVER.search(owner.label):
            escape_arguments(ctx, node, name, arguments)
        if owner.role in (Role.MODULE, Role.CRITERION, Role.ENGINE):
            return computed(ctx, arguments.values, through=owner)
        if owner.role is Role.DATA:
            return Thing("", Role.DATA, known=True)
        if any(isinstance(value, Tensor) for value in arguments.values):
            return computed(ctx, [owner, *arguments.values], known=False)
        given = (thing for value in arguments.values for thing in things_in(value))
        return Thing("", captured=tuple(dict.fromkeys((owner, *given))), known=True)
    if isinstance(owner, Params):
        return owner if name in SAME_METHODS or name in ("values", "items", "detach") else Thing("")
    return computed(ctx, [owner, *arguments.values], divided=name in ("div", "div_", "mul", "mul_", "true_divide"))


def unknown_call(ctx: Context, node: cst.Call, name: str, arguments: Arguments, callee: Thing | None = None) -> Value:
    """A call into code that cannot be read."""
    last = name.rsplit(".", 1)[-1]
    if name in ("exec", "eval", "globals", "locals"):
        ctx.emit(Kind.UNKNOWN, node, None)
    if hasattr(builtins, name) or name.startswith("torch."):
        escape_callbacks(ctx, node, arguments)
        return _built(ctx, node, name, arguments, callee)
    if HOOK_CALL.search(last) or (not escape_arguments(ctx, node, last, arguments) and recognise.may_train(last)):
        ctx.emit(Kind.UNKNOWN, node, None)
    return _built(ctx, node, name, arguments, callee)


def _built(ctx: Context, node: cst.Call, name: str, arguments: Arguments, callee: Thing | None = None) -> Value:
    """What such a call returns. A thing that is made of functions which may hold events may run them when called."""
    made = constructors.built(ctx, node, name, arguments, callee)
    if isinstance(made, Thing) and any(map(is_relevant_callback, arguments.values)):
        made.runs = True
    return made


def _name_of(definition: cst.FunctionDef | cst.Lambda) -> str:
    return definition.name.value if isinstance(definition, cst.FunctionDef) else "lambda"
