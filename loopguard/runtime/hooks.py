"""What patches torch, together with the watchers of hooks_updates.py; nothing else does.

Calls become events, and are told to the listeners.

What is patched are modules and classes, never objects: an attribute on an optimizer would break pickling and
learning-rate schedulers. Every backward pass goes through one function of `torch.autograd`, every step through the
global step hooks (https://docs.pytorch.org/docs/stable/optim.html), every clear through one of two methods.

Patches are there while somebody listens. Removed, everything is as it was; where somebody else has patched on top
in the meantime, theirs stays, and ours below it passes calls through.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

import torch
import torch.distributed
from torch.optim.optimizer import (
    Optimizer,
    register_optimizer_step_post_hook,
    register_optimizer_step_pre_hook,
)
from torch.utils.hooks import RemovableHandle

import loopguard
from loopguard.runtime.hooks_updates import watched
from loopguard.runtime.listener import MEANT, Listener

_Answer = TypeVar("_Answer")


_HERE = f"{Path(loopguard.__file__).parent}/"

_listeners: tuple[Listener, ...] = ()
_undo: list[Callable[[], None]] = []
_lock = threading.RLock()


def _keep_compiler_out() -> None:
    """Have Dynamo, once it is there, neither compile nor inline what is called from a compiled function in here."""
    rules = sys.modules.get("torch._dynamo.trace_rules")
    if rules is not None and _HERE not in rules.SKIP_DIRS:
        rules.add("loopguard")


def _be_silent() -> None:
    """In a forked process, a worker that loads data or the like: nobody listens there."""
    global _listeners
    _listeners = ()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_be_silent)


def listen(listener: Listener) -> None:
    """Tell `listener` of every event from now on. A second time changes nothing."""
    global _listeners
    with _lock:
        if listener not in _listeners:
            _listeners = (*_listeners, listener)
        if not _undo:
            _install()
            _keep_compiler_out()


def forget(listener: Listener) -> None:
    """Tell `listener` nothing any more. The last one to go takes the patches along."""
    global _listeners
    with _lock:
        _listeners = tuple(item for item in _listeners if item is not listener)
        if not _listeners:
            while _undo:
                _undo.pop()()


def _install() -> None:
    _patch(torch.autograd, "_engine_run_backward", _watch_backward)
    _patch(Optimizer, "__init__", _watch_making)
    _patch(Optimizer, "zero_grad", _watch_clearing)
    _patch(torch.nn.Module, "zero_grad", _watch_clearing)
    for owner, name, watch in watched(lambda: _listeners, _survive):
        _patch(owner, name, watch)
    _patch(torch.nn.parallel.DistributedDataParallel, "__init__", _watch_wrapping)
    _patch(torch.nn.Module, "train", _watch_switching)
    for block in (torch.no_grad, torch.inference_mode, torch.set_grad_enabled):
        _patch(block, "__enter__", _watch_entering)
    _undo.append(_look_away)
    if torch.distributed.is_available():
        for module in (torch.distributed, torch.distributed.distributed_c10d):
            _patch(module, "destroy_process_group", _watch_leaving)
    _undo.append(register_optimizer_step_pre_hook(_before_step).remove)
    _undo.append(register_optimizer_step_post_hook(_after_step).remove)


def _patch(owner: Any, name: str, watch: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
    original = vars(owner)[name]
    replacement: Callable[..., Any] = wraps(original)(watch(original))
    if replacement.__code__.co_filename.startswith(_HERE):
        replacement = _not_compiled(replacement)
    setattr(owner, name, replacement)

    def undo() -> None:
        if vars(owner).get(name) is replacement:
            setattr(owner, name, original)

    _undo.append(undo)


def _not_compiled(function: Callable[..., _Answer]) -> Callable[..., _Answer]:
    """Mark a function for Dynamo, which calls it as it is and never looks inside."""
    function._torchdynamo_disable = True  # type: ignore[attr-defined]
    return function


def _survive(listener: Listener, error: Exception) -> None:
    """Go on without a listener that has failed. Called where the error is handled."""
    if isinstance(error, MEANT):
        raise error.with_traceback(None)  # how the guard has come to it is nothing that the user asks for
    forget(listener)
    listener.fail(error)


def _watch_backward(original: Callable[..., Any]) -> Callable[..., Any]:
    def run_backward(roots: Sequence[Any], *args: Any, **kwargs: Any) -> Any:
        listeners = _listeners
        # `torch.autograd.grad` accumulates nothing.
        if not listeners or not kwargs.get("accumulate_grad"):
            return original(roots, *args, **kwargs)
        for listener in listeners:
            try:
                listener.backward_begins(roots)
            except Exception as failure:
                _survive(listener, failure)
        try:
            result = original(roots, *args, **kwargs)
        except BaseException as error:
            for listener in listeners:
                try:
                    listener.backward_ends(error)
                except Exception as failure:
                    _survive(listener, failure)
            raise
        for listener in listeners:
            try:
                listener.backward_ends(None)
            except Exception as failure:
                _survive(listener, failure)
        return result

    return run_backward


def _watch_clearing(original: Callable[..., Any]) -> Callable[..., Any]:
    def zero_grad(self: Any, *args: Any, **kwargs: Any) -> Any:
        result = original(self, *args, **kwargs)
        for listener in _listeners:
            try:
                listener.cleared(self)
            except Exception as failure:
                _survive(listener, failure)
        return result

    return zero_grad


def _watch_making(original: Callable[..., Any]) -> Callable[..., Any]:
    def make(self: Any, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **kwargs)
        _keep_compiler_out()  # the first optimizer imports the compiler
        for listener in _listeners:
            try:
                listener.made(self)
            except Exception as failure:
                _survive(listener, failure)

    return make


def _watch_wrapping(original: Callable[..., Any]) -> Callable[..., Any]:
    def wrap(self: Any, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **kwargs)
        for listener in _listeners:
            try:
                listener.wrapped(self)
            except Exception as failure:
                _survive(listener, failure)

    return wrap


def _watch_leaving(original: Callable[..., Any]) -> Callable[..., Any]:
    def destroy_process_group(group: Any = None) -> None:
        for listener in _listeners if group is None else ():
            try:
                listener.leaves_group()
            except Exception as failure:
                _survive(listener, failure)
        original(group)

    return destroy_process_group


# Modes, and forward passes where nothing is recorded.


class _Switching(threading.local):
    """Whether a module is being switched, and its parts with it, which is one event."""

    inside = False


_switching = _Switching()
_looking: list[RemovableHandle] = []
_TORCH = f"{Path(torch.__file__).parent}/"
_DECORATED = f"{_TORCH}utils{os.sep}_contextlib.py"


def _watch_switching(original: Callable[..., Any]) -> Callable[..., Any]:
    def train(self: Any, *args: Any, **kwargs: Any) -> Any:
        if _switching.inside or not _listeners:
            return original(self, *args, **kwargs)
        before = self.training
        _switching.inside = True
        try:
            result = original(self, *args, **kwargs)
        finally:
            _switching.inside = False
        for listener in _listeners:
            try:
                if listener.switched(self, before):
                    _look()
            except Exception as failure:
                _survive(listener, failure)
        return result

    return train


def _watch_entering(original: Callable[..., Any]) -> Callable[..., Any]:
    def enter(self: Any) -> Any:
        result = original(self)
        frame = sys._getframe(1)
        if frame.f_code.co_filename == _DECORATED and frame.f_back is not None:
            frame = frame.f_back  # a decorated function: who calls it
        # Optimizers and the like are full of such blocks.
        if frame.f_code.co_filename.startswith((_TORCH, _HERE)) or torch.is_grad_enabled():
            return result
        for listener in _listeners:
            try:
                if listener.recording_stops(frame):
                    _look()
            except Exception as failure:
                _survive(listener, failure)
        return result

    return enter


def _look() -> None:
    """Tell of forward passes, until nobody wants to know. Compiled modules would be compiled anew for that."""
    compiler = sys.modules.get("torch._dynamo.eval_frame")
    # What is never compiled has no backend.
    if not _looking and not (compiler is not None and any(compiler.cached_backends.values())):
        _looking.append(torch.nn.modules.module.register_module_forward_pre_hook(_before_forward))


def _look_away() -> None:
    while _looking:
        _looking.pop().remove()


@_not_compiled
def _before_forward(module: torch.nn.Module, args: Any) -> None:
    wanted = False
    for listener in _listeners:
        try:
            wanted |= listener.forward_begins(module)
        except Exception as failure:
            _survive(listener, failure)
    if not wanted:
        _look_away()


@_not_compiled
def _before_step(
    optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
    # The optimizer itself is the first of the positional arguments.
    closure = args[1] if len(args) > 1 else kwargs.get("closure") if kwargs else None
    given = closure
    for listener in _listeners:
        try:
            given = listener.step_begins(optimizer, given)
        except Exception as failure:
            _survive(listener, failure)
    if given is closure:
        return None
    if len(args) > 1:
        return (args[0], given, *args[2:]), kwargs
    return args, {**kwargs, "closure": given}


@_not_compiled
def _after_step(optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    for listener in _listeners:
        try:
            listener.step_ends(optimizer)
        except Exception as failure:
            _survive(listener, failure)
