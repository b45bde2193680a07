"""Hearing: what is no part of a cycle of events, and ends no cruise unless it is news."""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Callable
from types import FrameType
from typing import TypeVar

import torch
from torch.optim.lr_scheduler import LRScheduler
from torch.optim.optimizer import Optimizer

from loopguard.runtime.bookkeeper import Bookkeeper
from loopguard.runtime.listener import MEANT

Answer = TypeVar("Answer")


class Hearing(ABC):
    """Listens to what surrounds the events, and tells those about it whom it concerns."""

    def __init__(self, bookkeeper: Bookkeeper) -> None:
        self._bookkeeper = bookkeeper
        self._around = bookkeeper.around
        self._is_on = True

    @abstractmethod
    def do(self, work: Callable[[], Answer]) -> Answer | None:
        """Do something for which the books have to be up to date."""

    @abstractmethod
    def fail(self, error: BaseException) -> None:
        """A bug of the guard ends the guard, not the training."""

    def made(self, optimizer: Optimizer) -> None:
        """An optimizer is there."""
        frame = sys._getframe(1)
        self.do(lambda: self._bookkeeper.made(optimizer, frame))

    def wrapped(self, module: torch.nn.Module) -> None:
        """A module is trained by several processes."""
        self.do(lambda: self._bookkeeper.wrapped(module))

    def leaves_group(self) -> None:
        """The process group is about to be destroyed."""
        self.do(self._bookkeeper.leave_group)

    def switched(self, module: torch.nn.Module, before: bool) -> bool:
        """A module is in another mode, or in the same, than `before`. Whether to tell of forward passes."""
        frame = sys._getframe(1)
        if not self._ask(lambda: self._around.modes.is_news(module, before, frame)):
            return False
        modes, passes = self._around.modes, self._around.passes
        return bool(self.do(lambda: passes.evaluates(modes.evaluates(module, frame))))

    def recording_stops(self, frame: FrameType) -> bool:
        """A block has begun in which nothing is recorded, in `frame`. Whether to tell of forward passes."""
        return self._ask(lambda: self._around.passes.recording_stops(frame))

    def forward_begins(self, module: torch.nn.Module) -> bool:
        """A module is called. Whether to go on telling of forward passes."""
        frame = sys._getframe(1)
        go_on = self._ask(lambda: self._around.passes.look(module, frame))
        if self._around.passes.found is not None:
            go_on = bool(self.do(lambda: self._around.passes.judge(frame)))
        return go_on

    def scheduled(self, schedule: LRScheduler) -> None:
        """A schedule is there."""
        frame = sys._getframe(1)
        self._ask(lambda: self._around.schedules.built(schedule, frame))

    def schedule_begins(self, schedule: LRScheduler, is_told: bool, is_part: bool) -> None:
        """A schedule is about to move on."""
        frame = sys._getframe(1)
        self._ask(lambda: self._around.schedules.moves(schedule, is_told, is_part, frame))

    def _ask(self, question: Callable[[], object]) -> bool:
        """Ask something for which the books need not be up to date."""
        try:
            return self._is_on and bool(question())
        except MEANT:
            raise
        except Exception as error:
            self.fail(error)
        return False
