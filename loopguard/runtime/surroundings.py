"""Surroundings: what is no event of the gradients' own, and bears on them: modes, forward passes, makings, replicas."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any

import torch
from torch.optim.optimizer import Optimizer

from loopguard.lifecycles.sampling import Mistake
from loopguard.runtime.docket import OFTEN, Docket
from loopguard.runtime.entries import Entry
from loopguard.runtime.journal import Journal
from loopguard.runtime.ledger import Account
from loopguard.runtime.makings import Makings
from loopguard.runtime.modes import Modes
from loopguard.runtime.passes import Passes
from loopguard.runtime.progress import Progress
from loopguard.runtime.schedules import Schedules
from loopguard.runtime.sites import Sites
from loopguard.runtime.updates import Updates
from loopguard.runtime.verdicts import losses, replicas
from loopguard.runtime.verdicts.telling import History, Telling


class Surroundings:
    """Hears from the bookkeeper of what they bear on. `clock` is set by who numbers the events."""

    def __init__(self, history: History, docket: Docket, sites: Sites, progress: Progress, journal: Journal) -> None:
        self.clock: Callable[[], int] = int
        self.modes = Modes(history, docket, sites, progress, journal, lambda: self.clock())
        self.passes = Passes(history, docket, sites, progress, self.modes, lambda: self.clock())
        self.makings = Makings(history, docket, sites, progress)
        self.updates = Updates(history, docket, sites, progress, journal)
        self.schedules = Schedules(history, docket, sites, progress)
        self.exchanges = replicas.Exchanges()
        self._history = history
        self._docket = docket
        self._sites = sites

    def made(self, account: Account | None, optimizer: Optimizer, frame: FrameType) -> None:
        """An optimizer is there."""
        if account is not None:
            self.makings.made(account, optimizer, frame)

    def wrapped(self, module: torch.nn.Module) -> None:
        """A module is trained by several processes."""
        self.exchanges.wrapped(module)

    def backward_without_graph(self, entry: Entry, roots: Sequence[Any], frame: FrameType) -> None:
        """A backward pass may start from a tensor without a graph."""
        self._docket.file(losses.without_graph(entry, roots, self.passes.off()), frame)

    def stepped(self, account: Account, entry: Entry, frame: FrameType) -> None:
        """An optimizer has stepped."""
        self.modes.learned(account, entry, frame)
        self.updates.stepped(account, frame)
        self.schedules.stepped(account, entry, frame)
        if account.steps == 1:
            self.makings.stepped(account, entry, frame)
        if account.steps <= OFTEN and len(account.last_use) > 1 and self._docket.judges(Mistake.NO_SYNC, entry.site):
            telling = Telling(self._history, account, entry, self._sites.user_frames(frame))
            self._docket.file(replicas.unneeded(telling, self.exchanges), frame)
