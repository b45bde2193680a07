"""The docket: which mistakes have been looked at, which are findings, and how often each was made.

A verdict is asked each time a mistake is made at a site until it has a case or has been silent often; a finding is
told once, and counted from then on. It is told when the event is over that it was found in: whatever is done with it
then, which may be anything, finds the books in order.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from threading import RLock
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


class Findings:
    """The findings of all threads. While they are `quiet`, nothing is told until somebody asks for it."""

    def __init__(self, judge: Judge, tell: Tell, *, quiet: bool) -> None:
        self.records: list[Record] = []
        self.judge = judge
        self.tell = tell
        self.quiet = quiet
        self._known: dict[tuple[str, object], Record] = {}
        self._arbiter = Arbiter()
        self._lock = RLock()

    def add(self, case: Case) -> tuple[Record | None, bool]:
        """Let the rules name a case: its record, and whether that is new. None if no rule does, or it is hidden."""
        with self._lock:
            if not self._arbiter.admits(case):
                return None, False
            finding = self.judge.name(case)
            if finding is None:
                return None, False
            self._arbiter.note(case)
            key = (finding.code, finding.place)
            record = self._known.get(key)
            if record is not None:
                record.count += 1
                return record, False
            record = self._known[key] = Record(finding)
            self.records.append(record)
            return record, True

    def speak(self, keys: set[str]) -> None:
        """Tell those of the findings that were kept quiet which have one of these keys."""
        self.quiet = False
        for record in self.records:
            if key_of(record.finding) in keys:
                self.tell(record, None)


class Docket:
    """What one thread has asked about, and those of its findings that are to be told as soon as its event is over."""

    def __init__(self, findings: Findings, sites: Sites) -> None:
        self.findings = findings
        self._sites = sites
        self._questions: dict[Key, _Question] = {}
        self._judged: dict[tuple[Enum, str], bool] = {}
        self.untold: list[tuple[Record, FrameType | None]] = []

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
            self._judged[key] = self.findings.judge.judges(*key)
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
        """Let the rules name a case. None if no rule that is on does, or it is hidden."""
        if case is None:
            return None
        record, is_new = self.findings.add(case)
        if record is not None and is_new and not self.findings.quiet:
            self.untold.append((record, self._sites.frame_of(frame) if frame is not None else None))
        return record

    def tell(self) -> None:
        """Tell what has been found in the event that is over. Raises what a policy raises."""
        untold, self.untold = self.untold, []
        for record, frame in untold:
            self.findings.tell(record, frame)


def key_of(finding: Finding) -> str:
    """What names the same finding on all ranks: messages may name ranks."""
    return f"{finding.code} {finding.place}"
