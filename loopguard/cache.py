"""The cache: what examining each file has brought, for as long as nothing has changed that it depends on.

An index is one text file (see `index`), for one way of checking: the version of loopguard and its code, those of Python
and libcst, the current directory and the folders that imports start from. It holds a line for each file that was read,
with its stamp and digest and, if the file was checked, what that brought and which other lines it depends on: files
that it leads to, and directories in which it looked for files in vain. All lines of an index are true of one state of
the tree, so that a result holds if no file that it depends on has changed since.

An index is written beside the old one and then put in its place; one that is damaged is none.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from importlib.machinery import PathFinder
from pathlib import Path
from time import time
from zlib import crc32

from loopguard import __version__
from loopguard.examine import Outcome, Terms, Visit
from loopguard.footprint import Trace
from loopguard.index import UNIT, Gathered, Index, Record, Writer
from loopguard.stamps import digest_of, stamp

NAME = ".loopguard_cache"
TAG = "Signature: 8a477f597d28d172789f06886806bc55\n# This directory is a cache of loopguard: https://bford.info/cachedir/\n"

_FORMAT = "2"
_MANY, _KEPT = 24, 30 * 86_400


class Cache:
    """The cached results of one way of checking, in the directory `folder`."""

    def __init__(self, folder: Path, way: str) -> None:
        self._folder = folder
        self._head = f"loopguard {_FORMAT} {way}".replace("\n", " ")
        self._file = folder / f"{crc32(self._head.encode('utf-8', 'surrogateescape')):08x}.index"
        self._index = Index(self._load())
        self._same: dict[str, bool] = {}
        self._absent: dict[int, bool] = {}
        self._fresh: dict[str, str] = {}
        self._new: dict[str, tuple[Visit, str]] = {}
        self._sound: set[str] = set()
        self._unsound: set[str] = set()
        self._gathered = Gathered()
        self._changed = False

    def _load(self) -> str:
        try:
            text = self._file.read_text("utf-8", "surrogateescape")
        except (OSError, ValueError):
            return ""
        head, _, body = text.partition("\n")
        return body if head == f"{self._head} {_sum(body)}" else ""

    def find(self, file: str, rules: str) -> Outcome | None:
        """What examining a file would bring, None if that is not known. `rules` tells the user's own rules apart."""
        line = self._index.records.get(file)
        if line is None or not self._is_same(file):
            return None
        record = Record(line)
        if not record.state or record.rules != rules:
            return None
        return record.outcome() if self._is_sound(file) else None

    def _is_sound(self, file: str) -> bool:
        """Whether neither a file nor any that it leads to has changed, and what they missed is missing still."""
        reached, todo = {file}, [file]
        while todo:
            path = todo.pop()
            record = Record(self._index.records[path])
            if path in self._unsound or not self._is_same(path) or not all(map(self._is_absent, record.folders)):
                self._unsound.add(file)
                return False
            fresh = {self._index.paths[number] for number in record.files} - reached - self._sound
            reached |= fresh
            todo += fresh
        self._sound |= reached
        return True

    def _is_same(self, path: str) -> bool:
        """Whether a file still holds what it did."""
        known = self._same.get(path)
        if known is None:
            _, old, digest, _ = self._index.records[path].split("\t", 3)
            now = stamp(path)
            known = bool(now) and now == old
            if not known:
                known = bool(digest) and digest_of(path) == digest
                if known and now:
                    self._fresh[path] = now
                self._changed = True
            self._same[path] = known
        return known

    def _is_absent(self, at: int) -> bool:
        """Whether the files that were missing in a directory still are."""
        known = self._absent.get(at)
        if known is None:
            path, old, names = self._index.folders[at]
            now = stamp(path)
            known = bool(now) and now == old
            if not known:
                known = not any(os.path.exists(f"{path}{os.sep}{name}") for name in names.split(UNIT))  # noqa: PTH110
                self._changed = True
                if known:
                    self._index.folders[at] = (path, now, names)
            self._absent[at] = known
        return known

    def store(self, visit: Visit, rules: str) -> None:
        """Remember what examining a file has brought."""
        self._new[visit.seen.path] = (visit, rules)

    def learn(self, trace: Trace) -> None:
        """Remember what results depend on."""
        self._gathered.learn(trace)

    def save(self) -> None:
        """Write the index, if anything is new. Where nothing can be written, nothing is."""
        if not (self._new or self._changed):
            return
        writer = Writer(self._index, self._same, self._absent, self._fresh, self._gathered)
        body = "\n".join(writer.lines(self._new.values()))
        try:
            _prepare(self._folder)
            new = self._folder / f"{self._file.name}.{os.getpid()}"
            new.write_text(f"{self._head} {_sum(body)}\n{body}", "utf-8", "surrogateescape")
            new.replace(self._file)
            _prune(self._folder)
        except OSError:
            return


def way(roots: Sequence[Path]) -> str:
    """What, besides files of the project, decides what checking brings: roots, and code that is not the project's."""
    package = Path(__file__).parent
    code = [*_code(package), *_code(package.parent / "rules")]
    libcst = PathFinder.find_spec("libcst")
    library = stamp(libcst.origin) if libcst is not None and libcst.origin is not None else ""
    here = str(Path.cwd())
    return repr((__version__, sys.version, library, crc32(repr(code).encode()), here, [str(root) for root in roots]))


def _code(folder: Path) -> Iterator[tuple[str, int, int]]:
    """The Python files below a folder, their sizes and when they were changed, as they are in a checkout of ours."""
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError:
        return
    for entry in entries:
        if entry.name.endswith(".py"):
            status = entry.stat()
            yield entry.name, status.st_size, status.st_mtime_ns
        elif entry.is_dir() and entry.name != "__pycache__":
            yield from _code(Path(entry.path))


def terms_key(terms: Terms) -> str:
    """What tells the terms of examining apart: the contents of the folders with the user's rules, and known calls."""
    files = [file for folder in terms.rules for file in sorted(folder.glob("*.py"))]
    what = ([(str(file), digest_of(str(file))) for file in files], terms.calls)
    return f"{crc32(repr(what).encode()):08x}" if terms.rules or terms.calls else ""


def clean(folder: Path) -> bool:
    """Remove a directory of caches, and say whether there was one. What is no cache of ours is left alone."""
    try:
        ours = (folder / "CACHEDIR.TAG").read_text("utf-8") == TAG
    except (OSError, ValueError):
        ours = False
    if ours:
        from shutil import rmtree

        rmtree(folder)
    return ours


def _sum(body: str) -> str:
    return f"{crc32(body.encode('utf-8', 'surrogateescape')):08x}"


def _prepare(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in (("CACHEDIR.TAG", TAG), (".gitignore", "# Made by loopguard.\n*\n")):
        if not (folder / name).exists():
            (folder / name).write_text(text, "utf-8")


def _prune(folder: Path) -> None:
    """Remove what has not been written for a month, and the oldest of too many."""
    found = sorted((entry.stat().st_mtime, entry.path) for entry in os.scandir(folder) if ".index" in entry.name)
    for number, (changed, path) in enumerate(reversed(found)):
        if number >= _MANY or changed < time() - _KEPT:
            Path(path).unlink(missing_ok=True)
