"""`with`: gradient modes, accumulation windows of libraries, and everything else, which changes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import libcst as cst

from loopguard.events import Kind
from loopguard.static.frameworks import ACCUMULATES, SCALES_LOSS
from loopguard.static.lowering import iteration
from loopguard.static.lowering.context import Context
from loopguard.static.lowering.objects import find_method
from loopguard.static.lowering.relevance import is_relevant
from loopguard.static.paths.guards import SYNC
from loopguard.static.syntax import text_of
from loopguard.static.values import Const, Thing, Value


@contextmanager
def lower_with(ctx: Context, node: cst.With) -> Iterator[None]:
    """Enter the context managers of `node`, and leave them when the body has been lowered."""
    if any(_expects_failure(item) for item in node.items):
        # What is meant to fail shows nothing of what the program does.
        with ctx.values_only():
            yield
        return
    saved = ctx.grad_off, ctx.accumulating, ctx.accumulating_depth
    acts = False
    for item in node.items:
        size = len(ctx.graph.nodes)
        value = ctx.evaluate(ctx, item.item)
        inner = [part.event for part in ctx.graph.nodes[size:] if part.event is not None]
        acts = acts or _acts(value) or any(event.site.calls != ctx.calls for event in inner)
        call = item.item if isinstance(item.item, cst.Call) else None
        name = text_of(call.func).rsplit(".", 1)[-1] if call is not None else ""
        if call is not None and name in ("no_grad", "inference_mode"):
            mode = ctx.known(call.args[0].value) if call.args else Const(True)
            off = isinstance(mode, Const) and mode.value is not False
            ctx.grad_off = f"`{text_of(call)}`" if off else ""
        elif call is not None and name in ("set_grad_enabled", "enable_grad"):
            mode = ctx.known(call.args[0].value) if call.args else Const(True)
            off = isinstance(mode, Const) and mode.fixed and mode.value is False
            ctx.grad_off = f"`{text_of(call)}`" if off else ""
        elif call is not None and name == ACCUMULATES and isinstance(call.func, cst.Attribute):
            ctx.accumulating = text_of(call.func)
            ctx.accumulating_depth = len(ctx.guards)
            ctx.assigned([SYNC])
        elif call is not None and name == SCALES_LOSS and call.args:
            value = ctx.known(call.args[0].value)
        if item.asname is not None:
            kept = value if name == SCALES_LOSS or isinstance(value, Thing) else Thing("")
            iteration.bind(ctx, item.asname.name, kept)
    if acts:
        ctx.emit(Kind.UNKNOWN, node, None)
    yield
    if acts:
        ctx.emit(Kind.UNKNOWN, node, None)
    ctx.grad_off, ctx.accumulating, ctx.accumulating_depth = saved


def _expects_failure(item: cst.WithItem) -> bool:
    name = text_of(item.item.func).rsplit(".", 1)[-1] if isinstance(item.item, cst.Call) else ""
    return name.startswith(("assertRaises", "assertWarns")) or name in ("raises", "warns")


def _acts(value: Value) -> bool:
    """Whether entering or leaving a context manager of the project may hold events."""
    if not isinstance(value, Thing) or value.cls is None:
        return False
    methods = [find_method(value.cls, name) for name in ("__enter__", "__exit__")]
    return any(found is not None and is_relevant(found[0].file, found[0].node) for found in methods)
