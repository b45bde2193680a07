"""Layers whose output depends on the mode: dropout that drops, normalisation that keeps running statistics."""

from __future__ import annotations

from collections.abc import Iterator
from types import CodeType

from torch import nn

from loopguard.lifecycles.mode import DEPENDS_ON_MODE


def sensitive(module: nn.Module) -> Iterator[nn.Module]:
    """The parts of a module that compute something else in training than in evaluation."""
    return (part for part in module.modules() if _is_sensitive(part))


def _is_sensitive(part: nn.Module) -> bool:
    if isinstance(part, nn.modules.dropout._DropoutNd):
        return part.p > 0
    if isinstance(part, nn.modules.batchnorm._NormBase):
        return bool(part.track_running_stats)  # without statistics of its own, it takes the batch's in both modes
    if isinstance(part, nn.RNNBase | nn.MultiheadAttention):
        return part.dropout > 0
    kind = type(part)
    if kind.__module__.startswith("torch."):
        return isinstance(part, nn.RReLU)
    return DEPENDS_ON_MODE.search(kind.__name__) is not None or _asks(getattr(kind.forward, "__code__", None))


def _asks(code: CodeType | None) -> bool:
    """Whether a forward pass asks for the mode, as in `F.dropout(x, training=self.training)`."""
    if code is None:
        return False
    return "training" in code.co_names or any(_asks(inner) for inner in code.co_consts if isinstance(inner, CodeType))
