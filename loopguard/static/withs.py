"""`with`: gradient modes, accumulation windows of libraries, and everything else, which changes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import libcst as cst

from loopguard.static import iteration
from loopguard.static.context import Context
from loopguard.static.guards import SYNC
from loopguard.static.syntax import text_of
from loopguard.static.values import Const, Thing


@contextmanager
def lower_with(ctx: Context, node: cst.With) -> Iterator[None]:
    """Enter the context managers of `node`, and leave them when the body has been lowered."""
    if any(_expects_failure(item) for item in node.items):
        # What is meant to fail shows nothing of what the program does.
        with ctx.values_only():
            yield
        return
    saved = ctx.grad_off, ctx.accumulating, ctx.accumulating_depth
    for item in node.items:
        value = ctx.evaluate(ctx, item.item)
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
        elif call is not None and name == "accumulate" and isinstance(call.func, cst.Attribute):
            ctx.accumulating = text_of(call.func)
            ctx.accumulating_depth = len(ctx.guards)
            ctx.assigned(frozenset({SYNC}))
        elif call is not None and name == "scale_loss" and call.args:
            value = ctx.known(call.args[0].value)
        if item.asname is not None:
            kept = value if name == "scale_loss" or isinstance(value, Thing) else Thing("")
            iteration.bind(ctx, item.asname.name, kept)
    yield
    ctx.grad_off, ctx.accumulating, ctx.accumulating_depth = saved


def _expects_failure(item: cst.WithItem) -> bool:
    name = text_of(item.item.func).rsplit(".", 1)[-1] if isinstance(item.item, cst.Call) else ""
    return name.startswith(("assertRaises", "assertWarns")) or name in ("raises", "warns")
