"""Modules switched between training and evaluation, and called.

https://docs.pytorch.org/docs/stable/generated/torch.nn.Module.html#torch.nn.Module.eval
"""

from __future__ import annotations

import libcst as cst

from loopguard.events import Kind
from loopguard.lifecycles.mode import Mistake
from loopguard.static.collected import leaves
from loopguard.static.library import MODULE_NAME
from loopguard.static.lowering.arguments import Arguments
from loopguard.static.lowering.context import Context
from loopguard.static.values import Const, Group, Role, Table, Thing, Value

GRAD_OFF = Mistake.GRAD_OFF
"""A backward pass, and all that leads to it, where autograd records nothing."""


def switch_to_eval(ctx: Context, node: cst.Call, owner: Value, arguments: Arguments) -> Value | None:
    """Lower `module.eval()`."""
    return _switch(ctx, node, owner, Kind.EVAL, sure=not arguments.values)


def switch_to_train(ctx: Context, node: cst.Call, owner: Value, arguments: Arguments) -> Value | None:
    """Lower `module.train()`, `module.train(False)` and `module.train(mode)`."""
    mode = arguments.get(0, "mode")
    if mode is None:
        return _switch(ctx, node, owner, Kind.TRAIN, sure=True)
    if isinstance(mode, Const) and isinstance(mode.value, bool):
        return _switch(ctx, node, owner, Kind.TRAIN if mode.value else Kind.EVAL, sure=True)
    return _switch(ctx, node, owner, Kind.TRAIN, sure=False)


def _switch(ctx: Context, node: cst.Call, owner: Value, kind: Kind, *, sure: bool) -> Value | None:
    things = [item for item in leaves(owner) if isinstance(item, Thing) and item.role is not Role.DATA]
    for thing in things:
        ctx.emit(kind, node, thing, maybe=not sure)
    return owner if things and isinstance(owner, Thing | Group | Table) else None


CALLS = frozenset({"forward", "generate"})
"""Methods of a module that run it as a call of it would."""


def called(ctx: Context, node: cst.Call, callee: Thing) -> None:
    """Note a forward pass through what is a module, or is called like one."""
    name = callee.label.rsplit(".", 1)[-1]
    named = callee.role is Role.OPAQUE and name != "self" and MODULE_NAME.search(name) is not None
    if callee.role is Role.MODULE or callee.held or named:
        ctx.emit(Kind.FORWARD, node, callee)
