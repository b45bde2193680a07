"""Files to findings: each is examined, or was before, and then suppressed and deselected findings are left out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from loopguard.errors import LoopguardError, SourceError
from loopguard.examine import EVENT, MENTION, NOTHING, Crash, Examiner, Outcome, Terms, terms_of
from loopguard.paths import absolute, shown
from loopguard.settings import Resolver, Settings
from loopguard.survey import Survey

if TYPE_CHECKING:
    from enum import Enum

    from loopguard.cache import Cache
    from loopguard.case import Case
    from loopguard.catalogue import Catalogue
    from loopguard.finding import Finding
    from loopguard.globs import Globs
    from loopguard.limits import Unjudged
    from loopguard.source import Source
    from loopguard.suppress import Suppressions

__all__ = ["EVENT", "Checker", "Crash", "Report"]


class _Rules(NamedTuple):
    """The rules of some settings: all of them, those that are on, and those that are off for some files again."""

    catalogue: Catalogue
    codes: frozenset[str]
    ignores: Sequence[tuple[Globs, bool, set[str]]]


class Report:
    """What a run has found: ordered findings, what was not judged, crashes, and sources for renderers to quote from.

    `errors` are those of configurations that hold for a part of the tree only, of which no file was checked.
    """

    def __init__(self) -> None:
        self.findings: list[Finding] = []
        self.unjudged: list[Unjudged] = []
        self.crashes: list[Crash] = []
        self.errors: list[LoopguardError] = []
        self.sources: dict[str, Source | None] = {}
        self.files = 0
        self.analysed = 0

    @property
    def given_up(self) -> list[Unjudged]:
        """Of what was not judged in full that of which something remains unsaid."""
        return [item for item in self.unjudged if item.limit.gives_up]

    def source(self, path: str) -> Source | None:
        """The source that is shown as `path`, None if it cannot be read (any more)."""
        from loopguard.source import Source

        if path not in self.sources:
            file = absolute(Path(path))
            try:
                self.sources[path] = Source.from_bytes(file.read_bytes(), path, file)
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
        self._examiner = Examiner(roots)
        self._found: list[Finding] = []
        self._suppressions: dict[str, Suppressions | None] = {}
        self._checked: dict[str, Settings] = {}
        self._rules: dict[Settings, _Rules] = {}
        self._codes: dict[str, frozenset[str]] = {}
        self._report = Report()

    def validate(self) -> None:
        """Raise `ConfigError`, `UsageError` or `RuleError` if a setting names a rule that is not there.

        Where that does not hold for the whole run, it becomes the error of the settings instead.
        """
        for settings in list(self._resolver.all()):
            if settings.selects or settings.rule_folders:
                self._rules_of(settings)

    def check(self, file: Path) -> None:
        """Check a file (absolute)."""
        self.take(file, self._examiner.visit(file, self.terms(file)).outcome)

    def check_all(self, files: Sequence[Path], cache: Cache | None, jobs: int) -> Iterator[Path]:
        """Check files (absolute), in up to `jobs` processes. They come back, in no order, as they are done."""
        survey = Survey(self.terms, self._roots, cache, jobs)
        outcomes: dict[Path, Outcome] = {}
        for file, outcome in survey.outcomes(files):
            outcomes[file] = outcome
            yield file
        for file in files:
            self.take(file, outcomes[file])

    def check_bytes(self, data: bytes, path: str, file: Path | None = None) -> None:
        """Check text that is shown as `path` and need not be what is in that file. Whatever fails becomes a crash."""
        from loopguard.source import Source

        settings = self._settings_of(path, file)
        outcome = self._examiner.examine(data, path, file, terms_of(settings))
        try:
            self._report.sources[path] = Source.from_bytes(data, path, file)
        except SourceError:
            self._report.sources[path] = None
        self._take(path, settings, outcome)

    def take(self, file: Path, outcome: Outcome) -> None:
        """Take what examining a file (absolute) has brought."""
        if outcome is NOTHING:
            self._report.files += 1  # most files
            return
        self._take(shown(file), self._resolver.settings(file.parent), outcome)

    def terms(self, file: Path) -> Terms:
        """What the settings of a file say about examining it."""
        return terms_of(self._resolver.settings(file.parent))

    def _take(self, path: str, settings: Settings, outcome: Outcome) -> None:
        self._report.files += 1
        self._report.analysed += outcome.analysed
        if outcome.crash is not None:
            self._report.crashes.append(outcome.crash)
        self._found += outcome.findings
        self._report.unjudged += outcome.unjudged
        # A comment may hide what was not found because nobody looked.
        if outcome.remarks and outcome.complete and not any(item.limit.gives_up for item in outcome.unjudged):
            self._checked[path] = settings

    def name(self, case: Case) -> Finding | None:
        """The finding of a case that was not made by a check; None if its rule is off, or a comment hides it."""
        path = case.at.place.path
        finding = self._rules_of(self._settings_of(path, None)).catalogue.judge(case)
        if finding is None or not self._is_on(finding) or self._hidden(finding):
            return None
        return finding

    def judges(self, mistake: Enum, path: str) -> bool:
        """Whether a rule that is on for a file is about a mistake."""
        rules = self._rules_of(self._settings_of(path, None)).catalogue
        codes = self._codes_of(path)
        return any(entry.code in codes and mistake in entry.rule.mistakes for entry in rules)

    def source(self, path: str) -> Source | None:
        """The source that is shown as `path`."""
        return self._report.source(path)

    def finish(self) -> Report:
        """The report: suppressed and deselected findings left out, one of each, ordered by place."""
        kept: dict[tuple[object, str], Finding] = {}
        for finding in self._found:
            if self._is_on(finding) and not self._hidden(finding):
                kept.setdefault((finding.place, finding.code), finding)
        for finding in self._unused() if self._checked else ():
            kept.setdefault((finding.place, finding.code), finding)
        self._report.findings = sorted(kept.values(), key=_order)
        self._report.errors = self._resolver.errors
        self._report.unjudged.sort(key=lambda item: (item.place.path, item.place.cell or 0, item.place.row))
        return self._report

    def _hidden(self, finding: Finding) -> bool:
        from loopguard.lifecycles.source import Mistake

        path = finding.place.path
        suppressions = self._suppressions_of(path)
        if suppressions is None:
            return False
        # That a file cannot be parsed at all is no matter of one line.
        entry = self._rules_of(self._settings_of(path, None)).catalogue.find(finding.code)
        return suppressions.hides(finding, outright=Mistake.INVALID_SYNTAX in entry.rule.mistakes)

    def _suppressions_of(self, path: str) -> Suppressions | None:
        """The suppressions of a file, which is read only if something lies in it."""
        if path not in self._suppressions:
            self._suppressions[path] = None
            source = self._report.source(path) if self._mentions_us(path) else None
            if source is not None:
                from loopguard.suppress import Suppressions

                self._suppressions[path] = Suppressions(source)
        return self._suppressions[path]

    def _mentions_us(self, path: str) -> bool:
        """Whether a file may hold comments that hide something: most do not, and need not even be decoded."""
        try:
            return path in self._report.sources or MENTION.search(absolute(Path(path)).read_bytes()) is not None
        except OSError:
            return False

    def _unused(self) -> Iterator[Finding]:
        from loopguard.select import default

        for path, settings in self._checked.items():
            suppressions = self._suppressions_of(path)
            if suppressions is None:
                continue
            catalogue = self._rules_of(settings).catalogue
            codes = self._codes_of(path)
            for case in suppressions.unused(codes, frozenset(default(catalogue)), catalogue):
                if settings.withheld is not None and case.facts["why"] == "unknown code":
                    continue  # it may be one of the rules that are not run
                finding = catalogue.judge(case)
                if finding and self._is_on(finding) and not suppressions.names(finding):
                    yield finding

    def _settings_of(self, path: str, file: Path | None) -> Settings:
        return self._resolver.settings((file or absolute(Path(path))).parent)

    def _is_on(self, finding: Finding) -> bool:
        """Whether the rule of a finding is on for its file. Where no setting names a rule, none has to be loaded."""
        path = finding.place.path
        if self._settings_of(path, None).selects:
            return finding.code in self._codes_of(path)
        return not finding.is_advice

    def _codes_of(self, path: str) -> frozenset[str]:
        """The codes that are on for a file."""
        if path not in self._codes:
            self._codes[path] = self._codes_for(path)
        return self._codes[path]

    def _codes_for(self, path: str) -> frozenset[str]:
        file = absolute(Path(path))
        rules = self._rules_of(self._settings_of(path, file))
        codes = rules.codes
        for globs, negated, ignored in rules.ignores:
            if bool(globs.verdict(str(file))) is not negated:
                codes -= ignored
        return codes

    def _rules_of(self, settings: Settings) -> _Rules:
        if settings not in self._rules:
            try:
                self._rules[settings] = _rules(settings)
            except LoopguardError as error:
                self._rules[settings] = _rules(self._resolver.refuse(settings, error))
        return self._rules[settings]


def _rules(settings: Settings) -> _Rules:
    from loopguard import catalogue, select

    rules = catalogue.load(settings.rule_folders)
    ignores = [
        (globs, negated, select.resolve(named, rules, "per-file-ignores", layer, settings.must_know))
        for globs, negated, layer, named in settings.ignores
    ]
    return _Rules(rules, select.enabled(settings.layers, rules, settings.must_know), ignores)


def _order(finding: Finding) -> tuple[str, int, int, int, str]:
    place = finding.place
    return place.path, place.cell or 0, place.row, place.column, finding.code
