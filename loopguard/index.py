"""The text of an index of the cache: lines about files and about directories, which refer to each other by number.

A line about a file: path, stamp, digest, flags and the key of the user's rules (if it was checked), the numbers of the
files that it leads to and of the directories in which some were missing, and as JSON the findings and what was not
judged in full, if there is any. A line about a directory starts with a tab: path, stamp, and the names that were
missing in it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from sys import intern
from typing import TYPE_CHECKING

from loopguard.examine import NOTHING, Outcome, Visit
from loopguard.stamps import Seen, stamp

if TYPE_CHECKING:
    from loopguard.footprint import Trace

UNIT = "\x1f"

_BREAKS = re.compile(r"[\t\n\x1f]")
"""What would break a line of the index, were it part of a path."""

_FLAGS = {"a": "analysed", "c": "complete", "r": "remarks"}
_STATE = "acr-"


class Record:
    """A line about a file, in an index of so many `paths` and `folders`. Raises `ValueError` if it is none.

    `state` is empty if the file was read, and not checked itself.
    """

    __slots__ = ("digest", "files", "findings", "folders", "path", "rules", "stamp", "state")

    def __init__(self, line: str, paths: int, folders: int) -> None:
        self.path, self.stamp, self.digest, self.state, self.rules, files, places, self.findings = line.split("\t")
        self.files = _numbers(files, paths)
        self.folders = _numbers(places, folders)
        if self.state.strip(_STATE) or (self.findings and self.state in ("", "c")):
            raise ValueError(f"no state: {self.state}")

    def outcome(self) -> Outcome:
        """What checking the file has brought. Raises `ValueError`."""
        if self.state == "c":
            return NOTHING
        outcome = Outcome()
        if self.findings:
            from loopguard import finding_text

            outcome.findings, outcome.unjudged = finding_text.load(self.findings)
        for letter, name in _FLAGS.items():
            setattr(outcome, name, letter in self.state)
        return outcome


class Index:
    """The lines of an index: those about files by path, the others in order. Raises `ValueError` if it is none."""

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

    def record(self, path: str) -> Record:
        """The line about a file. Raises `ValueError`."""
        return Record(self.records[path], len(self.paths), len(self.folders))


class Gathered:
    """What a run has found out about files and directories.

    Of `files`, what they held, which `targets` they lead to, and in which `folders` they missed some; of directories,
    their stamps (`marks`) and the `names` that were missing. A file is `torn` that has changed meanwhile.
    """

    def __init__(self) -> None:
        self.files: dict[str, Seen] = {}
        self.targets: dict[str, set[str]] = {}
        self.folders: dict[str, set[str]] = {}
        self.marks: dict[str, str] = {}
        self.names: dict[str, set[str]] = {}
        self.torn: set[str] = set()

    def learn(self, trace: Trace) -> None:
        """Add what results depend on."""
        for seen in trace.files:
            self.see(seen)
        for importer, target in trace.targets:
            self.targets.setdefault(importer, set()).add(intern(target))
        for folder, mark in trace.stamps.items():
            self.mark(folder, mark)
        # Files of other processes miss the same, in texts of their own.
        for importer, absence in trace.missing:
            self.folders.setdefault(importer, set()).update(intern(folder) for folder, _ in absence)
        for folder, name in {place for _, absence in trace.missing for place in absence}:
            self.names.setdefault(folder, set()).add(intern(name))

    def see(self, seen: Seen) -> None:
        """Add a file as it was read."""
        other = self.files.setdefault(seen.path, seen)
        if other.digest != seen.digest or _BREAKS.search(seen.path):
            self.torn.add(seen.path)  # it has changed while we were reading
        elif not other.stamp:
            self.files[seen.path] = seen

    def mark(self, folder: str, mark: str) -> None:
        """Add the stamp of a directory. One that has had another one has none."""
        if self.marks.setdefault(folder, mark) != mark:
            self.marks[folder] = ""


class Writer:
    """Makes a new index of an old one and what was `gathered` since. Raises `ValueError` if the old one is none.

    `same` says which files of the old one were looked at and whether they were the same, `fresh` has new stamps of
    those that were; `absent` says it of the directories, by number.
    """

    def __init__(
        self,
        old: Index,
        same: Mapping[str, bool],
        absent: Mapping[int, bool],
        fresh: Mapping[str, str],
        gathered: Gathered,
    ) -> None:
        self._old = {path: old.record(path) for path in old.records}
        self._index = old
        self._same = same
        self._absent = absent
        self._fresh = fresh
        self._gathered = gathered

    def lines(self, new: Iterable[tuple[Visit, str]]) -> Iterator[str]:
        """The lines of the new index. `new` are visits, each with the key of the user's rules."""
        results: dict[str, tuple[str, str, str]] = {}
        for (seen, outcome), rules in new:
            if outcome.crash is None and seen.digest:
                self._gathered.see(seen)
                results[seen.path] = (_flags(outcome), rules, _text(outcome))
        changed = self._take_over()
        gone = self._look_again()
        doubtful = self._leading_to(self._gathered.torn | gone)
        outdated = self._leading_to(changed)
        kept = {path: result for path, result in results.items() if path not in doubtful}
        for path, record in self._old.items():
            if record.state and path not in kept and path not in outdated | doubtful and path in self._gathered.files:
                kept[path] = record.state, record.rules, record.findings
        yield from self._written(kept)

    def _take_over(self) -> set[str]:
        """Take over what the old index says of files that have not changed. Returns those that have."""
        changed: set[str] = set()
        for path, record in self._old.items():
            stands = self._same.get(path)
            if path in self._gathered.files:
                stands = self._gathered.files[path].digest == record.digest
            elif stands is None:
                stands = os.path.exists(path)  # noqa: PTH110
            if not stands or not all(self._absent.get(number, True) for number in record.folders):
                changed.add(path)
            if stands:
                mark = self._fresh.get(path, record.stamp)
                self._gathered.files.setdefault(path, Seen(path, mark, record.digest))
                self._gathered.targets.setdefault(path, set()).update(
                    self._index.paths[number] for number in record.files
                )
                for folder, folder_mark, names in (self._index.folders[number] for number in record.folders):
                    self._gathered.mark(folder, folder_mark)
                    self._gathered.folders.setdefault(path, set()).add(folder)
                    self._gathered.names.setdefault(folder, set()).update(names.split(UNIT))
        return changed

    def _look_again(self) -> set[str]:
        """Stamp the directories that have no stamp. Returns the files that miss something there which may have come."""
        come: set[str] = set()
        for folder, mark in self._gathered.marks.items():
            if _BREAKS.search(folder):
                come.add(folder)  # of which nothing can be said
            elif not mark:
                self._gathered.marks[folder] = stamp(folder) or "0"
                names = self._gathered.names.get(folder, set())
                there = {name for name in names if _BREAKS.search(name) or os.path.exists(f"{folder}{os.sep}{name}")}  # noqa: PTH110
                self._gathered.names[folder] = names - there
                if there:
                    come.add(folder)
        return {path for path, folders in self._gathered.folders.items() if not folders.isdisjoint(come)}

    def _leading_to(self, files: set[str]) -> set[str]:
        """Some files, and all that lead to them."""
        importers: dict[str, list[str]] = {}
        for importer, targets in self._gathered.targets.items():
            for target in targets:
                importers.setdefault(target, []).append(importer)
        found, todo = set(files), list(files)
        while todo:
            fresh = set(importers.get(todo.pop(), ())) - found
            found |= fresh
            todo += fresh
        return found

    def _written(self, results: Mapping[str, tuple[str, str, str]]) -> Iterator[str]:
        """The lines of the files that were checked, and of those that they lead to."""
        order = dict.fromkeys(results)
        todo = list(results)
        while todo:
            fresh = [
                one
                for one in self._gathered.targets.get(todo.pop(), ())
                if one not in order and one in self._gathered.files
            ]
            order.update(dict.fromkeys(fresh))
            todo += fresh
        numbers = {path: str(number) for number, path in enumerate(order)}
        places: dict[str, str] = {}
        for path in order:
            for folder in self._gathered.folders.get(path, ()):
                places.setdefault(folder, str(len(places)))
        for path in order:
            state, rules, findings = results.get(path, ("", "", ""))
            targets = " ".join(numbers[one] for one in self._gathered.targets.get(path, ()) if one in numbers)
            folders = " ".join(places[one] for one in self._gathered.folders.get(path, ()))
            seen = self._gathered.files[path]
            yield "\t".join((path, seen.stamp, seen.digest, state, rules, targets, folders, findings))
        for folder in places:
            yield "\t".join(("", folder, self._gathered.marks[folder], UNIT.join(sorted(self._gathered.names[folder]))))


def _flags(outcome: Outcome) -> str:
    return "".join(letter for letter, name in _FLAGS.items() if getattr(outcome, name)) or "-"


def _numbers(text: str, end: int) -> list[int]:
    numbers = [int(number) for number in text.split()]
    if numbers and not 0 <= min(numbers) <= max(numbers) < end:
        raise ValueError(f"no numbers of lines: {text}")
    return numbers


def _text(outcome: Outcome) -> str:
    """The findings, and what was not judged in full."""
    if not (outcome.findings or outcome.unjudged):
        return ""
    from loopguard import finding_text

    return finding_text.dump(outcome.findings, outcome.unjudged)
