"""What gets out of sight: things that code gets which cannot be read are unknown from there."""

from __future__ import annotations

from collections.abc import Sequence

import libcst as cst

from loopguard.events import Kind
from loopguard.static.library import HARMFUL_CALL, MODULE_NAME, OPTIMIZER_NAME, is_harmless
from loopguard.static.lowering import recognise, replacement
from loopguard.static.lowering.arguments import Arguments
from loopguard.static.lowering.context import Context
from loopguard.static.lowering.relevance import is_relevant
from loopguard.static.values import Bound, Function, Group, Partial, Role, Thing, Value, things_in


def escape_arguments(ctx: Context, node: cst.CSTNode, name: str, arguments: Arguments) -> bool:
    """Let what was handed to unknown code be unknown from here. Returns whether anything was."""
    replacement.handed_over(arguments.values)
    if escape_callbacks(ctx, node, arguments):
        return True
    if is_harmless(name) or recognise.is_construction(name):
        return False
    reached: list[Thing] = []
    for value in arguments.values:
        for thing in things_in(value):
            optimizer = thing.role is Role.OPTIMIZER or bool(OPTIMIZER_NAME.search(thing.label))
            module = thing.role is Role.MODULE or (
                thing.role is Role.OPAQUE and MODULE_NAME.search(thing.label) is not None
            )
            if optimizer or thing.role is Role.INSTANCE or (module and HARMFUL_CALL.search(name)):
                reached.append(thing)
    return escape(ctx, node, list(reached))


def escape_callbacks(ctx: Context, node: cst.CSTNode, arguments: Arguments) -> bool:
    """Let everything be unknown where unknown code gets a function that may hold events."""
    if any(is_relevant_callback(value) for value in arguments.values):
        ctx.emit(Kind.UNKNOWN, node, None)
        return True
    return False


def is_relevant_callback(value: Value) -> bool:
    """Whether a value is a function of the project that may hold events."""
    inner = value.function if isinstance(value, Partial) else value
    function = inner.function if isinstance(inner, Bound) else inner
    return isinstance(function, Function) and is_relevant(function.file, function.node)


def escape(ctx: Context, node: cst.CSTNode, values: Sequence[Value | None]) -> bool:
    """Let what is in some values be unknown from here. Returns whether anything was."""
    reached = [thing for value in values for thing in things_in(value) if thing.role not in (Role.DATA, Role.CRITERION)]
    if reached:
        ctx.emit(Kind.UNKNOWN, node, Group(list(reached)))
    return bool(reached)
