"""The text of an index of the cache: lines about files and about directories, which refer to each other by number.

A line about a file: path, stamp, digest, and if it was checked, flags, the key of the user's rules, the numbers of the
files and of the directories that the result depends on, and the findings as JSON (nothing if there are none). A line
about a directory starts with a tab: path, stamp, and the names that were missing in it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from loopguard.examine import NOTHING, Outcome, Visit
from loopguard.stamps import Seen, stamp

if TYPE_CHECKING:
    from loopguard.events import Place
    from loopguard.finding import Finding

UNIT = "\x1f"

_FLAGS = {"a": "analysed", "c": "complete", "r": "remarks"}


class Record:
    """A line about a file. `state` is empty if the file was read, and not checked itself."""

    __slots__ = ("digest", "files", "findings", "folders", "path", "rules", "stamp", "state")

    def __init__(self, line: str) -> None:
        fields = line.split("\t")
        self.path, self.stamp, self.digest, self.state, self.rules, files, folders, self.findings = fields
        self.files = [int(number) for number in files.split()]
        self.folders = [int(number) for number in folders.split()]

    def outcome(self) -> Outcome:
        """What checking the file has brought."""
        if self.state == "c":
            return NOTHING
        flags = {name: letter in self.state for letter, name in _FLAGS.items()}
        return Outcome(_findings(self.findings) if self.findings else [], **flags)  # type: ignore[arg-type]


class Index:
    """The lines of an index: those about files by path, the others in order."""

    def __init__(self, text: str = "") -> None:
        self.records: dict[str, str] = {}
        self.paths: list[str] = []
        self.folders: list[tuple[str, str, str]] = []
        for line in text.split("\n"):
            if line.startswith("\t"):
                _, path, mark, names = line.split("\t")
                self.folders.append((path, mark, names))
            elif line:
                path = line[: line.index("\t")]
                self.records[path] = line
                self.paths.append(path)


class Writer:
    """Makes a new index of an old one and what is new.

    `same` says which files of the old one were looked at and whether they were the same, `fresh` has new stamps of
    those that were; `absent` says it of the directories, by number.
    """

    def __init__(
        self, old: Index, same: Mapping[str, bool], absent: Mapping[int, bool], fresh: Mapping[str, str]
    ) -> None:
        self._old = old
        self._same = same
        self._absent = absent
        self._fresh = fresh
        self._files: dict[str, Seen] = {}
        self._torn: set[str] = set()
        self._marks: dict[str, str] = {}
        self._names: dict[str, set[str]] = {}

    def lines(self, new: Iterable[tuple[Visit, str]]) -> Iterator[str]:
        """The lines of the new index. `new` are visits, each with the key of the user's rules."""
        new = [(visit, rules) for visit, rules in new if _is_worth(visit)]
        for (seen, outcome), _ in new:
            for one in (seen, *outcome.files):
                self._see(one)
            for folder in outcome.folders:
                self._miss(folder.path, folder.stamp, folder.names)
        results = [(visit.seen.path, _result(visit.outcome, rules), *_needs(visit)) for visit, rules in new]
        done = {path for path, *_ in results}
        results += [result for result in self._kept() if result[0] not in done]
        self._look_again()
        yield from self._written(
            [
                result
                for result in results
                if self._torn.isdisjoint((result[0], *result[2])) and all(self._marks.get(at, "") for at in result[3])
            ]
        )

    def _see(self, seen: Seen) -> None:
        other = self._files.setdefault(seen.path, seen)
        if other.digest != seen.digest:
            self._torn.add(seen.path)  # it has changed while we were reading
        elif not other.stamp:
            self._files[seen.path] = seen

    def _miss(self, folder: str, mark: str, names: Iterable[str]) -> None:
        if self._marks.setdefault(folder, mark) != mark:
            self._marks[folder] = ""
        self._names.setdefault(folder, set()).update(names)

    def _kept(self) -> Iterator[tuple[str, str, list[str], list[str]]]:
        """The results of the old index that are still true: no file is known to differ from what they depend on."""
        digests = {path: line.split("\t", 3)[2] for path, line in self._old.records.items()}
        for path, line in self._old.records.items():
            record = Record(line)
            files = [self._old.paths[number] for number in record.files]
            if not record.state or not all(self._stands(one, digests[one]) for one in (path, *files)):
                continue
            if not all(self._absent.get(number, True) for number in record.folders):
                continue
            for one in (path, *files):
                old = self._old.records[one].split("\t", 3)[1]
                self._files.setdefault(one, Seen(one, self._fresh.get(one, old), digests[one]))
            folders = [self._old.folders[number] for number in record.folders]
            for place, mark, names in folders:
                self._miss(place, mark, names.split(UNIT))
            result = "\t".join((record.state, record.rules)), record.findings
            yield path, "\0".join(result), files, [place for place, _, _ in folders]

    def _stands(self, path: str, digest: str) -> bool:
        if path in self._files:
            return self._files[path].digest == digest
        known = self._same.get(path)
        return os.path.exists(path) if known is None else known  # noqa: PTH110

    def _look_again(self) -> None:
        """Stamp the directories that have none, if nothing that was missing there has come."""
        for folder, mark in self._marks.items():
            if not mark:
                now = stamp(folder) or "0"
                missing = not any(os.path.exists(os.path.join(folder, name)) for name in self._names[folder])  # noqa: PTH110, PTH118
                self._marks[folder] = now if missing else ""

    def _written(self, results: list[tuple[str, str, list[str], list[str]]]) -> Iterator[str]:
        numbers: dict[str, int] = {}
        places: dict[str, int] = {}
        for path, _, files, folders in results:
            for one in (path, *files):
                numbers.setdefault(one, len(numbers))
            for place in folders:
                places.setdefault(place, len(places))
        lines = {path: (result, files, folders) for path, result, files, folders in results}
        for path in numbers:
            result, files, folders = lines.get(path, ("\t\0", [], []))
            state, findings = result.split("\0")
            needs = (" ".join(str(numbers[one]) for one in files), " ".join(str(places[one]) for one in folders))
            yield "\t".join((path, self._files[path].stamp, self._files[path].digest, state, *needs, findings))
        for place in places:
            yield "\t".join(("", place, self._marks[place], UNIT.join(sorted(self._names[place]))))


def _is_worth(visit: Visit) -> bool:
    """Whether a result can be kept: nothing has failed, and no path would break a line."""
    seen, outcome = visit
    paths = [*(one.path for one in (seen, *outcome.files)), *(name for one in outcome.folders for name in one.names)]
    return outcome.crash is None and bool(seen.digest) and not any(set(path) & set("\t\n\0\x1f") for path in paths)


def _needs(visit: Visit) -> tuple[list[str], list[str]]:
    return [seen.path for seen in visit.outcome.files], [folder.path for folder in visit.outcome.folders]


def _result(outcome: Outcome, rules: str) -> str:
    state = "".join(letter for letter, name in _FLAGS.items() if getattr(outcome, name))
    return f"{state or '-'}\t{rules}\0{_text(outcome.findings) if outcome.findings else ''}"


def _text(findings: Iterable[Finding]) -> str:
    import json

    return json.dumps([_plain(finding) for finding in findings], separators=(",", ":"))


def _plain(finding: Finding) -> list[Any]:
    trail = [
        [m.event.kind.name, m.event.subject, _row(m.event.place), m.event.text, m.event.when, m.note, m.iteration]
        for m in finding.evidence
    ]
    words = [finding.code, finding.name, finding.level, finding.message, finding.advice]
    return [*words, _row(finding.place), trail, finding.iterations, finding.parameters]


def _row(place: Place) -> list[str | int | None]:
    return [place.path, place.row, place.column, place.end_row, place.end_column, place.cell]


def _findings(text: str) -> list[Finding]:
    import json

    from loopguard.events import Event, Kind, Moment, Place
    from loopguard.finding import Finding

    found: list[Finding] = []
    for code, name, level, message, advice, place, trail, iterations, parameters in json.loads(text):
        moments = tuple(
            Moment(Event(Kind[kind], subject, Place(*where), of, tuple(when)), note, iteration)
            for kind, subject, where, of, when, note, iteration in trail
        )
        at = Place(*place)
        found.append(Finding(code, name, level, message, advice, at, moments, tuple(iterations), tuple(parameters)))
    return found
