"""The monitors of a watch: one for each thread that trains, so that each sees one order of events.

A thread gets a monitor with the first event of the training in it: one whose own thread is at rest, or has only built
what this one trains, or a new one. So what was built in one thread and is trained in another is known there, and a pool
of threads that train in turn is one training.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from threading import RLock
from types import FrameType
from typing import Any

import torch
from torch import Tensor
from torch.amp import GradScaler
from torch.optim.lr_scheduler import LRScheduler
from torch.optim.optimizer import Optimizer

from loopguard.runtime import threads
from loopguard.runtime.accounts import Accounts
from loopguard.runtime.cruise import Cruise
from loopguard.runtime.gradients import leaves_of, parameters_of
from loopguard.runtime.threads import Thread, here


class Monitors:
    """The monitors of a watch. With a `home`, it hears of what that thread does, and of nothing in any other."""

    def __init__(self, new: Callable[[], Cruise], home: Thread | None) -> None:
        self.all: list[Cruise] = []
        self._new = new
        self._home = home
        self._lock = RLock()
        self._is_over = False
        self._add(here.thread)

    def listener(self, thread: Thread) -> Cruise | Newcomer:
        """Who listens in a thread."""
        return self.of(thread) or Newcomer(self, thread)

    def of(self, thread: Thread) -> Cruise | None:
        """The monitor of a thread."""
        return next((monitor for monitor in self.all if monitor.is_on and monitor.thread is thread), None)

    def meet(self, thread: Thread, uses: Callable[[], Iterable[Tensor]], *, builds: bool = True) -> Cruise | None:
        """The monitor for a thread that uses some parameters: one that is free, or, if it `builds`, one of its own."""
        if thread.is_engines():
            return self._of_pass()
        if self._is_over or self._home not in (None, thread):
            return None
        with self._lock:
            known = self.of(thread)
            if known is not None:
                return known
            used = frozenset(map(id, uses()))
            for monitor in self.all:
                if monitor.is_on and self._hand_over(monitor, thread, used):
                    return monitor
            return self._add(thread) if builds else None

    def is_used_elsewhere(self, optimizer: Optimizer, thread: Thread) -> None:
        """A thread that is not listened to uses an optimizer."""
        held = frozenset(map(id, parameters_of(optimizer)))
        for monitor in [*self.all]:
            if monitor.is_on and monitor.thread is not thread:
                monitor.accounts.lose(held)

    def moved(self, schedule: LRScheduler) -> None:
        """A schedule moves in a thread that does not train."""
        for monitor in [*self.all]:
            monitor.schedule_moves_elsewhere(schedule)

    def stop(self) -> None:
        """Hear of nothing any more."""
        self._is_over = True
        for monitor in [*self.all]:
            monitor.stop()

    def fail(self, error: BaseException) -> None:
        """A bug of the guard ends the guard."""
        self.all[0].fail(error)

    def _add(self, thread: Thread) -> Cruise:
        monitor = self._new()
        monitor.thread = thread
        monitor.lost = lambda: threads.refresh(here.thread)
        monitor.accounts.others = lambda: self._accounts_but(monitor)
        monitor.accounts.is_at_rest = lambda: not monitor.trains or monitor.is_at_rest(monitor.thread or thread)
        self.all = [*self.all, monitor]
        threads.refresh(thread)
        return monitor

    def _hand_over(self, monitor: Cruise, thread: Thread, used: frozenset[int]) -> bool:
        """Give a monitor to a thread that uses some parameters, if the one that has it lets it go."""
        before = monitor.thread
        if before is None or not self._is_free(monitor, before, used):
            return False
        monitor.thread = thread
        threads.refresh(before)
        # From here on it has no new events from the thread before. But one may be going on.
        is_free = monitor.while_paused(int) and self._is_free(monitor, before, used)
        monitor.thread = thread if is_free else before
        threads.refresh(thread, before)
        return is_free

    @staticmethod
    def _is_free(monitor: Cruise, thread: Thread, used: frozenset[int]) -> bool:
        """Whether the thread of a monitor is at rest, or has not trained and built nothing but for another one."""
        if monitor.trains or (monitor.history.accounts and not monitor.accounts.holds(used)):
            return monitor.is_at_rest(thread)
        return True

    def _of_pass(self) -> Cruise | None:
        """The monitor of the one thread that is in a backward pass. None where there are several."""
        passing = threads.passing()
        return self.of(passing[0]) if len(passing) == 1 else None

    def _accounts_but(self, own: Cruise) -> Sequence[Accounts]:
        return [monitor.accounts for monitor in self.all if monitor is not own and monitor.is_on]


class Newcomer:
    """Listens to a thread without a monitor, until something happens in it that one is for."""

    def __init__(self, monitors: Monitors, thread: Thread) -> None:
        self._monitors = monitors
        self._thread = thread

    def fail(self, error: BaseException) -> None:
        """A bug of the guard ends the guard."""
        self._monitors.fail(error)

    def interrupted(self) -> None:
        """Nothing was begun."""

    def made(self, optimizer: Optimizer) -> None:
        """An optimizer is there."""
        if (monitor := self._meet(optimizer)) is not None:
            monitor.made(optimizer)

    def cleared(self, owner: Optimizer | torch.nn.Module) -> None:
        """Gradients have been cleared."""
        if (monitor := self._meet(owner)) is not None:
            with monitor.alone:
                monitor.cleared(owner)

    def backward_begins(self, roots: Sequence[Any]) -> None:
        """Gradients are about to be computed."""
        monitor = self._monitors.meet(self._thread, lambda: leaves_of(roots))
        if monitor is not None:
            with monitor.alone:
                monitor.backward_begins(roots)

    def step_begins(self, optimizer: Optimizer, closure: Callable[[], Any] | None) -> Callable[[], Any] | None:
        """An optimizer is about to step. Returns the closure that it is to be given."""
        monitor = self._meet(optimizer)
        if monitor is None:
            return closure
        with monitor.alone:
            return monitor.step_begins(optimizer, closure)

    def scaled_step_begins(self, optimizer: Optimizer, scaler: GradScaler) -> None:
        """A scaler is about to step an optimizer, or to skip the step."""
        if (monitor := self._meet(optimizer)) is not None:
            monitor.scaled_step_begins(optimizer, scaler)

    def unscale_begins(self, scaler: GradScaler, optimizer: Optimizer) -> None:
        """A scaler has been asked to unscale the gradients of an optimizer."""
        if (monitor := self._meet(optimizer)) is not None:
            monitor.unscale_begins(scaler, optimizer)

    def clip_begins(self, parameters: Sequence[Tensor], gradients: Sequence[Tensor]) -> None:
        """Gradients are about to be clipped."""
        if (monitor := self._monitors.meet(self._thread, lambda: parameters)) is not None:
            monitor.clip_begins(parameters, gradients)

    def scaled(self, scaler: GradScaler, losses: object) -> None:
        """A scaler has scaled losses."""
        if (monitor := self._monitors.meet(self._thread, tuple)) is not None:
            monitor.scaled(scaler, losses)

    def updated(self, scaler: GradScaler) -> None:
        """A scaler has updated its scale."""
        if (monitor := self._monitors.meet(self._thread, tuple)) is not None:
            monitor.updated(scaler)

    # What need not be a part of the training is heard only where it may be one.

    def wrapped(self, module: torch.nn.Module) -> None:
        """A module is trained by several processes."""
        if (monitor := self._monitors.meet(self._thread, module.parameters, builds=False)) is not None:
            monitor.wrapped(module)

    def leaves_group(self) -> None:
        """The process group is about to be destroyed."""
        if (monitor := self._monitors.meet(self._thread, tuple, builds=False)) is not None:
            monitor.leaves_group()

    def scheduled(self, schedule: LRScheduler) -> None:
        """A schedule is there."""
        if (monitor := self._of_schedule(schedule)) is not None:
            monitor.scheduled(schedule)

    def schedule_begins(self, schedule: LRScheduler, is_told: bool, is_part: bool) -> None:
        """A schedule is about to move on."""
        if (monitor := self._of_schedule(schedule)) is not None:
            monitor.schedule_begins(schedule, is_told, is_part)
        else:
            self._monitors.moved(schedule)

    # What has begun with nobody listening ends so, but in the threads of the engine.

    def backward_ends(self, error: BaseException | None) -> None:
        """Gradients have been computed, or could not be."""
        if (monitor := self._of_engine()) is not None:
            with monitor.alone:
                monitor.backward_ends(error)

    def step_ends(self, optimizer: Optimizer) -> None:
        """An optimizer has stepped."""
        if (monitor := self._of_engine()) is not None:
            with monitor.alone:
                monitor.step_ends(optimizer)

    def scaled_step_ends(self, optimizer: Optimizer, error: BaseException | None) -> None:
        """The scaler has, or has failed."""

    # What is computed beside the training is no part of it.

    def switched(self, module: torch.nn.Module, before: bool) -> bool:
        """A module is in another mode. Nobody wants to hear of forward passes."""
        return False

    def recording_stops(self, frame: FrameType) -> bool:
        """A block has begun in which nothing is recorded. Nobody wants to hear of forward passes."""
        return False

    def forward_begins(self, module: torch.nn.Module) -> bool:
        """A module is called. Nobody wants to hear of it."""
        return False

    def _meet(self, owner: Optimizer | torch.nn.Module) -> Cruise | None:
        uses = owner.parameters if isinstance(owner, torch.nn.Module) else partial(parameters_of, owner)
        monitor = self._monitors.meet(self._thread, uses)
        if monitor is None and isinstance(owner, Optimizer):
            self._monitors.is_used_elsewhere(owner, self._thread)
        return monitor

    def _of_schedule(self, schedule: LRScheduler) -> Cruise | None:
        optimizer = getattr(schedule, "optimizer", None)
        uses = partial(parameters_of, optimizer) if isinstance(optimizer, Optimizer) else tuple
        return self._monitors.meet(self._thread, uses, builds=False)

    def _of_engine(self) -> Cruise | None:
        return self._monitors.meet(self._thread, tuple) if self._thread.is_engines() else None
