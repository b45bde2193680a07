"""Threads: who listens in which of them, and which gradients may be looked at.

`Tensor.grad` is read without a lock. Whoever reads one while the backward pass of another thread writes it may get what
has just been freed, and the process dies. So a gradient is looked at only by the monitor of the thread that trains it,
and never while another thread is in a backward pass that may reach it:

- A thread that begins a backward pass says which leaves it may write to, and waits until the monitors of all other
  threads have let go of these (`begin_pass`).
- A monitor that begins to watch an optimizer says so, and does not if another thread is in such a pass (`is_free`).

Each says what it does before it asks what the other does, so at least one of them sees the other. While only one thread
has ever run a backward pass, no graph is walked and nobody waits.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Sequence
from types import CodeType, FrameType
from typing import Any, Protocol
from weakref import ref

import torch
from torch.autograd.graph import _engine_run_backward

from loopguard.runtime.gradients import leaves_of
from loopguard.runtime.listener import Listener


class _Everything(frozenset[int]):
    """All leaves that there are: what a backward pass writes to whose graph nobody has looked at."""

    def isdisjoint(self, other: object) -> bool:
        return False


EVERYTHING = _Everything()

_ENGINE: CodeType = _engine_run_backward.__code__
"""What is on the stack of a thread in a backward pass, whoever has begun it."""


class _Life:
    """Lives as long as a thread does."""

    __slots__ = ("__weakref__",)


class Thread:
    """A thread that has had an event: who listens to it, and what its backward pass may write to, while it is in one.

    `looks`: whether somebody wants to hear of forward passes in it.
    """

    __slots__ = ("_is_engines", "_life", "ident", "listeners", "looks", "writes")

    def __init__(self, life: _Life) -> None:
        self.ident = threading.get_ident()
        self.listeners: tuple[Listener, ...] = ()  # never changed in place: somebody may be going through it
        self.writes: frozenset[int] | None = None
        self.looks = False
        self._is_engines = False
        self._life = ref(life)

    @property
    def is_alive(self) -> bool:
        """Whether the thread has not ended."""
        return self._life() is not None

    def is_engines(self) -> bool:
        """Whether this thread, which asks, is one of the autograd engine's: it works on the passes of others."""
        if not self._is_engines and is_part_of_pass() and all(code is not _ENGINE for code in _codes(sys._getframe())):
            self._is_engines = True
        return self._is_engines

    def stack(self) -> list[CodeType]:
        """What it is doing, innermost first. A thread that runs does something else as soon as it is asked."""
        return _codes(_others_frames().get(self.ident)) if self.is_alive else []


class Monitor(Protocol):
    """Who watches the optimizers of a thread."""

    thread: Thread | None

    def let_go(self, leaves: frozenset[int]) -> None:
        """Never look again at some leaves, given by their ids. Returns when nobody looks at them."""

    def pause(self) -> None:
        """Return when whatever was going on at this moment is over."""


class Audience(Protocol):
    """Who listens in several threads."""

    def listener(self, thread: Thread) -> Listener | None:
        """Who listens in a thread."""

    def monitors(self) -> Sequence[Monitor]:
        """All who watch optimizers."""

    def fail(self, error: BaseException) -> None:
        """Something has gone wrong, and nobody may look at anything any more."""


class _Here(threading.local):
    """The thread in which this is asked, and who listens to it."""

    def __init__(self) -> None:
        self._life = _Life()
        self.thread = Thread(self._life)
        _enter(self.thread)


audiences: tuple[Audience, ...] = ()

sole: Thread | None = None
"""The thread that runs all backward passes, as long as there is only one."""

_trainers: list[Thread] = []
_threads: list[Thread] = []
_lock = threading.RLock()


def join(audience: Audience) -> None:
    """Let somebody listen in all threads, from now on. A second time changes nothing."""
    global audiences
    with _lock:
        if audience not in audiences:
            audiences = (*audiences, audience)
        refresh(*_threads)


def leave(audience: Audience) -> None:
    """Let somebody listen no longer. A second time changes nothing."""
    global audiences
    with _lock:
        audiences = tuple(other for other in audiences if other is not audience)
        refresh(*_threads)


def refresh(*threads: Thread) -> None:
    """See anew who listens in some threads."""
    with _lock:
        for thread in threads:
            thread.listeners = tuple(found for a in audiences if (found := a.listener(thread)) is not None)


def looks() -> bool:
    """Whether somebody wants to hear of forward passes in any thread."""
    return any(thread.looks for thread in [*_threads] if thread.is_alive)


def _enter(thread: Thread) -> None:
    global _threads
    with _lock:
        _threads = [*(other for other in _threads if other.is_alive), thread]
        refresh(thread)


def _begin_anew() -> None:
    """In a forked process there is one thread, and nobody listens there."""
    global audiences, sole, _threads, _lock
    _lock = threading.RLock()
    audiences, sole, _threads = (), None, []
    _trainers.clear()
    here.thread.listeners = ()
    here.thread.ident = threading.get_ident()
    here.thread.writes = None
    _threads.append(here.thread)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_anew)


here = _Here()

# Backward passes.


def is_part_of_pass() -> bool:
    """Whether what runs is called by the autograd engine, in whichever thread that does its work."""
    return bool(torch._C._current_graph_task_id() != -1)


def begin_pass(thread: Thread, roots: Sequence[Any]) -> frozenset[int]:
    """What the backward pass from some tensors may write to, when nobody else looks at that any more.

    To be asked for each pass of a thread that is not the `sole` one.
    """
    global sole
    is_engines = thread.is_engines()
    with _lock:
        others = [other for other in _trainers if other is not thread and other.is_alive]
        is_news = False
        if not is_engines:
            is_news = sole is not None
            sole = None if others else thread
            _trainers[:] = [*others, thread]
        if sole is not None:
            return EVERYTHING  # of a part of its pass in a thread of the engine, too
    leaves, before = _leaves(roots), thread.writes
    thread.writes = EVERYTHING if before is EVERYTHING else leaves.union(before or ())
    for monitor in [monitor for audience in audiences for monitor in audience.monitors()]:
        own = monitor.thread
        if own is None or own is thread or (is_engines and own.writes is not None):
            continue  # of the latter, one is whose pass this is a part of
        monitor.let_go(leaves)
        if is_news:
            monitor.pause()  # until now, it could look at whatever it liked
    return thread.writes


def is_alone() -> bool:
    """Whether no thread but this one is known to train."""
    return sole is here.thread or not _trainers


def is_free(leaves: frozenset[int], thread: Thread | None) -> bool:
    """Whether no thread but this one is in a backward pass that may write to some leaves, given by their ids."""
    known = {}
    for other in [*_threads]:
        if other.is_alive:
            known[other.ident] = other
            if other not in (thread, here.thread) and other.writes is not None and not other.writes.isdisjoint(leaves):
                return False
    return not any(
        _ENGINE in _codes(frame)
        for ident, frame in _others_frames().items()
        if ident not in known
        or known[ident].writes is None  # whoever is in a pass has begun it before anybody listened
    )


def passing() -> list[Thread]:
    """The threads that are in a backward pass of their own."""
    mine = (thread for thread in [*_threads] if thread.writes is not None and thread.is_alive)
    return [thread for thread in mine if not thread._is_engines]


def _others_frames() -> dict[int, FrameType]:
    """The innermost frames of all other threads. Whoever kept their own would keep all that is in it alive."""
    frames = sys._current_frames()
    del frames[threading.get_ident()]
    return frames


def _codes(frame: FrameType | None) -> list[CodeType]:
    found = []
    while frame is not None:
        found.append(frame.f_code)
        frame = frame.f_back
    return found


def _leaves(roots: Sequence[Any]) -> frozenset[int]:
    return frozenset(map(id, (*leaves_of(roots), *roots)))
