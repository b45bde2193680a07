"""Learning-rate schedules as they happen: moved too early, never, or without the metric that they ask for.

The lifecycle is `loopguard.lifecycles.schedule`. Schedules of classes that are not torch's are left alone: they may
be counted from where they like.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from types import FrameType
from typing import Any
from weakref import ref

from torch.optim.lr_scheduler import ReduceLROnPlateau

from loopguard.events import Kind
from loopguard.lifecycles.schedule import TRANSITIONS, Action, Mistake, State
from loopguard.runtime.courses import Course, Courses
from loopguard.runtime.ledger import Entry
from loopguard.runtime.verdicts.telling import common_loop, innermost

_ENOUGH = 4
"""How many steps an optimizer must have taken in a loop until a schedule over it is missed."""

_ASSIGNED = re.compile(r"^\s*(?P<name>\w+)\s*(?::[^=]+)?=[^=]")
_LOOKS = r"(?:state_dict|load_state_dict|get_last_lr|get_lr|last_epoch|base_lrs|optimizer)\b"


@dataclass(slots=True, eq=False)
class _Schedule:
    schedule: ref[Any]
    kind: str
    state: State
    built: Entry | None
    course: Course
    early: Entry | None = None
    moved: bool = False
    steps: int = 0
    step: Entry | None = None


class Schedules:
    """The schedules of all optimizers."""

    def __init__(self, courses: Courses) -> None:
        self._courses = courses
        self._known: dict[int, _Schedule] = {}

    def made(self, schedule: Any, course: Course, frame: FrameType) -> None:
        """A schedule has been built. What it is made of moves with it."""
        entry = self._courses.enter(Kind.BUILD, 0, frame)
        self._add(schedule, course, entry)
        for part in getattr(schedule, "_schedulers", ()):
            if (inner := self._known.get(id(part))) is not None:
                inner.moved = True

    def moves(self, schedule: Any, course: Course, given: int, frame: FrameType) -> None:
        """A schedule is about to move."""
        known = self._known.get(id(schedule))
        if known is None or known.schedule() is not schedule:
            known = self._add(schedule, course, None)
        entry = self._courses.enter(Kind.SCHEDULE, id(schedule), frame)
        known.moved = True
        if isinstance(schedule, ReduceLROnPlateau):
            if not given:
                told = [(entry, "moved without the metric")]
                self._courses.tell(Mistake.NO_METRIC, schedule, entry, told, frame, in_loop=False)
            return
        known.state, mistake = TRANSITIONS[known.state, Action.SCHEDULE]
        first = known.early is None and mistake is not None and not given
        if first and known.built is not None and type(schedule).__module__.startswith("torch.optim"):
            known.early = entry

    def optimizer_stepped(self, course: Course, entry: Entry, frame: FrameType) -> None:
        """An optimizer is about to step: its schedules are running from here on."""
        for known in self._known.values():
            if known.course is not course:
                continue
            schedule = known.schedule()
            if known.state is State.BUILT and known.early is not None and schedule is not None:
                self._tell_early(known, schedule, known.early, entry, frame)
            known.state = TRANSITIONS[known.state, Action.STEP][0]
            if not known.moved and innermost(entry.site) is not None:
                known.steps += 1
                known.step = entry

    def conclude(self, error: BaseException | None) -> None:
        """The run is over: schedules that have never moved. One that was broken off may not have got there."""
        for known in self._known.values() if error is None else ():
            if known.moved or known.steps < _ENOUGH or known.built is None or known.step is None:
                continue
            name = self._only_bound(known.built)
            if name and known.kind:
                told = [(known.built, "the schedule is built"), (known.step, "its optimizer steps")]
                facts = {"class": known.kind}
                mistake = Mistake.NEVER_STEPPED
                self._courses.tell(mistake, None, known.built, told, None, facts, in_loop=False, name=name)

    def _add(self, schedule: Any, course: Course, built: Entry | None) -> _Schedule:
        torchs = type(schedule).__module__ == "torch.optim.lr_scheduler"
        kind = type(schedule).__name__ if torchs else ""
        # One that was built before anybody listened may be running already.
        state = State.BUILT if built is not None else State.RUNNING
        known = self._known[id(schedule)] = _Schedule(ref(schedule), kind, state, built, course)
        return known

    def _tell_early(self, known: _Schedule, schedule: Any, move: Entry, step: Entry, frame: FrameType) -> None:
        if common_loop([move.site, step.site]) is not None:
            told = [(move, "the schedule moves on"), (step, "the optimizer's first step")]
            self._courses.tell(Mistake.BEFORE_OPTIMIZER, schedule, move, told, frame)

    def _only_bound(self, built: Entry) -> str:
        """The name that a schedule is bound to, if its file does no more with that name than look at it."""
        program, row = built.site.ways[0]
        match = _ASSIGNED.match(program.lines[row - 1])
        if match is None:
            return ""
        word = rf"(?<![\w.]){re.escape(match['name'])}\b"
        used = re.search(rf"{word}(?!\s*(?::[^=\n]+)?=[^=])(?!\.{_LOOKS})", "".join(program.lines))
        return "" if used else match["name"]
