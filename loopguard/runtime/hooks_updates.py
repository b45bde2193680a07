"""Watchers for what may come between a backward pass and the next: loss scaling, clipping, schedules.

Users import the functions that clip before anybody listens, and keep them. So what is watched is what these look up
in their own module.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.compiler import is_compiling
from torch.nn.utils import clip_grad
from torch.optim import lr_scheduler
from torch.optim.optimizer import Optimizer

from loopguard.runtime.listener import Listener

Original = Callable[..., Any]
Listening = Callable[[], Sequence[Listener]]
Survive = Callable[[Listener, BaseException], None]

_MEASURES = 1e5
"""A bound that nothing exceeds: the call is there for the norm that it returns."""

_CLIPPERS = ("clip_grad_value_", "clip_grad_norm_")


class _Inside(threading.local):
    """What is going on, and what it calls is a part of it: a scaler's step, the making or the step of a schedule."""

    scaled = False
    making = False
    moving = False


_inside = _Inside()


def watched(listening: Listening, survive: Survive) -> Iterator[tuple[Any, str, Callable[[Original], Original]]]:
    """What is to be patched, by its owner and name, and what makes the replacement of it."""

    def tell(event: Callable[[Listener], object]) -> None:
        for listener in listening():
            try:
                event(listener)
            except BaseException as failure:
                survive(listener, failure)

    def watch_step(original: Original) -> Original:
        def step(self: Any, optimizer: Optimizer, *args: Any, **kwargs: Any) -> Any:
            listeners = listening()
            for listener in listeners:
                try:
                    listener.scaled_step_begins(optimizer, self)
                except BaseException as failure:
                    survive(listener, failure)
            before, _inside.scaled = _inside.scaled, True
            try:
                result = original(self, optimizer, *args, **kwargs)
            except BaseException as error:
                for listener in listeners:
                    try:
                        listener.scaled_step_ends(optimizer, error)
                    except BaseException as failure:
                        survive(listener, failure)
                raise
            finally:
                _inside.scaled = before
            for listener in listeners:
                try:
                    listener.scaled_step_ends(optimizer, None)
                except BaseException as failure:
                    survive(listener, failure)
            return result

        return step

    def watch_scale(original: Original) -> Original:
        def scale(self: Any, outputs: Any) -> Any:
            result = original(self, outputs)
            if self._enabled:
                for listener in listening():
                    try:
                        listener.scaled(self, result)
                    except BaseException as failure:
                        survive(listener, failure)
            return result

        return scale

    def watch_unscale(original: Original) -> Original:
        def unscale_(self: Any, optimizer: Optimizer) -> None:
            for listener in listening() if self._enabled and not _inside.scaled else ():
                try:
                    listener.unscale_begins(self, optimizer)
                except BaseException as failure:
                    survive(listener, failure)
            original(self, optimizer)

        return unscale_

    def watch_update(original: Original) -> Original:
        def update(self: Any, *args: Any, **kwargs: Any) -> None:
            original(self, *args, **kwargs)
            for listener in listening() if self._enabled else ():
                try:
                    listener.updated(self)
                except BaseException as failure:
                    survive(listener, failure)

        return update

    def clips(parameters: Sequence[Tensor], gradients: Sequence[Tensor]) -> None:
        for listener in listening():
            try:
                listener.clip_begins(parameters, gradients)
            except BaseException as failure:
                survive(listener, failure)

    def watch_norms(original: Original) -> Original:
        def clip(parameters: Any, max_norm: Any, *args: Any, **kwargs: Any) -> Any:
            if is_compiling():
                return original(parameters, max_norm, *args, **kwargs)
            if not isinstance(parameters, Tensor | list):
                parameters = list(parameters)
            if _bounds(max_norm):
                clips([parameters] if isinstance(parameters, Tensor) else parameters, ())
            return original(parameters, max_norm, *args, **kwargs)

        return inlined(clip)

    def watch_groups(original: Original) -> Original:
        def group(tensors: Any, *args: Any, **kwargs: Any) -> Any:
            if is_compiling():
                return original(tensors, *args, **kwargs)
            frame = sys._getframe(1)
            if frame.f_code.co_name in _CLIPPERS:
                own = frame.f_locals
                if _bounds(own.get("clip_value", own.get("max_norm"))):
                    clips((), tensors[0])
            return original(tensors, *args, **kwargs)

        return inlined(group)

    def watch_building(original: Original) -> Original:
        def make(self: Any, *args: Any, **kwargs: Any) -> None:
            before, _inside.making = _inside.making, True
            try:
                original(self, *args, **kwargs)
            finally:
                _inside.making = before
            if not before:
                tell(lambda listener: listener.scheduled(self))

        return make

    def watch_moving(original: Original) -> Original:
        def step(self: Any, *args: Any, **kwargs: Any) -> Any:
            if _inside.making:
                return original(self, *args, **kwargs)
            before, _inside.moving = _inside.moving, True
            try:
                tell(lambda listener: listener.schedule_begins(self, bool(args or kwargs), before))
                return original(self, *args, **kwargs)
            finally:
                _inside.moving = before

        return step

    scaler = torch.amp.GradScaler
    yield scaler, "step", watch_step
    yield scaler, "scale", watch_scale
    yield scaler, "unscale_", watch_unscale
    yield scaler, "update", watch_update
    for name, watch in (
        ("_clip_grads_with_norm_", watch_norms),
        ("_group_tensors_by_device_and_dtype", watch_groups),
    ):
        if name in vars(clip_grad):
            yield clip_grad, name, watch
    for kind in dict.fromkeys(item for item in vars(lr_scheduler).values() if _is_schedule(item)):
        own = vars(kind)
        if "step" in own:
            yield kind, "step", watch_moving
            if "__init__" in own and kind is not lr_scheduler.CosineAnnealingWarmRestarts:
                yield kind, "__init__", watch_building  # the others go through the one of LRScheduler


def inlined(watcher: Original) -> Original:
    """Let the compiler take a watcher for a part of torch, and look into it: a whole graph may be asked for."""
    watcher.__code__ = watcher.__code__.replace(co_filename=clip_grad.__file__)
    return watcher


def _bounds(bound: object) -> bool:
    """Whether something may exceed a bound; a tensor's is not looked at, which would synchronise an accelerator."""
    return isinstance(bound, int | float) and abs(bound) < _MEASURES


def _is_schedule(item: object) -> bool:
    return isinstance(item, type) and issubclass(item, lr_scheduler.LRScheduler)
