"""Gradient scalers and clips: losses scaled, gradients unscaled and bounded, the scale updated.

https://docs.pytorch.org/docs/stable/amp.html#gradient-scaling
"""

from __future__ import annotations

from dataclasses import replace

import libcst as cst

from loopguard.events import Kind
from loopguard.static.library import CLIPPERS, SCALER_NAME
from loopguard.static.lowering.arguments import Arguments
from loopguard.static.lowering.context import Context
from loopguard.static.lowering.tensors import provenance
from loopguard.static.values import Const, Role, Tensor, Thing, Value


def is_scaler(value: Value | None) -> bool:
    """Whether a value is a gradient scaler, or is called like one."""
    if not isinstance(value, Thing) or _is_off(value):
        return False
    return value.role is Role.SCALER or (value.role is Role.OPAQUE and SCALER_NAME.search(value.label) is not None)


def made(arguments: Arguments) -> Thing:
    """A new scaler. One that is switched off for good passes everything on as it is."""
    scaler = Thing("", Role.SCALER, known=True)
    enabled = arguments.keywords.get("enabled")
    if isinstance(enabled, Const):
        scaler.attrs["_enabled"] = enabled
    return scaler


def _is_off(scaler: Thing) -> bool:
    enabled = scaler.attrs.get("_enabled")
    return isinstance(enabled, Const) and enabled.fixed and enabled.value is False


def scaled(owner: Thing, value: Value) -> Value:
    """The loss that `scaler.scale(loss)` returns."""
    return replace(provenance(value), scaled=True) if isinstance(value, Tensor | Thing) and is_scaler(owner) else value


def unscale(ctx: Context, node: cst.Call, owner: Value, arguments: Arguments) -> Value | None:
    """Lower `scaler.unscale_(optimizer)`."""
    scaler = owner if isinstance(owner, Thing) else None
    if scaler is not None and _is_off(scaler):
        return Const(None)
    ctx.emit(Kind.UNSCALE, node, arguments.get(0, "optimizer"), scaler=scaler)
    return Const(None)


def update(ctx: Context, node: cst.Call, owner: Value, arguments: Arguments) -> Value | None:
    """Lower `scaler.update()`; None if it is something else that is updated."""
    if not is_scaler(owner):
        return None
    assert isinstance(owner, Thing)
    ctx.emit(Kind.UPDATE, node, owner, scaler=owner)
    return Const(None)


def is_clip(name: str) -> bool:
    """Whether a function or method of this name clips gradients."""
    return name in CLIPPERS or name in ("clip_gradients", "clip_grad")
