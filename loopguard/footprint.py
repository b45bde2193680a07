"""What the result of checking a file depends on besides the file itself: files that were read, and files not found.

A file that is imported may import others. What has once been found out about it is used again for the next file that
imports it, so the footprint of a file holds everything that was ever asked on behalf of a file that it leads to.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from loopguard.stamps import Seen, digest, stamp


class Folder:
    """A directory in which files were looked for in vain: its stamp before, and their names."""

    __slots__ = ("names", "path", "stamp")

    def __init__(self, path: str) -> None:
        self.path = path
        self.stamp = stamp(path)
        self.names: set[str] = set()


class Footprint:
    """Who has asked for what, in all files that were followed so far."""

    def __init__(self) -> None:
        self.folders: dict[str, Folder] = {}
        self._files: dict[str, Seen] = {}
        self._targets: dict[str, set[str]] = {}
        self._missing: dict[str, set[str]] = {}
        self._places: dict[Path, str] = {}

    def asked(self, importer: str, target: Path | None, missing: Sequence[Path]) -> None:
        """Take down that `importer` was looked into and leads to `target`, and what was missing on the way."""
        source = os.path.abspath(importer)  # noqa: PTH100 -- links are not to be followed
        if target is not None:
            self._targets.setdefault(source, set()).add(str(target))
        folders = self._missing.setdefault(source, set())
        for path in missing:
            folders.add(self._places.get(path) or self._miss(path))

    def _miss(self, path: Path) -> str:
        """The closest directory above a path that is there: what would have to change for the path to be there."""
        folder = path.parent
        while not folder.is_dir() and folder.parent != folder:
            folder = folder.parent
        place = os.path.abspath(folder)  # noqa: PTH100
        if place not in self.folders:
            self.folders[place] = Folder(place)
        self.folders[place].names.add(str(path.relative_to(folder)))
        self._places[path] = place
        return place

    def read(self, path: Path) -> bytes:
        """The content of a file, nothing if it cannot be read."""
        name = str(path)
        before = stamp(name)
        try:
            data = path.read_bytes()
        except OSError:
            data = b""
        if name not in self._files:
            self._files[name] = Seen(name, before, digest(data))
        return data

    def of(self, file: str) -> tuple[list[Seen], list[Folder]]:
        """The files that `file` leads to, itself not among them, and the directories in which others were missing."""
        reached: set[str] = {file}
        todo = [file]
        folders: set[str] = set()
        while todo:
            item = todo.pop()
            folders |= self._missing.get(item, set())
            fresh = self._targets.get(item, set()) - reached
            reached |= fresh
            todo += fresh
        files = [self._files[path] for path in reached if path in self._files and path != file]
        return files, [self.folders[path] for path in sorted(folders)]
