"""What results depend on besides the file itself: which files lead to which, and where files were looked for in vain.

A file that is imported may import others. What has once been found out about it is used again for the next file that
imports it. So what counts for a file is everything that was ever asked on behalf of the files that it leads to.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from loopguard.folders import Folders
from loopguard.stamps import Seen, digest, stamp

Absence = frozenset[tuple[str, str]]
"""Directories, each with a name that is missing in it. Files that import the same share it."""


class Trace(NamedTuple):
    """What was found out: files that were read; (importer, target) pairs; (importer, what it has missed) pairs.

    `stamps` are those of the directories, from before.
    """

    files: list[Seen]
    targets: list[tuple[str, str]]
    missing: list[tuple[str, Absence]]
    stamps: dict[str, str]


class Footprint:
    """Who has asked for what, in all files that were followed so far, in which `folders`."""

    def __init__(self) -> None:
        self.folders = Folders()
        self._known: set[Seen] = set()
        self._sources: dict[str, str] = {}
        self._places: dict[str, tuple[str, str]] = {}
        self._stamps: dict[str, str] = {}
        self._trace = Trace([], [], [], {})

    def asked(self, importer: str, target: Path | None, missing: Iterable[Absence]) -> None:
        """Take down that `importer` was looked into and leads to `target`, and what was missing on the way."""
        source = self._absolute(importer)
        if target is not None:
            self._trace.targets.append((source, str(target)))
        self._trace.missing.extend((source, absence) for absence in missing if absence)

    def absence(self, paths: Iterable[str]) -> Absence:
        """That there are no files with these paths."""
        return frozenset(self._places.get(path) or self._miss(path) for path in paths)

    def _absolute(self, path: str) -> str:
        if path not in self._sources:
            self._sources[path] = os.path.abspath(path)  # noqa: PTH100 -- links are not to be followed
        return self._sources[path]

    def _miss(self, path: str) -> tuple[str, str]:
        """The closest directory above a path that is there, and what is missing in it on the way to the path."""
        folder, name = os.path.split(path)
        while not self.folders.is_there(folder):
            above, part = os.path.split(folder)
            if above == folder:
                break
            folder, name = above, part
        place = self._absolute(folder)
        if place not in self._stamps:
            self._stamps[place] = stamp(place)
        self._places[path] = place, name
        return self._places[path]

    def read(self, path: Path) -> bytes:
        """The content of a file, nothing if it cannot be read."""
        name = str(path)
        before = stamp(name)
        try:
            data = path.read_bytes()
        except OSError:
            data = b""
        seen = Seen(name, before, digest(data))
        if seen not in self._known:
            self._known.add(seen)
            self._trace.files.append(seen)
        return data

    def forget(self) -> None:
        """Let go of what can be found out again."""
        self._known.clear()
        self._sources.clear()
        self._places.clear()

    def news(self) -> Trace | None:
        """What was found out since the last time."""
        news, self._trace = self._trace, Trace([], [], [], {})
        for absence in {absence for _, absence in news.missing}:
            news.stamps.update((folder, self._stamps[folder]) for folder, _ in absence)
        return news


class Untraced(Footprint):
    """Takes nothing down: for a run whose results nobody keeps."""

    def asked(self, importer: str, target: Path | None, missing: Iterable[Absence]) -> None:
        """Do nothing."""

    def absence(self, paths: Iterable[str]) -> Absence:
        """No absence at all."""
        return frozenset()

    def read(self, path: Path) -> bytes:
        """The content of a file, nothing if it cannot be read."""
        try:
            return path.read_bytes()
        except OSError:
            return b""

    def news(self) -> None:
        """Nothing."""
