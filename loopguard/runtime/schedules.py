"""Schedules: which were built, over which optimizers, and whether they move before these have stepped, or never."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import FrameType
from typing import Any
from weakref import ref

from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau
from torch.optim.optimizer import Optimizer

from loopguard.events import Kind
from loopguard.lifecycles.schedule import TRANSITIONS, Action, State
from loopguard.runtime.docket import OFTEN, Docket
from loopguard.runtime.entries import Entry
from loopguard.runtime.ledger import Account
from loopguard.runtime.makings import maker
from loopguard.runtime.progress import Progress
from loopguard.runtime.sites import Site, Sites
from loopguard.runtime.verdicts import schedules as verdicts
from loopguard.runtime.verdicts.telling import History

_KNOWN = ("torch.optim.", "transformers.")
"""Whose schedules begin with the first step; one of somebody's own may be counted from where it likes."""

_MANY = 256
"""How many schedules are remembered that never move."""


@dataclass(slots=True)
class Scheduled:
    """A schedule over an optimizer: where it was built, whether it has moved, and where before the optimizer did."""

    schedule: ref[LRScheduler]
    optimizer: ref[Optimizer]
    name: str
    built: Entry
    state: State = State.BUILT
    moves: int = 0
    early: Entry | None = None
    stepped: list[Entry] = field(default_factory=list)
    parts: frozenset[int] = frozenset()


class Schedules:
    """The schedules of a run, by their identity."""

    def __init__(self, history: History, docket: Docket, sites: Sites, progress: Progress) -> None:
        self._history = history
        self._docket = docket
        self._sites = sites
        self._now = progress
        self._known: dict[int, Scheduled] = {}
        self._still: list[Scheduled] = []

    def built(self, schedule: LRScheduler, frame: FrameType) -> None:
        """A schedule is there."""
        optimizer = getattr(schedule, "optimizer", None)
        if not isinstance(optimizer, Optimizer) or not type(schedule).__module__.startswith(_KNOWN):
            return
        site = self._sites.at(Kind.BUILD, maker(frame, schedule))
        known = Scheduled(ref(schedule), ref(optimizer), type(schedule).__name__, self._entry(site))
        known.parts = frozenset(map(id, getattr(schedule, "_schedulers", ())))
        account = self._history.account(optimizer)
        known.state, _ = TRANSITIONS[known.state, Action.BUILD]
        if (account is not None and account.steps) or getattr(optimizer, "_opt_called", False):
            known.state, _ = TRANSITIONS[known.state, Action.STEP]
        self._known[id(schedule)] = known
        if len(self._still) < _MANY:
            self._still.append(known)

    def moves(self, schedule: LRScheduler, is_told: bool, is_part: bool, frame: FrameType) -> None:
        """A schedule is about to move on."""
        known = self._known.get(id(schedule))
        if known is not None and known.schedule() is schedule:
            known.moves += 1
            is_settled = known.state is State.RUNNING and not isinstance(schedule, ReduceLROnPlateau)
            if known.moves > OFTEN and (is_told or is_settled):
                return
        if is_part:
            return
        site = self._sites.at(Kind.SCHEDULE, frame)
        site.visits += 1
        if isinstance(schedule, ReduceLROnPlateau):
            if not is_told and type(schedule).step is ReduceLROnPlateau.step:
                frames = self._sites.user_frames(frame)
                self._docket.file(verdicts.no_metric(schedule, self._entry(site), frames), frame)
            return
        if known is None or known.schedule() is not schedule:
            return
        if is_told:
            known.state = State.RUNNING
        known.state, mistake = TRANSITIONS[known.state, Action.SCHEDULE]
        if mistake is not None and known.moves == 1:
            known.early = self._entry(site)

    def moves_elsewhere(self, schedule: LRScheduler) -> None:
        """A schedule moves in another thread than its optimizer: in which order, nobody knows."""
        known = self._known.get(id(schedule))
        if known is not None and known.schedule() is schedule:
            known.moves += 1
            known.state = State.RUNNING

    def stepped(self, account: Account, step: Entry, frame: FrameType) -> None:
        """An optimizer has stepped, for one of the first times."""
        optimizer = account.optimizer()
        for known in self._known.values() if account.steps < OFTEN else ():
            if optimizer is None or known.optimizer() is not optimizer:
                continue
            known.state, _ = TRANSITIONS[known.state, Action.STEP]
            known.stepped.append(step)
            early, known.early = known.early, None
            schedule = known.schedule()
            if early is not None and schedule is not None:
                frames = self._sites.user_frames(frame)
                self._docket.file(verdicts.before_optimizer(schedule, early, step, frames), frame)

    def conclude(self) -> None:
        """The run is over, and was not cut short: tell of what has never moved."""
        parts = frozenset(key for known in self._known.values() for key in known.parts)
        visited = {
            way for site in self._sites.all if site.kind in (Kind.STEP, Kind.SCHEDULE) for way in _rows(site.ways)
        }
        for known in self._still:
            schedule = known.schedule()
            if known.moves or (schedule is not None and not _moves_as_known(schedule)):
                continue
            if not any(self._known.get(key) is known for key in parts):
                self._docket.file(verdicts.never(known.name, known.built, known.stepped, visited), None)

    def _entry(self, site: Site) -> Entry:
        return self._now.moment(site)


def _rows(ways: Any) -> list[tuple[str, int]]:
    return [(program.path, row) for program, row in ways]


def _moves_as_known(schedule: LRScheduler) -> bool:
    """Whether each move of a schedule is heard of: its `step` is one of PyTorch's."""
    return str(getattr(type(schedule).step, "__module__", "")).startswith("torch.")
