"""`contextlib.ExitStack`: what is entered in the middle of a block, and left at its end."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import libcst as cst

from loopguard.static.library import EXIT_STACKS
from loopguard.static.lowering.arguments import Arguments
from loopguard.static.lowering.context import Context, ExitStack
from loopguard.static.lowering.escapes import escape, is_relevant_callback
from loopguard.static.lowering.managers import Leave, enter, may_act, unknown
from loopguard.static.lowering.recognise import EVENT_METHODS
from loopguard.static.values import Thing, Value

_ENTERS = ("enter_context", "enter_async_context")
_CALLS = ("callback", "push_async_callback")
METHODS = frozenset([*_ENTERS, *_CALLS, "push", "push_async_exit", "close", "aclose", "pop_all"])
"""The methods of a stack that decide what happens at its end."""

Call = Callable[[Value, Arguments], Value]
"""Lowers a call of a value."""


def is_stack(value: Value) -> bool:
    """Whether a value is an exit stack."""
    return isinstance(value, Thing) and value.dotted in EXIT_STACKS


def begin(ctx: Context, stack: Thing, node: cst.CSTNode) -> Leave:
    """Enter the block of a stack."""
    if stack.runs:
        return unknown(ctx, node, None)
    made = ctx.stacks[stack] = ExitStack(_place(ctx))

    def leave(normally: bool) -> None:
        made.is_open = False
        if normally:
            for last in reversed(made.leaving):
                last(True)
        elif made.leaving:
            unknown(ctx, node, None)  # how much of it was entered by then, nobody says

    return leave


def on_stack(ctx: Context, node: cst.Call, owner: Thing, name: str, arguments: Arguments, call: Call) -> Value:
    """Lower a method of a stack. What is entered, or is to be called, on some paths only may do anything.

    So may a stack that is no block's: when it ends, and whether it does, nobody says.
    """
    stack = ctx.stacks.get(owner)
    here = stack is not None and stack.is_open and stack.place == _place(ctx)
    given = arguments.get(0, "cm", "callback", "exit") or Thing("")
    leave: Leave | None = None
    if name in _ENTERS and here:
        given, leave = enter(ctx, given, node)
    elif name in _CALLS and here:
        leave = partial(_call, call, given, Arguments(arguments.positional[1:], arguments.keywords))
    elif owner.runs or (stack is not None and stack.leaving) or _may_act(given):
        leave = unknown(ctx, node, None)
        if stack is None:
            owner.runs = True
            escape(ctx, node, [given])
    if leave is not None and stack is not None:
        stack.leaving.append(leave)
    return given


def _call(call: Call, function: Value, arguments: Arguments, normally: bool) -> None:
    call(function, arguments)


def _may_act(value: Value) -> bool:
    """Whether a manager, or a function that a stack is to call, may do anything to gradients."""
    is_event = isinstance(value, Thing) and value.label.rsplit(".", 1)[-1] in EVENT_METHODS  # `optimizer.step`
    return is_event or may_act(value) or is_relevant_callback(value)


def _place(ctx: Context) -> tuple[object, ...]:
    """Where the graph grows: in which call, how deep in loops, and under how many conditions."""
    return id(ctx.frame), len(ctx.loops), len(ctx.guards)
