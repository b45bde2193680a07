"""Calls that are known by name: of a framework, or of code in-house that a user's configuration tells of."""

from __future__ import annotations

from dataclasses import replace
from pathlib import PurePath

import libcst as cst

from loopguard.events import Kind
from loopguard.knowledge import RECEIVER, Argument, KnownCall
from loopguard.static.collected import leaves
from loopguard.static.frameworks import CALLS, SCALER_CALL
from loopguard.static.library import SCALER_NAME
from loopguard.static.lowering import recognise, scaling
from loopguard.static.lowering.arguments import Arguments
from loopguard.static.lowering.constructors import is_optimizer_like
from loopguard.static.lowering.context import Context
from loopguard.static.lowering.objects import find_method
from loopguard.static.lowering.tensors import provenance
from loopguard.static.syntax import text_of
from loopguard.static.values import Bound, Class, Const, Function, Group, Ref, Role, Table, Tensor, Thing, Value

_KINDS = {"step": Kind.STEP, "clear": Kind.CLEAR, "clip": Kind.CLIP, "unscale": Kind.UNSCALE}
_WITHIN = "the optimizer within"
_LIBRARY_METHODS = {item.name for item in CALLS.calls}


def known_method(ctx: Context, node: cst.Call, owner: Value, name: str, arguments: Arguments) -> Value | None:
    """Lower `owner.name(...)` if it is known by name; None if it is not."""
    knowledge = ctx.file.project.knowledge
    label = owner.label if isinstance(owner, Thing) else owner.dotted if isinstance(owner, Ref) else ""
    if knowledge.named(name):
        found = find_method(owner.cls, name) if isinstance(owner, Thing) and owner.cls is not None else None
        item = _of_function(ctx, found[0]) if found is not None else None
        if item is None and isinstance(owner, Thing) and owner.dotted:
            item = knowledge.function(f"{owner.dotted}.{name}")
        if item is None and isinstance(owner, Ref):
            item = knowledge.function(f"{owner.dotted}.{name}")
        item = item or knowledge.method(name, label)
        if item is not None:
            receiver = ctx.implicit(owner.dotted) if isinstance(owner, Ref) else owner
            return _perform(ctx, node, item, arguments, receiver, found[0] if found is not None else None)
    if name in _LIBRARY_METHODS and not (isinstance(owner, Thing) and _overrides(owner.cls, name)):
        item = CALLS.method(name, label)
        if item is not None:
            return _perform(ctx, node, item, arguments, owner)
    return None


def known_function(
    ctx: Context, node: cst.CSTNode, callee: Function | Bound | Ref, arguments: Arguments
) -> Value | None:
    """Lower a call of a function, or of a bound method, if it is known by name; None if it is not."""
    if not isinstance(node, cst.Call):
        return None
    if isinstance(callee, Ref):
        if callee.dotted.rsplit(".", 1)[-1][:1].isupper():
            return None  # a class: what is known of it is about its objects
        item = ctx.file.project.knowledge.function(callee.dotted) or CALLS.function(callee.dotted)
        return _perform(ctx, node, item, arguments, None) if item is not None else None
    function = callee.function if isinstance(callee, Bound) else callee
    item = _of_function(ctx, function)
    receiver = callee.self if isinstance(callee, Bound) else None
    return _perform(ctx, node, item, arguments, receiver, function) if item is not None else None


def known_object(ctx: Context, node: cst.Call, callee: Thing, arguments: Arguments) -> Value | None:
    """Lower a call of an object whose class is known by name, or that is a scaler as timm's; None if it is neither."""
    knowledge = ctx.file.project.knowledge
    item = knowledge.function(callee.dotted) if knowledge and callee.dotted else None
    if item is None and callee.cls is not None:
        item = next(
            (x for x in knowledge.named(callee.cls.name) if _is_defined_as(callee.cls.file.source.path, "", x)), None
        )
    if item is not None:
        return _perform(ctx, node, item, arguments, callee)
    optimizer = arguments.get(1, "optimizer")
    if callee.cls is None and (callee.role is Role.SCALER or SCALER_NAME.search(callee.label)):
        if is_optimizer_like(optimizer):
            return _perform(ctx, node, SCALER_CALL, arguments, callee)
    return None


def remember(ctx: Context, made: Value, dotted: str) -> Value:
    """Note of what outside class an object is, if something is known of its methods or of calls of it."""
    if isinstance(made, Thing) and not made.dotted:
        known = ctx.file.project.knowledge.calls
        if any(item.call == dotted or item.call.startswith(f"{dotted}.") for item in known):
            made.dotted = dotted
    return made


def _overrides(cls: Class | None, name: str) -> bool:
    return cls is not None and find_method(cls, name) is not None


def _of_function(ctx: Context, function: Function) -> KnownCall | None:
    """What is known of a function of the project, by the name of the module and class that define it."""
    if not isinstance(function.node, cst.FunctionDef):
        return None
    name = function.node.name.value
    owner = f"{function.owner.name}." if function.owner is not None else ""
    for item in ctx.file.project.knowledge.named(name):
        if item.call == f".{name}":
            if function.owner is not None:
                return item
        elif _is_defined_as(function.file.source.path, owner, item):
            return item
    return None


def _is_defined_as(path: str, owner: str, item: KnownCall) -> bool:
    """Whether what the file at `path` defines in the class `owner` is what a dotted name stands for."""
    module = item.call.removesuffix(f".{owner}{item.name}")
    if module == item.call:
        return False
    parts = PurePath(path).with_suffix("").parts
    parts = parts[:-1] if parts and parts[-1] == "__init__" else parts
    wanted = tuple(module.split("."))
    return parts[-len(wanted) :] == wanted


def _perform(
    ctx: Context,
    node: cst.Call,
    item: KnownCall,
    arguments: Arguments,
    receiver: Value | None,
    function: Function | None = None,
) -> Value:
    """Lower a known call: its events, in their order."""
    names = _parameters(function) if function is not None else []
    target = _chosen(item.on, arguments, receiver, names)
    if target is None and item.on:
        ctx.emit(Kind.UNKNOWN, node, None)  # it is about something that this call does not show
        return Thing("")
    if "step" in item.does:
        target = _stepped(target)
    loss = provenance(_chosen(item.loss, arguments, receiver, names))
    if "unscale" in item.does:
        loss = replace(loss, scaled=True)
    acts = list(item.does)
    if acts[0] == "backward":
        recognise.deposit(ctx, node, loss, arguments.written)
        del acts[0]
    gate = _gate(node, item, names, function)
    known = ctx.known(gate) if gate is not None else Const(True, fixed=True)
    if gate is None or (isinstance(known, Const) and known.fixed and known.value):
        _act(ctx, node, acts, target, loss, arguments.written, receiver)
    elif not (isinstance(known, Const) and known.fixed):
        when = ctx.assume(gate, True)
        around = ctx.graph.split(when)
        ctx.guards.append(when)
        _act(ctx, node, acts, target, loss, arguments.written, receiver)
        ctx.guards.pop()
        ctx.graph.frontier = [*ctx.graph.frontier, *around]
    return Thing("")


def _act(
    ctx: Context,
    node: cst.Call,
    acts: list[str],
    target: Value | None,
    loss: Tensor,
    written: str,
    receiver: Value | None,
) -> None:
    by = receiver if isinstance(receiver, Thing) and receiver is not target else None
    via = by.label if by is not None else ""
    scaler = by if scaling.is_scaler(by) else None
    for act in acts:
        if act == "backward":
            recognise.deposit(ctx, node, loss, written)
        elif act in ("step", "clear") and isinstance(target, Thing | Group | Table):
            for thing in leaves(target):
                if isinstance(thing, Thing):
                    recognise.gated(ctx, node, thing, _KINDS[act], via=via)
        elif act == "update":
            ctx.emit(Kind.UPDATE, node, scaler, scaler=scaler, via=via)
        elif act == "schedule":
            scheduler = target if isinstance(target, Thing) and target.role is Role.SCHEDULER else None
            ctx.emit(Kind.SCHEDULE, node, scheduler, via=via)
        else:
            ctx.emit(_KINDS[act], node, target, scaler=scaler if act == "unscale" else None, via=via)


def _stepped(thing: Value | None) -> Value | None:
    """The optimizer that a call about `thing` steps: it itself, or one within an object of another kind."""
    if isinstance(thing, Group):
        return Group([_stepped(item) or item for item in leaves(thing, tables=False)], thing.open)
    if not isinstance(thing, Thing):
        return thing
    if thing.role is Role.OPAQUE:
        thing.role = Role.OPTIMIZER
    if thing.role in (Role.OPTIMIZER, Role.ENGINE):
        return thing
    if _WITHIN not in thing.attrs:
        thing.attrs[_WITHIN] = Thing(thing.label, Role.OPTIMIZER, parent=thing, holds=(thing,), known=thing.known)
    return thing.attrs[_WITHIN]


def _chosen(
    which: tuple[Argument, ...], arguments: Arguments, receiver: Value | None, names: list[str]
) -> Value | None:
    """The first of some arguments that a call has; `names` are those of the positions, as far as they are known."""
    for item in which:
        if item == RECEIVER and receiver is not None:
            return receiver
        position = item if isinstance(item, int) else names.index(item) if item in names else len(arguments.positional)
        keyword = item if isinstance(item, str) else names[item] if item < len(names) else ""
        found = arguments.get(position, keyword)
        if found is not None:
            return found
    return None


def _gate(node: cst.Call, item: KnownCall, names: list[str], function: Function | None) -> cst.BaseExpression | None:
    """The argument that says whether the step and what belongs to it happens, or its default as far as it is known."""
    positional = [argument for argument in node.args if argument.keyword is None and not argument.star]
    for name in item.when:
        for argument in node.args:
            if argument.keyword is not None and argument.keyword.value == name:
                return argument.value
        if name in names and names.index(name) < len(positional):
            return positional[names.index(name)].value
        if function is not None:
            return _default(function, name)
    return None


def _default(function: Function, name: str) -> cst.BaseExpression | None:
    """The default of a parameter, if it is a literal."""
    parameters = function.node.params
    for parameter in (*parameters.posonly_params, *parameters.params, *parameters.kwonly_params):
        if parameter.name.value == name and parameter.default is not None:
            return parameter.default if text_of(parameter.default) in ("True", "False", "None") else None
    return None


def _parameters(function: Function) -> list[str]:
    names = [parameter.name.value for parameter in (*function.node.params.posonly_params, *function.node.params.params)]
    return names[1:] if function.owner is not None and names[:1] in (["self"], ["cls"]) else names
