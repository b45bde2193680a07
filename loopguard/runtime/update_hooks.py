"""What is patched for the rest of an update: loss scaling, clips of gradients, learning-rate schedules.

A user may have imported a clip function before anybody listens. So what is patched of the clip by norm is what that
function looks up itself (https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.clip_grad_norm_.html).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch.nn.utils import clip_grad
from torch.optim import lr_scheduler

if TYPE_CHECKING:
    from collections.abc import Iterator

    from loopguard.runtime.listener import Listener

Watched = Callable[..., Any]
Tell = Callable[[Callable[["Listener"], object]], None]


class Patch(Protocol):
    """Puts what `watch` makes of a function in its place, until nobody listens any more."""

    def __call__(self, owner: Any, name: str, watch: Callable[[Watched], Watched]) -> None:
        """Patch the attribute `name` of `owner`."""


class _Inside(threading.local):
    """Whether a schedule or a scaler is at work, which may call itself and others: one event."""

    moving = False
    stepping = False


_inside = _Inside()


@contextmanager
def _while(what: str) -> Iterator[bool]:
    """Note that something is going on. Gives whether it was going on already."""
    before = getattr(_inside, what)
    setattr(_inside, what, True)
    try:
        yield before
    finally:
        setattr(_inside, what, before)


def install(patch: Patch, tell: Tell) -> None:
    """Patch all of this."""
    scaler = torch.amp.GradScaler
    patch(scaler, "__init__", lambda original: _watch_making(original, tell))
    patch(scaler, "scale", lambda original: _watch_scaling(original, tell))
    patch(scaler, "unscale_", lambda original: _watch_unscaling(original, tell))
    patch(scaler, "update", lambda original: _watch_updating(original, tell))
    # Below the patch of the gradients' own hooks, or above: either sees the whole of it.
    patch(scaler, "step", lambda original: _watch_stepping(original, tell))
    by_norm = "_clip_grads_with_norm_" if hasattr(clip_grad, "_clip_grads_with_norm_") else "clip_grad_norm_"
    patch(clip_grad, by_norm, lambda original: _watch_clipping(original, tell))
    for module in (clip_grad, torch.nn.utils):
        patch(module, "clip_grad_value_", lambda original: _watch_clipping(original, tell))
    kinds = [kind for kind in vars(lr_scheduler).values() if isinstance(kind, type)]
    for kind in (kind for kind in kinds if issubclass(kind, lr_scheduler.LRScheduler)):
        if "__init__" in vars(kind):
            patch(kind, "__init__", lambda original: _watch_scheduling(original, tell))
        if "step" in vars(kind):
            patch(kind, "step", lambda original: _watch_moving(original, tell))


def _watch_making(original: Watched, tell: Tell) -> Watched:
    def make(self: Any, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **kwargs)
        if self.is_enabled():
            tell(lambda listener: listener.scaler_made(self))

    return make


def _watch_scaling(original: Watched, tell: Tell) -> Watched:
    def scale(self: Any, outputs: Any) -> Any:
        scaled = original(self, outputs)
        if self.is_enabled():
            tell(lambda listener: listener.scaled(self, scaled))
        return scaled

    return scale


def _watch_unscaling(original: Watched, tell: Tell) -> Watched:
    def unscale_(self: Any, optimizer: Any) -> Any:
        if self.is_enabled() and not _inside.stepping:
            tell(lambda listener: listener.unscales(self, optimizer, stepping=False))
        return original(self, optimizer)

    return unscale_


def _watch_updating(original: Watched, tell: Tell) -> Watched:
    def update(self: Any, *args: Any, **kwargs: Any) -> Any:
        result = original(self, *args, **kwargs)
        tell(lambda listener: listener.updated(self))
        return result

    return update


def _watch_stepping(original: Watched, tell: Tell) -> Watched:
    def step(self: Any, optimizer: Any, *args: Any, **kwargs: Any) -> Any:
        with _while("stepping"):
            if self.is_enabled():
                tell(lambda listener: listener.unscales(self, optimizer, stepping=True))
            return original(self, optimizer, *args, **kwargs)

    return step


def _watch_clipping(original: Watched, tell: Tell) -> Watched:
    def clip(*args: Any, **kwargs: Any) -> Any:
        parameters, *rest = args if args else (kwargs.pop("parameters", None),)
        if not isinstance(parameters, torch.Tensor) and parameters is not None:
            parameters = list(parameters)  # a generator can be gone through but once
        bound = rest[0] if rest else kwargs.get("max_norm", kwargs.get("clip_value"))
        held: Sequence[torch.Tensor] = [parameters] if isinstance(parameters, torch.Tensor) else parameters or []
        tell(lambda listener: listener.clips(held, bound))
        return original(parameters, *rest, **kwargs)

    return clip


def _watch_scheduling(original: Watched, tell: Tell) -> Watched:
    def make(self: Any, *args: Any, **kwargs: Any) -> None:
        with _while("moving") as inner:  # it moves to its first value by itself
            original(self, *args, **kwargs)
        if not inner:
            tell(lambda listener: listener.schedule_made(self))

    return make


def _watch_moving(original: Watched, tell: Tell) -> Watched:
    def step(self: Any, *args: Any, **kwargs: Any) -> Any:
        with _while("moving") as inner:
            if not inner:
                tell(lambda listener: listener.schedule_moves(self, len(args) + len(kwargs)))
            return original(self, *args, **kwargs)

    return step
