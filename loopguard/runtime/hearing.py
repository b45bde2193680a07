"""Hearing: what is no part of a cycle of events, and ends no cruise unless it is news."""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Callable
from threading import RLock
from time import monotonic, sleep
from types import FrameType
from typing import Any, TypeVar

import torch
from torch.optim.lr_scheduler import LRScheduler
from torch.optim.optimizer import Optimizer

from loopguard.runtime.accounts import Accounts
from loopguard.runtime.bookkeeper import Bookkeeper
from loopguard.runtime.docket import Docket
from loopguard.runtime.listener import MEANT
from loopguard.runtime.threads import Thread, here
from loopguard.runtime.verdicts.telling import History

Answer = TypeVar("Answer")


_PATIENCE = 20.0
"""How many seconds another thread waits for this one's work on its books: it may be stuck for want of the other."""


class Hearing(ABC):
    """Listens to what surrounds the events, and tells those about it whom it concerns.

    What is done with the books is done alone: another thread that wants something of them waits until it is over.
    `thread` is the one that is listened to; `trains`: whether it is known to train. `failed` is called with what has
    gone wrong, once, and `lost` when something was cut off and the books are not in order any more (`is_lost`).
    """

    def __init__(self, bookkeeper: Bookkeeper, docket: Docket, failed: Callable[[BaseException], None]) -> None:
        self.thread: Thread | None = None
        self.trains = False
        self.is_on = True
        self.is_lost = False
        self.lost: Callable[[], None] = lambda: None
        self._bookkeeper = bookkeeper
        self._docket = docket
        self._around = bookkeeper.around
        self._failed = failed
        self._lock = RLock()
        self._is_busy = False
        self._is_torn = False

    @abstractmethod
    def do(self, work: Callable[[], Answer]) -> Answer | None:
        """Do something for which the books have to be up to date."""

    @abstractmethod
    def _let_go_of_owners(self) -> None:
        """Do not even hear that somebody is gone: that may come when little is left to hear it."""

    def stop(self) -> None:
        """Hear of nothing any more."""
        self.is_on = self._is_busy = False
        self._let_go_of_owners()

    def fail(self, error: BaseException) -> None:
        """A bug of the guard ends the guard, not the training."""
        if self.is_on:
            self.stop()
            self._failed(error)

    def interrupted(self) -> None:
        """The books are not in order any more. The next event in the thread begins new ones."""
        if self.is_on:
            self.is_lost = True
            self.stop()
            self.lost()

    # What other threads ask for.

    @property
    def accounts(self) -> Accounts:
        """The accounts that are kept."""
        return self._bookkeeper.accounts

    @property
    def history(self) -> History:
        """What has happened so far."""
        return self._bookkeeper.history

    def conclude(self, error: BaseException | None, *, is_only: bool) -> None:
        """Give the verdicts that only the end can give. `is_only`: no other thread trains."""
        self.while_paused(lambda: self.do(lambda: self._bookkeeper.conclude(error, is_only=is_only)))

    @property
    def alone(self) -> RLock:
        """To be held by who does something in the name of the thread."""
        return self._lock

    def is_at_rest(self, thread: Thread) -> bool:
        """Whether a thread is in no code of the user's: it has ended, or waits in a pool for more work."""
        is_users = self._bookkeeper.sites.is_users
        return not any(map(is_users, thread.stack()))

    def let_go(self, leaves: frozenset[int]) -> None:
        """Never look again at some leaves, given by their ids. Returns when nobody looks at them."""
        if self.is_on and self._bookkeeper.accounts.holds(leaves):
            if not self.while_paused(lambda: self._bookkeeper.accounts.let_go(leaves)):
                self.fail(TimeoutError("a thread is stuck"))

    def pause(self) -> None:
        """Return when whatever was going on at this moment is over."""
        if not self.while_paused(lambda: None):
            self.fail(TimeoutError("a thread is stuck"))

    def while_paused(self, work: Callable[[], object]) -> bool:
        """Do some work while the thread does none with its books. False if it does not come to an end with its own."""
        lock: Any = self._lock
        until = monotonic() + _PATIENCE
        try:
            if not lock.acquire(timeout=_PATIENCE):
                return False
            work()
            while self._is_busy and self.thread is not here.thread:  # a look that takes no lock
                if monotonic() > until:
                    return False
                sleep(0.0002)
            return True
        finally:
            if lock._is_owned():
                lock.release()

    def _is_interrupting(self) -> bool:
        """Whether this comes in the middle of other work on the books: from a signal's handler, or a finalizer.

        Otherwise it is the work now, until it says that it is not.
        """
        self._is_torn |= self._is_busy
        self._is_busy = True
        return self._is_torn

    def _tell(self) -> None:
        """The books are closed: tell what this has brought to light."""
        if self._is_torn:
            self.interrupted()
        if self._docket.untold:
            self._docket.tell()

    # What the hooks tell.

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

    def schedule_moves_elsewhere(self, schedule: LRScheduler) -> None:
        """A schedule moves in a thread that does not train."""
        self._ask(lambda: self._around.schedules.moves_elsewhere(schedule))

    def schedule_begins(self, schedule: LRScheduler, is_told: bool, is_part: bool) -> None:
        """A schedule is about to move on."""
        frame = sys._getframe(1)
        self._ask(lambda: self._around.schedules.moves(schedule, is_told, is_part, frame))

    def _ask(self, question: Callable[[], object]) -> bool:
        """Ask something for which the books need not be up to date, and that looks at no gradient."""
        try:
            answer = self.is_on and question()
            if self._docket.untold:
                self._docket.tell()
        except MEANT:
            raise
        except Exception as error:
            self.fail(error)
            return False
        return bool(answer)
