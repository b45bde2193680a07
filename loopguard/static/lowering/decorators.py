"""What stands over a function: decorators that make a context manager of it, and those that run something around it."""

from __future__ import annotations

from collections.abc import Sequence

import libcst as cst

from loopguard.static.library import CONTEXT_DECORATORS, MAKES_MANAGER, PLAIN_DECORATORS
from loopguard.static.lowering.context import Context
from loopguard.static.lowering.managers import Managed
from loopguard.static.lowering.objects import derives_from, find_method, is_generator
from loopguard.static.lowering.relevance import is_relevant
from loopguard.static.records import record
from loopguard.static.syntax import children_of
from loopguard.static.values import Class, Function, Ref, Value


@record
class Decoration:
    """What the decorators of a function, and a `yield` in it, make of a call.

    `managers` are entered around each call, outermost first. A call of one that `manages` returns a context manager.
    When the body of a `hidden` one runs, and what runs around it, is somebody else's choice.
    """

    managers: Sequence[Value] = ()
    manages: bool = False
    hidden: bool = False


_PLAIN, _MANAGES, _HIDDEN = Decoration(), Decoration(manages=True), Decoration(hidden=True)


def decoration_of(ctx: Context, function: Function) -> Decoration:
    """What becomes of a function of the project that may hold events."""
    node = function.node
    if not isinstance(node, cst.FunctionDef):
        return _PLAIN
    generates = is_generator(function.file, node)
    if not node.decorators:
        return _HIDDEN if generates else _PLAIN
    with ctx.within(function.env, function.file):
        if generates:
            return _MANAGES if _is_manager(ctx, node) else _HIDDEN
        found = [_around(ctx, item.decorator) for item in node.decorators]
    if any(item.hidden for item in found):
        return _HIDDEN
    return Decoration([manager for item in found for manager in item.managers])


def _is_manager(ctx: Context, node: cst.FunctionDef) -> bool:
    """Whether a generator is a context manager that can be followed."""
    made = 0
    for item in node.decorators:
        value = ctx.known(item.decorator)
        name = value.dotted if isinstance(value, Ref) else ""
        made += name in MAKES_MANAGER
        if name not in MAKES_MANAGER and name.rsplit(".", 1)[-1] not in PLAIN_DECORATORS:
            return False
    return made == 1 and _waits_once(node)


def _waits_once(definition: cst.FunctionDef) -> bool:
    """Whether each `yield` of a generator is a statement that is not repeated."""
    todo: list[tuple[cst.CSTNode, bool]] = [(definition.body, True)]
    while todo:
        node, once = todo.pop()
        if isinstance(node, cst.FunctionDef | cst.Lambda | cst.ClassDef):
            continue
        given = node.value if isinstance(node, cst.Expr) else None
        if isinstance(given, cst.Yield) and once and not isinstance(given.value, cst.From):
            continue
        if isinstance(node, cst.Yield):
            return False
        once = once and not isinstance(node, cst.For | cst.While)
        todo += ((child, once) for child in children_of(node))
    return True


def _around(ctx: Context, node: cst.BaseExpression) -> Decoration:
    """What a decorator runs around a function."""
    call = node if isinstance(node, cst.Call) else None
    found = ctx.known(call.func if call is not None else node)
    if isinstance(found, Managed):
        return Decoration([found])
    if isinstance(found, Function) and is_relevant(found.file, found.node):
        made = ctx.known(node) if call is not None and decoration_of(ctx, found).manages else None
        return Decoration([made]) if isinstance(made, Managed) else _HIDDEN
    if isinstance(found, Class):
        if derives_from(found, *CONTEXT_DECORATORS):
            return Decoration([ctx.known(node)]) if call is not None else _HIDDEN
        method = find_method(found, "__call__")
        if method is not None and is_relevant(method[0].file, method[0].node):
            return _HIDDEN
    return _PLAIN
