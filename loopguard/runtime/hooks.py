"""What patches torch, together with the watchers of hooks_updates.py; nothing else does.

Calls become events, and are told to those who listen in the thread.

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
from pathlib import Path
from typing import Any

import torch
import torch.distributed
from torch.nn.modules import module as modules
from torch.optim import optimizer as optimizers
from torch.optim.optimizer import Optimizer

from loopguard.runtime import threads
from loopguard.runtime.hooks_updates import watched
from loopguard.runtime.listener import MEANT, Listener
from loopguard.runtime.patches import HERE, Hook, Patch, not_compiled
from loopguard.runtime.threads import EVERYTHING, Audience, Thread, here

_lock = threading.RLock()


def _keep_compiler_out() -> None:
    """Have Dynamo, once it is there, neither compile nor inline what is called from a compiled function in here."""
    rules = sys.modules.get("torch._dynamo.trace_rules")
    if rules is not None and HERE not in rules.SKIP_DIRS:
        rules.add("loopguard")


if hasattr(os, "register_at_fork"):

    def _renew() -> None:
        global _lock
        _lock = threading.RLock()

    os.register_at_fork(after_in_child=_renew)


def listen(audience: Audience) -> None:
    """Tell `audience` of every event from now on. A second time changes nothing."""
    with _lock:
        threads.join(audience)
        _reconcile()
        _keep_compiler_out()


def forget(audience: Audience) -> None:
    """Tell `audience` nothing any more. The last one to go takes the patches along. May be done again."""
    with _lock:
        threads.leave(audience)
        _reconcile()


def removed() -> list[str]:
    """What somebody else has taken away, and put there what was there before: nobody can hear of that any more."""
    return [patch.name for patch in _PATCHES if patch.is_removed]


def _reconcile() -> None:
    """Have torch patched if somebody listens, and as it was if nobody does."""
    for patch in _PATCHES:
        if threads.audiences:
            patch.put()
        else:
            patch.take()
    if not threads.audiences:
        _LOOK.take()


def _survive(listener: Listener, error: BaseException) -> None:
    """Go on without a listener that has failed. Called where the error is handled."""
    if isinstance(error, MEANT):
        raise error.with_traceback(None)  # how the guard has come to it is nothing that the user asks for
    if not isinstance(error, Exception):
        listener.interrupted()
        raise error
    listener.fail(error)


def _begin_pass(thread: Thread, roots: Sequence[Any]) -> frozenset[int]:
    """Let a thread begin a pass while others train. If that fails, nobody knows any more who may look at what."""
    try:
        return threads.begin_pass(thread, roots)
    except Exception as failure:
        for audience in threads.audiences:
            audience.fail(failure)
        return EVERYTHING


def _watch_backward(original: Callable[..., Any]) -> Callable[..., Any]:
    def run_backward(roots: Sequence[Any], *args: Any, **kwargs: Any) -> Any:
        # `torch.autograd.grad` accumulates nothing.
        if not kwargs.get("accumulate_grad"):
            return original(roots, *args, **kwargs)
        thread = here.thread
        before = thread.writes
        try:
            thread.writes = EVERYTHING if threads.sole is thread else _begin_pass(thread, roots)
            for listener in thread.listeners:
                try:
                    listener.backward_begins(roots)
                except BaseException as failure:
                    _survive(listener, failure)
            result = original(roots, *args, **kwargs)
        except BaseException as error:
            thread.writes = before
            for listener in thread.listeners:
                try:
                    listener.backward_ends(error)
                except BaseException as failure:
                    _survive(listener, failure)
            raise
        finally:
            thread.writes = before
        for listener in thread.listeners:
            try:
                listener.backward_ends(None)
            except BaseException as failure:
                _survive(listener, failure)
        return result

    return run_backward


def _watch_clearing(original: Callable[..., Any]) -> Callable[..., Any]:
    def zero_grad(self: Any, *args: Any, **kwargs: Any) -> Any:
        result = original(self, *args, **kwargs)
        for listener in here.thread.listeners:
            try:
                listener.cleared(self)
            except BaseException as failure:
                _survive(listener, failure)
        return result

    return zero_grad


def _watch_making(original: Callable[..., Any]) -> Callable[..., Any]:
    def make(self: Any, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **kwargs)
        _keep_compiler_out()  # the first optimizer imports the compiler
        for listener in here.thread.listeners:
            try:
                listener.made(self)
            except BaseException as failure:
                _survive(listener, failure)

    return make


def _watch_wrapping(original: Callable[..., Any]) -> Callable[..., Any]:
    def wrap(self: Any, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **kwargs)
        for listener in here.thread.listeners:
            try:
                listener.wrapped(self)
            except BaseException as failure:
                _survive(listener, failure)

    return wrap


def _watch_leaving(original: Callable[..., Any]) -> Callable[..., Any]:
    def destroy_process_group(group: Any = None) -> None:
        for listener in here.thread.listeners if group is None else ():
            try:
                listener.leaves_group()
            except BaseException as failure:
                _survive(listener, failure)
        original(group)

    return destroy_process_group


# Modes, and forward passes where nothing is recorded.


class _Switching(threading.local):
    """Whether a module is being switched, and its parts with it, which is one event."""

    inside = False


_switching = _Switching()
_TORCH = f"{Path(torch.__file__).parent}/"
_DECORATED = f"{_TORCH}utils{os.sep}_contextlib.py"


def _watch_switching(original: Callable[..., Any]) -> Callable[..., Any]:
    def train(self: Any, *args: Any, **kwargs: Any) -> Any:
        if _switching.inside or not here.thread.listeners:
            return original(self, *args, **kwargs)
        before = self.training
        _switching.inside = True
        try:
            result = original(self, *args, **kwargs)
        finally:
            _switching.inside = False
        for listener in here.thread.listeners:
            try:
                if listener.switched(self, before):
                    _look()
            except BaseException as failure:
                _survive(listener, failure)
        return result

    return train


def _watch_entering(original: Callable[..., Any]) -> Callable[..., Any]:
    def enter(self: Any) -> Any:
        result = original(self)
        try:
            frame = sys._getframe(1)
            if frame.f_code.co_filename == _DECORATED and frame.f_back is not None:
                frame = frame.f_back  # a decorated function: who calls it
            # Optimizers and the like are full of such blocks.
            if frame.f_code.co_filename.startswith((_TORCH, HERE)) or torch.is_grad_enabled():
                return result
            for listener in here.thread.listeners:
                try:
                    if listener.recording_stops(frame):
                        _look()
                except BaseException as failure:
                    _survive(listener, failure)
        except BaseException:
            self.__exit__(None, None, None)  # nobody else will: the block has not begun
            raise
        return result

    return enter


def _look() -> None:
    """Tell of forward passes in this thread, until nobody wants to know."""
    compiler = sys.modules.get("torch._dynamo.eval_frame")
    # Compiled modules would be compiled anew for that. What is never compiled has no backend.
    if not (compiler is not None and any(compiler.cached_backends.values())):
        here.thread.looks = True
        _LOOK.put()


@not_compiled
def _before_forward(module: torch.nn.Module, args: Any) -> None:
    thread = here.thread
    wanted = False
    if not thread.looks and threads.looks():
        return
    for listener in thread.listeners:
        try:
            wanted |= listener.forward_begins(module)
        except BaseException as failure:
            _survive(listener, failure)
    if not wanted:
        thread.looks = False
        if not threads.looks():
            _LOOK.take()


@not_compiled
def _before_step(
    optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
    # The optimizer itself is the first of the positional arguments.
    closure = args[1] if len(args) > 1 else kwargs.get("closure") if kwargs else None
    given = closure
    for listener in here.thread.listeners:
        try:
            given = listener.step_begins(optimizer, given)
        except BaseException as failure:
            _survive(listener, failure)
    if given is closure:
        return None
    if len(args) > 1:
        return (args[0], given, *args[2:]), kwargs
    return args, {**kwargs, "closure": given}


@not_compiled
def _after_step(optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    for listener in here.thread.listeners:
        try:
            listener.step_ends(optimizer)
        except BaseException as failure:
            _survive(listener, failure)


_BLOCKS = (torch.no_grad, torch.inference_mode, torch.set_grad_enabled)


def _patches() -> list[Patch]:
    found = [
        Patch(torch.autograd, "_engine_run_backward", _watch_backward),
        Patch(Optimizer, "__init__", _watch_making),
        Patch(Optimizer, "zero_grad", _watch_clearing),
        Patch(torch.nn.Module, "zero_grad", _watch_clearing),
        *(Patch(*each) for each in watched(lambda: here.thread.listeners, _survive)),
        Patch(torch.nn.parallel.DistributedDataParallel, "__init__", _watch_wrapping),
        Patch(torch.nn.Module, "train", _watch_switching),
        *(Patch(block, "__enter__", _watch_entering) for block in _BLOCKS),
    ]
    if torch.distributed.is_available():
        for module in (torch.distributed, torch.distributed.distributed_c10d):
            found.append(Patch(module, "destroy_process_group", _watch_leaving))
    return found


_PATCHES: list[Patch | Hook] = [
    *_patches(),
    Hook(optimizers._global_optimizer_pre_hooks, _before_step, optimizers.register_optimizer_step_pre_hook),
    Hook(optimizers._global_optimizer_post_hooks, _after_step, optimizers.register_optimizer_step_post_hook),
]
_LOOK = Hook(modules._global_forward_pre_hooks, _before_forward, modules.register_module_forward_pre_hook)
"""There while somebody wants to hear of forward passes."""
