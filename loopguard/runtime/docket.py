"""The docket: which mistakes have been looked at, which are findings, and how often each was made.

A verdict is asked each time a mistake is made at a site until it has a case or has been silent often; a finding is
told once, and counted from then on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from types import FrameType

from loopguard.arbitration import Arbiter
from loopguard.case import Case
from loopguard.finding import Finding
from loopguard.runtime.judge import Judge
from loopguard.runtime.sites import Site, Sites

OFTEN = 16
"""How often a verdict may be silent about a site until it is asked only now and then."""


@dataclass(slots=True)
class Record:
    """A finding, and how often the same mistake was made at the same place."""

    finding: Finding
    count: int = 1


@dataclass(slots=True)
class _Question:
    """What has become of one mistake at one site."""

    times: int = 0
    record: Record | None = None
    dismissed: bool = False


Tell = Callable[[Record, FrameType | None], None]
"""What is done with a new record; the frame is the user's, at the event, or None at the end of the run."""

Key = tuple[int, object, Site]
"""Whose mistake it is, which one, and where."""


class Docket:
    """The findings of a run. A `quiet` one keeps them to itself until it is asked to `speak`."""

    def __init__(self, judge: Judge, tell: Tell, sites: Sites, *, quiet: bool) -> None:
        self.records: list[Record] = []
        self.quiet = quiet
        self._judge = judge
        self._tell = tell
        self._sites = sites
        self._questions: dict[Key, _Question] = {}
        self._judged: dict[tuple[Enum, str], bool] = {}
        self._known: dict[tuple[str, object], Record] = {}
        self._arbiter = Arbiter()

    def ask(self, key: Key, verdict: Callable[[], Case | None], frame: FrameType) -> bool:
        """Ask a verdict about a mistake, unless this one has been told or dismissed. Whether there is a finding."""
        question = self._questions.get(key)
        if question is None:
            question = self._questions[key] = _Question()
        question.times += 1
        if question.record is not None:
            question.record.count += 1
            return True
        if question.dismissed or (question.times > OFTEN and question.times & (question.times - 1)):
            return False
        case = verdict()
        if case is not None:
            question.record = self.file(case, frame)
            question.dismissed = question.record is None
        return question.record is not None

    def judges(self, mistake: Enum, site: Site) -> bool:
        """Whether any rule that is on is about a mistake. What none is about need not be looked at."""
        key = mistake, site.program.path
        if key not in self._judged:
            self._judged[key] = self._judge.judges(*key)
        return self._judged[key]

    def is_settled(self, key: Key) -> bool:
        """Whether a mistake has been looked at often enough, and is none."""
        question = self._questions.get(key)
        return question is not None and question.record is None and (question.dismissed or question.times > OFTEN)

    def is_told(self, key: Key) -> bool:
        """Whether a mistake has become a finding."""
        question = self._questions.get(key)
        return question is not None and question.record is not None

    def file(self, case: Case | None, frame: FrameType | None) -> Record | None:
        """Let the rules name a case, and tell it if it is new. None if no rule that is on does, or it is hidden."""
        if case is None or not self._arbiter.admits(case):
            return None
        finding = self._judge.name(case)
        if finding is None:
            return None
        self._arbiter.note(case)
        key = (finding.code, finding.place)
        record = self._known.get(key)
        if record is not None:
            record.count += 1
            return record
        record = self._known[key] = Record(finding)
        self.records.append(record)
        if not self.quiet:
            self._tell(record, self._sites.frame_of(frame) if frame is not None else None)
        return record

    def speak(self, keys: set[str]) -> None:
        """Tell those of the findings that were kept quiet which have one of these keys."""
        self.quiet = False
        for record in self.records:
            if key_of(record.finding) in keys:
                self._tell(record, None)


def key_of(finding: Finding) -> str:
    """What names the same finding on all ranks: messages may name ranks."""
    return f"{finding.code} {finding.place}"
