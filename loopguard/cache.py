"""The cache: what examining each file has brought, for as long as nothing has changed that it depends on.

An index is one text file (see `index`), for one way of checking: the version of loopguard and its code, those of Python
and libcst, the current directory and the folders that imports start from. It holds a line for each file that was read,
with its stamp and digest and, if the file was checked, what that brought and which other lines it depends on: files
that it leads to, and directories in which it looked for files in vain. All lines of an index are true of one state of
the tree, so that a result holds if no file that it depends on has changed since.

An index is written beside the old one and then put in its place. It counts only in the directory in which it was
written (see `cache_folder`); one that is damaged, or was not written so, is none.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator, Sequence
from importlib.machinery import PathFinder
from pathlib import Path
from zlib import crc32

from loopguard import __version__
from loopguard.cache_folder import CacheFolder, CacheFolderError, origin, put
from loopguard.directory import Directory
from loopguard.examine import Outcome, Terms, Visit
from loopguard.footprint import Trace
from loopguard.index import UNIT, Gathered, Index, Writer
from loopguard.stamps import digest_of, stamp

_FORMAT = "3"
_ODDITIES = sys.getfilesystemencodeerrors()  # what a path may hold, and the encoding does not
_NO_MATTER = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.ENOENT)
"""What says that no cache is to be written there, or that somebody has just removed it."""


class Cache:
    """The cached results of one way of checking. Raises `CacheFolderError` if the folder cannot be one of a cache.

    `problem` says why what is new could not be kept. That a place may only be read is no problem.
    """

    def __init__(self, folder: CacheFolder, way: str) -> None:
        self.problem: str | None = None
        self._folder = folder
        self._way = f"loopguard {_FORMAT} {way}".replace("\n", " ").encode()
        self._name = f"loopguard-{crc32(self._way):08x}.index"
        self._same: dict[str, bool] = {}
        self._absent: dict[int, bool] = {}
        self._fresh: dict[str, str] = {}
        self._new: dict[str, tuple[Visit, str]] = {}
        self._sound: set[str] = set()
        self._unsound: set[str] = set()
        self._gathered = Gathered()
        self._changed = False
        try:
            self._index = Index(self._load())
        except ValueError:
            self._give_up()

    @property
    def path(self) -> Path:
        """Where it is."""
        return self._folder.path

    def _load(self) -> str:
        directory = self._folder.find()
        if directory is None:
            return ""
        with directory:
            try:
                head = self._head(directory)
                if directory.read(self._name, len(head)) != head:
                    return ""
                start, _, body = directory.read(self._name).partition(b"\n")
            except OSError:
                return ""
        return body.decode("utf-8", _ODDITIES) if start == head + _sum(body) else ""

    def _head(self, directory: Directory) -> bytes:
        """How an index in a directory starts."""
        return b"%s %s " % (self._way, origin(directory).encode())

    def _give_up(self) -> None:
        """Take the index for none."""
        self._index = Index()
        for known in (self._same, self._absent, self._fresh, self._sound, self._unsound):
            known.clear()
        self._changed = True

    def find(self, file: str, rules: str) -> Outcome | None:
        """What examining a file would bring, None if that is not known. `rules` tells the user's own rules apart."""
        try:
            return self._find(file, rules)
        except ValueError:
            self._give_up()
            return None

    def _find(self, file: str, rules: str) -> Outcome | None:
        if file not in self._index.records or not self._is_same(file):
            return None
        record = self._index.record(file)
        if not record.state or record.rules != rules:
            return None
        return record.outcome() if self._is_sound(file) else None

    def _is_sound(self, file: str) -> bool:
        """Whether neither a file nor any that it leads to has changed, and what they missed is missing still."""
        reached, todo = {file}, [file]
        while todo:
            path = todo.pop()
            record = self._index.record(path)
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
        """Write the index, if anything is new."""
        if not (self._new or self._changed):
            return
        body = "\n".join(self._lines()).encode("utf-8", _ODDITIES)
        try:
            with self._folder.make() as directory:
                put(directory, self._name, b"%s%s\n%s" % (self._head(directory), _sum(body), body))
        except CacheFolderError as error:
            self.problem = str(error)
        except OSError as error:
            self.problem = None if error.errno in _NO_MATTER else f"cannot be written: {error.strerror}"

    def _lines(self) -> Iterator[str]:
        try:
            writer = Writer(self._index, self._same, self._absent, self._fresh, self._gathered)
        except ValueError:
            self._give_up()
            writer = Writer(self._index, self._same, self._absent, self._fresh, self._gathered)
        return writer.lines(self._new.values())


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


def _sum(body: bytes) -> bytes:
    return b"%08x" % crc32(body)
