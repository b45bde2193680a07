"""Files to findings. What can hold no event is not even decoded; the rest goes through engine and rules."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from loopguard.errors import LoopguardError, SourceError
from loopguard.paths import absolute, shown
from loopguard.settings import Resolver, Settings

if TYPE_CHECKING:
    from enum import Enum

    from loopguard.case import Case
    from loopguard.catalogue import Catalogue
    from loopguard.finding import Finding
    from loopguard.knowledge import Knowledge, KnownCall
    from loopguard.source import Source
    from loopguard.static import Project
    from loopguard.suppress import Suppressions

# Every mistake that the engine knows involves a call of one of these, or an optimizer: a file without such a
# word is clean, and neither libcst nor the rules need to be loaded for it, unless it holds one of those that a
# configuration adds. Matched on the raw bytes.
EVENT = re.compile(rb"zero_grad|backward|\.step\b|[Oo]ptim")

# Bytes without these hold no comment that could hide a finding, and none that could be unused.
MENTION = re.compile(rb"loopguard|noqa", re.IGNORECASE)
DIRECTIVE = re.compile(rb"loopguard:\s*ignore|noqa.*\bLG[0-9]", re.IGNORECASE)


class Crash(NamedTuple):
    """A file on which the engine failed, and how."""

    path: str
    error: BaseException


class Report:
    """What a run has found: ordered findings, crashes, and the sources that renderers quote from."""

    def __init__(self) -> None:
        self.findings: list[Finding] = []
        self.crashes: list[Crash] = []
        self.sources: dict[str, Source] = {}
        self.files = 0
        self.analysed = 0

    def source(self, path: str) -> Source | None:
        """The source that is shown as `path`, None if it cannot be read (any more)."""
        from loopguard.source import Source

        if path not in self.sources:
            try:
                self.sources[path] = Source.from_bytes(absolute(Path(path)).read_bytes(), path)
            except (OSError, SourceError):
                return None
        return self.sources[path]


class Checker:
    """Checks one file after the other, then puts the findings in order.

    `roots` are the folders from which a file of the project may import another one.
    """

    def __init__(self, resolver: Resolver, roots: Sequence[Path] = ()) -> None:
        self._resolver = resolver
        self._roots = roots
        self._projects: dict[tuple[KnownCall, ...], Project] = {}
        self._found: list[Finding] = []
        self._suppressions: dict[str, Suppressions] = {}
        self._checked: dict[str, Settings] = {}
        self._rules: dict[Settings, tuple[frozenset[str], Catalogue]] = {}
        self._report = Report()

    def validate(self) -> None:
        """Raise `ConfigError`, `UsageError` or `RuleError` if a setting names a rule that is not there."""
        for settings in self._resolver.all():
            if settings.selects or settings.rule_folders:
                self._enabled(settings)
                for _, _, layer, rules in settings.ignores:
                    self._selected(settings, layer.error, rules)

    def check(self, file: Path) -> None:
        """Check a file (absolute)."""
        path = shown(file)
        try:
            data = file.read_bytes()
        except OSError as error:
            self._unreadable(path, file, SourceError(f"cannot be read: {error.strerror}"))
            return
        self.check_bytes(data, path, file)

    def check_bytes(self, data: bytes, path: str, file: Path | None = None) -> None:
        """Check text that is shown as `path` and need not be in a file. Whatever fails becomes a crash."""
        self._report.files += 1
        known = self._settings_of(path, file).knowledge
        candidate = EVENT.search(data) is not None or known.mentioned_in_bytes(data)
        if not candidate and DIRECTIVE.search(data) is None:
            return
        try:
            self._analyse(data, path, file, candidate)
        except (KeyboardInterrupt, SystemExit, LoopguardError):
            raise
        # A panic of libcst's native parser is no Exception. One bad file must not hide what the others hold.
        except BaseException as error:
            self._report.crashes.append(Crash(path, error))

    def name(self, case: Case) -> Finding | None:
        """The finding of a case that was not made by a check; None if its rule is off, or a comment hides it."""
        path = case.at.place.path
        finding = self._enabled(self._settings_of(path, None))[1].judge(case)
        if finding is None or finding.code not in self._codes(path) or self._hidden(finding):
            return None
        return finding

    def judges(self, mistake: Enum, path: str) -> bool:
        """Whether a rule that is on for a file is about a mistake."""
        rules = self._enabled(self._settings_of(path, None))[1]
        codes = self._codes(path)
        return any(entry.code in codes and mistake in entry.rule.mistakes for entry in rules)

    def source(self, path: str) -> Source | None:
        """The source that is shown as `path`."""
        return self._report.source(path)

    def finish(self) -> Report:
        """The report: suppressed and deselected findings left out, one of each, ordered by place."""
        kept: dict[tuple[object, str], Finding] = {}
        for finding in self._found:
            if finding.code in self._codes(finding.place.path) and not self._hidden(finding):
                kept.setdefault((finding.place, finding.code), finding)
        for finding in self._unused():
            kept.setdefault((finding.place, finding.code), finding)
        self._report.findings = sorted(kept.values(), key=_order)
        return self._report

    def _analyse(self, data: bytes, path: str, file: Path | None, candidate: bool) -> None:
        from loopguard.source import Source

        try:
            source = Source.from_bytes(data, path, file)
        except SourceError as error:
            if candidate:
                self._unreadable(path, file, error)
            return
        settings = self._settings_of(path, file)
        if MENTION.search(data):
            from loopguard.suppress import Suppressions

            suppressions = Suppressions(source)
            if suppressions.silent:
                return
            self._suppressions[path] = suppressions
        if candidate:
            self._report.analysed += 1
            from loopguard import static

            before = len(self._found)
            broken = self._judge(static.analyse(source, self._project(settings.knowledge)), settings)
            if len(self._found) > before:
                self._report.sources[path] = source
            if broken:
                return
        # Only now: what could not be parsed says nothing about which suppressions are unused.
        self._checked[path] = settings

    def _project(self, knowledge: Knowledge) -> Project:
        """The project as files see it that share what is known of an in-house framework."""
        from loopguard import static

        if knowledge.calls not in self._projects:
            self._projects[knowledge.calls] = static.Project(self._roots, knowledge)
        return self._projects[knowledge.calls]

    def _judge(self, cases: Iterator[Case], settings: Settings) -> bool:
        """Let the rules name the cases. Whether one of them says that the file cannot be parsed."""
        from loopguard.lifecycles.source import Mistake

        broken = False
        for case in cases:
            broken = broken or case.mistake is Mistake.INVALID_SYNTAX
            finding = self._enabled(settings)[1].judge(case)
            if finding:
                self._found.append(finding)
        return broken

    def _unreadable(self, path: str, file: Path | None, error: SourceError) -> None:
        from loopguard.case import Case
        from loopguard.events import Event, Kind, Place
        from loopguard.lifecycles.source import Mistake

        place = Place(path, error.row, error.column, error.row, error.column, error.cell)
        at = Event(Kind.UNKNOWN, path, place, "")
        case = Case(Mistake.INVALID_SYNTAX, path, at, facts={"reason": error.reason})
        self._judge(iter([case]), self._settings_of(path, file))

    def _hidden(self, finding: Finding) -> bool:
        from loopguard.lifecycles.source import Mistake

        path = finding.place.path
        suppressions = self._suppressions_of(path)
        if suppressions is None:
            return False
        # That a file cannot be parsed at all is no matter of one line.
        entry = self._enabled(self._settings_of(path, None))[1].find(finding.code)
        return suppressions.hides(finding, outright=Mistake.INVALID_SYNTAX in entry.rule.mistakes)

    def _suppressions_of(self, path: str) -> Suppressions | None:
        """The suppressions of a file, read now if a finding lies in it and the run did not check it."""
        if path not in self._suppressions and path not in self._checked:
            source = self._report.source(path)
            if source is not None:
                from loopguard.suppress import Suppressions

                self._suppressions[path] = Suppressions(source)
        return self._suppressions.get(path)

    def _unused(self) -> Iterator[Finding]:
        for path, suppressions in self._suppressions.items():
            if path not in self._checked:
                continue
            from loopguard.select import default

            _, catalogue = self._enabled(self._checked[path])
            codes = self._codes(path)
            for case in suppressions.unused(codes, frozenset(default(catalogue)), catalogue):
                finding = catalogue.judge(case)
                if finding and finding.code in codes and not suppressions.names(finding):
                    self._report.sources[path] = suppressions.source
                    yield finding

    def _settings_of(self, path: str, file: Path | None) -> Settings:
        return self._resolver.settings((file or absolute(Path(path))).parent)

    def _codes(self, path: str) -> frozenset[str]:
        """The codes that are on for a file."""
        file = absolute(Path(path))
        settings = self._settings_of(path, file)
        codes, _ = self._enabled(settings)
        for globs, negated, layer, rules in settings.ignores:
            if bool(globs.verdict(str(file))) is not negated:
                codes -= self._selected(settings, layer.error, rules)
        return codes

    def _enabled(self, settings: Settings) -> tuple[frozenset[str], Catalogue]:
        if settings not in self._rules:
            from loopguard import catalogue, select

            rules = catalogue.load(settings.rule_folders)
            self._rules[settings] = (select.enabled(settings.layers, rules), rules)
        return self._rules[settings]

    def _selected(self, settings: Settings, error: Callable[[str], Exception], selectors: Sequence[str]) -> set[str]:
        from loopguard.select import resolve

        return resolve(selectors, self._enabled(settings)[1], "per-file-ignores", error)


def _order(finding: Finding) -> tuple[str, int, int, int, str]:
    place = finding.place
    return place.path, place.cell or 0, place.row, place.column, finding.code
