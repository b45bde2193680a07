"""`with`: gradient modes, accumulation windows of libraries, context managers of the project, and what may be one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import libcst as cst

from loopguard.events import Kind
from loopguard.static.frameworks import ACCUMULATES, SCALES_LOSS
from loopguard.static.library import is_harmless
from loopguard.static.lowering import exit_stacks, iteration
from loopguard.static.lowering.constructors import NEW, is_optimizer_like
from loopguard.static.lowering.context import Context
from loopguard.static.lowering.managers import Leave, Managed, enter, unknown
from loopguard.static.parsed import PLACED
from loopguard.static.paths.graph import Happening
from loopguard.static.paths.guards import SYNC
from loopguard.static.syntax import text_of
from loopguard.static.values import Const, Role, Thing, Value

_OFF = ("no_grad", "inference_mode")
_SWITCHES = (*_OFF, "set_grad_enabled", "enable_grad")


@contextmanager
def lower_with(ctx: Context, node: cst.With) -> Iterator[list[Leave]]:
    """Enter the context managers of `node`. Gives what there is to do where its block is left."""
    if any(_expects_failure(item) for item in node.items):
        # What is meant to fail shows nothing of what the program does.
        with ctx.values_only():
            yield []
        return
    saved = ctx.mode
    leaving: list[Leave] = []
    for item in node.items:
        seen = len(ctx.graph.nodes)
        value = ctx.evaluate(ctx, item.item)
        events = [part.event for part in ctx.graph.nodes[seen:] if part.event is not None]
        given = _of_library(ctx, item.item, value)
        if given is None:
            at = item.item if type(item.item) in PLACED else node  # of a name it is not known where it stands
            given, found = _enter(ctx, at, value, events)
            leaving += found
        if item.asname is not None:
            iteration.bind(ctx, item.asname.name, given)
    yield leaving
    ctx.mode = saved


def _expects_failure(item: cst.WithItem) -> bool:
    name = _called(item.item)
    return name.startswith(("assertRaises", "assertWarns")) or name in ("raises", "warns")


def _called(node: cst.BaseExpression) -> str:
    """The last part of the name of what is called, if it is a call."""
    return text_of(node.func).rsplit(".", 1)[-1] if isinstance(node, cst.Call) else ""


def _of_library(ctx: Context, node: cst.BaseExpression, value: Value) -> Value | None:
    """What a call gives that switches gradients, opens a window, or scales a loss, once that is done; else None."""
    name = _called(node)
    if not isinstance(node, cst.Call) or isinstance(value, Managed):
        return None
    kept = value if isinstance(value, Thing) else Thing("")
    if name in _SWITCHES:
        mode = ctx.known(node.args[0].value) if node.args else Const(True)
        if name in _OFF:
            off = isinstance(mode, Const) and mode.value is not False
        else:
            off = isinstance(mode, Const) and mode.fixed and mode.value is False
        ctx.grad_off = f"`{text_of(node)}`" if off else ""
        return kept
    if name == ACCUMULATES and isinstance(node.func, cst.Attribute):
        ctx.accumulating = text_of(node.func)
        ctx.accumulating_depth = len(ctx.guards)
        ctx.assigned([SYNC])
        return kept
    return ctx.known(node.args[0].value) if name == SCALES_LOSS and node.args else None


def _enter(ctx: Context, node: cst.CSTNode, value: Value, events: Sequence[Happening]) -> tuple[Value, Sequence[Leave]]:
    """Enter what an expression with some events has made. Returns what it gives, and what to do on leaving.

    Of what cannot be followed, the end may do all that the making may have done, and may use what it was given.
    """
    if isinstance(value, Thing) and exit_stacks.is_stack(value):
        return value, [exit_stacks.begin(ctx, value, node)]
    given, leave = enter(ctx, value, node)
    if leave is not None:
        return given, [leave]
    if any(event.site.calls != ctx.calls for event in events):
        return given, [unknown(ctx, node, None)]
    targets: list[Value | None] = [event.target for event in events if event.kind is Kind.UNKNOWN and event.via != NEW]
    if not targets and isinstance(value, Thing) and value.call is not None:
        held = () if is_harmless(value.dotted.rsplit(".", 1)[-1]) else value.captured
        targets += [thing for thing in held if is_optimizer_like(thing) or thing.role is Role.INSTANCE]
    kept = given if given is not value or isinstance(given, Thing) else Thing("")
    return kept, [unknown(ctx, node, target) for target in targets]
