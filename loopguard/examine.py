"""One file to what the rules say of it, before anybody asks which rules are on and what comments hide.

What can hold no event is not even decoded; the rest goes through engine and rules. All that is needed here can be sent
to another process, and all that comes out can come back from there, or from the cache.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from loopguard.errors import LoopguardError, SourceError
from loopguard.paths import shown
from loopguard.stamps import Seen, digest, stamp
from loopguard.words import Words

if TYPE_CHECKING:
    from loopguard.case import Case
    from loopguard.finding import Finding
    from loopguard.footprint import Footprint, Trace
    from loopguard.knowledge import Knowledge, KnownCall
    from loopguard.limits import Unjudged
    from loopguard.settings import Settings
    from loopguard.static import Project

# Every mistake that the engine knows involves a call of one of these, or an optimizer: a file without such a
# word is clean, and neither libcst nor the rules need to be loaded for it. Matched on the raw bytes.
EVENT = Words(rb"zero_grad|backward|\.step\b|[Oo]ptim", b"optim", b"backward", b".step", b"Optim", b"zero_grad")

# Bytes without this hold no comment that the rules would have to be asked about, unless something is found there.
DIRECTIVE = Words(
    rb"loopguard:\s*ignore|(?m:^)(?>.*?noqa).*\bLG[0-9]",  # what follows some `noqa` follows the first
    *(b"loopguard", b"noqa"),
    ignoring_case=True,
)

# Bytes without this hold no comment at all that could hide a finding.
MENTION = Words(rb"loopguard|noqa", b"loopguard", b"noqa", ignoring_case=True)


class Crash(NamedTuple):
    """A file on which the engine failed, and how: the name of the exception, its text, and the traceback."""

    path: str
    kind: str
    text: str
    trace: str


class Outcome:
    """What checking one file has brought. No dataclass: most runs need no other, and what makes them is slow to load.

    `unjudged` is what was not judged in full. `analysed` says that the engine has seen the file, `complete` that it
    could be parsed or need not be, `remarks` that it holds comments which are worth a look.
    """

    __slots__ = ("analysed", "complete", "crash", "findings", "remarks", "unjudged")

    def __init__(
        self,
        findings: Sequence[Finding] = (),
        unjudged: Sequence[Unjudged] = (),
        *,
        analysed: bool = False,
        complete: bool = True,
        remarks: bool = False,
        crash: Crash | None = None,
    ) -> None:
        self.findings = list(findings)
        self.unjudged = list(unjudged)
        self.analysed = analysed
        self.complete = complete
        self.remarks = remarks
        self.crash = crash


class Terms(NamedTuple):
    """What settings say about examining a file: folders of the user's own rules, and calls that the user knows of."""

    rules: tuple[Path, ...] = ()
    calls: tuple[KnownCall, ...] = ()


def terms_of(settings: Settings) -> Terms:
    """What some settings say about examining a file."""
    return Terms(settings.rule_folders, settings.knowledge.calls)


class Visit(NamedTuple):
    """A file as it was read, and what examining it has brought."""

    seen: Seen
    outcome: Outcome


_MUCH = 4_000_000
"""How many characters are parsed, about, until all that is known of the files of the project is forgotten, or the
process that knows it is replaced by a fresh one."""

PATIENCE = (1_000_000, 20, 100)
"""Thresholds for Python's collector of garbage. Syntax trees are many objects and little garbage: the default would
cost a sixth of the time. Who is done with trees lets go of them."""

NOTHING = Outcome()
"""The outcome of a file without events and without comments."""


def _is_dull(data: bytes, knowledge: Knowledge | None) -> bool:
    """Whether there is nothing to check in these bytes, and nothing to say about their comments."""
    return not _may_hold_events(data, knowledge) and DIRECTIVE.search(data) is None


def _may_hold_events(data: bytes, knowledge: Knowledge | None) -> bool:
    return EVENT.search(data) is not None or (knowledge is not None and knowledge.mentioned_in_bytes(data))


class Examiner:
    """Examines one file after the other. `roots` are the folders that imports within the project start from.

    One that is `traced` can tell what its results depend on, as a cache wants to know. When it knows much of the
    project it forgets that; one that does not `forgets` is full then, and is to be replaced.
    """

    def __init__(self, roots: Sequence[Path], *, traced: bool = False, forgets: bool = True) -> None:
        self._roots = roots
        self._traced = traced
        self._forgets = forgets
        self._projects: dict[tuple[KnownCall, ...], Project] = {}
        self._knowledge: dict[tuple[KnownCall, ...], Knowledge] = {}
        self._footprint: Footprint | None = None
        self._examined = 0

    @property
    def is_full(self) -> bool:
        """Whether this one should examine no further files."""
        return not self._forgets and self._knows_much()

    def news(self) -> Trace | None:
        """What results depend on, as far as it was found out since the last time. None if that is not traced."""
        return self._footprint.news() if self._footprint is not None else None

    def glance(self, file: Path, terms: Terms) -> Visit | None:
        """Read a file (absolute), and be done with it if there is nothing to examine."""
        try:
            seen, data = self._read(file)
        except OSError:
            return None
        return Visit(seen, NOTHING) if _is_dull(data, self._knows(terms)) else None

    def visit(self, file: Path, terms: Terms) -> Visit:
        """Read and examine a file (absolute)."""
        try:
            seen, data = self._read(file)
        except OSError as error:
            return Visit(Seen(str(file), "", ""), _refused(shown(file), error, terms.rules))
        if _is_dull(data, self._knows(terms)):
            return Visit(seen, NOTHING)  # most files
        return Visit(seen, self.examine(data, shown(file), file, terms))

    def _read(self, file: Path) -> tuple[Seen, bytes]:
        """What is in a file, and how to recognise that later."""
        if not self._traced:
            return Seen(str(file), "", ""), file.read_bytes()
        before = stamp(str(file))
        data = file.read_bytes()
        return Seen(str(file), before, digest(data)), data

    def examine(self, data: bytes, path: str, file: Path | None, terms: Terms) -> Outcome:
        """Examine text that is shown as `path` and need not be in a file. Whatever fails becomes a crash."""
        candidate = _may_hold_events(data, self._knows(terms))
        remarks = DIRECTIVE.search(data) is not None
        if not candidate and not remarks:
            return NOTHING
        outcome = Outcome(remarks=remarks or (bool(terms.rules) and MENTION.search(data) is not None))
        try:
            self._examine(data, path, file, terms, outcome, candidate)
        except (KeyboardInterrupt, LoopguardError):
            raise
        # A panic of libcst's native parser is no Exception. One bad file must not hide what the others hold.
        except BaseException as error:
            import traceback

            trace = "".join(traceback.format_exception(error))
            outcome.crash = Crash(path, type(error).__name__, str(error), trace)
            outcome.complete = False
        return outcome

    def _knows(self, terms: Terms) -> Knowledge | None:
        """What the user knows of calls, None if that is nothing."""
        if terms.calls and terms.calls not in self._knowledge:
            from loopguard.knowledge import Knowledge

            self._knowledge[terms.calls] = Knowledge(terms.calls)
        return self._knowledge.get(terms.calls)

    def _project(self, terms: Terms, size: int) -> Project:
        """The project as files see it that share what is known of an in-house framework, to examine `size` characters.

        Parsing makes many objects and little garbage, as trees are let go of by hand. What circles are left, one
        collection now and then finds.
        """
        from loopguard import static

        self._examined += size
        if self._forgets and self._knows_much():
            for project in self._projects.values():
                project.close()
            self._projects.clear()
            if self._footprint is not None:
                self._footprint.forget()
            self._examined = size
            static.forget()
            gc.collect()
        if terms.calls not in self._projects:
            if self._footprint is None:
                from loopguard.footprint import Footprint, Untraced

                self._footprint = Footprint() if self._traced else Untraced()
            self._projects[terms.calls] = static.Project(self._roots, self._knows(terms), self._footprint)
        return self._projects[terms.calls]

    def _knows_much(self) -> bool:
        return self._examined + sum(project.size for project in self._projects.values()) > _MUCH

    def _examine(
        self, data: bytes, path: str, file: Path | None, terms: Terms, outcome: Outcome, candidate: bool
    ) -> None:
        from loopguard.source import Source

        try:
            source = Source.from_bytes(data, path, file)
        except SourceError as error:
            outcome.complete = False
            if candidate:
                outcome.findings += _judged(iter([_unreadable(path, error)]), terms.rules, outcome)
            return
        if outcome.remarks:
            from loopguard.suppress import Suppressions

            if Suppressions(source).silent:
                outcome.complete = False
                return
        if candidate:
            from loopguard import static

            outcome.analysed = True
            project = self._project(terms, len(source.text))
            outcome.findings += _judged(static.analyse(source, project, outcome.unjudged), terms.rules, outcome)


def _judged(cases: Iterator[Case], rules: tuple[Path, ...], outcome: Outcome) -> Iterator[Finding]:
    """What the rules call the cases. A file that cannot be parsed says nothing about which comments are unused."""
    from loopguard import catalogue
    from loopguard.lifecycles.source import Mistake

    for case in cases:
        if case.mistake is Mistake.INVALID_SYNTAX:
            outcome.complete = False
        finding = catalogue.load(rules).judge(case)
        if finding:
            yield finding


def _unreadable(path: str, error: SourceError) -> Case:
    from loopguard.case import Case
    from loopguard.events import Event, Kind, Place
    from loopguard.lifecycles.source import Mistake

    place = Place(path, error.row, error.column, error.row, error.column, error.cell)
    at = Event(Kind.UNKNOWN, path, place, "")
    return Case(Mistake.INVALID_SYNTAX, path, at, facts={"reason": error.reason})


def _refused(path: str, error: OSError, rules: tuple[Path, ...]) -> Outcome:
    outcome = Outcome(complete=False)
    case = _unreadable(path, SourceError(f"cannot be read: {error.strerror}"))
    outcome.findings += _judged(iter([case]), rules, outcome)
    return outcome
