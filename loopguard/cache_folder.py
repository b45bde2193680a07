"""The directory that a cache lies in: which one may be it, and which of the files in it may be removed.

A directory is a cache if we have marked it as one (https://bford.info/cachedir/) and nothing is in it but files that
are called as ours are. An empty one, or one that is not there yet, becomes a cache when the first index is written. Any
other is somebody else's: it is neither read, nor written to, nor tidied up. Within the project no link leads to a
cache, as whoever has made the project may have put it there; on the way to the project links are its owner's business.

What is removed is a regular file with a name that only we give. Names that versions before this one gave say less: of
such files the content must tell.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from re import fullmatch
from time import time

from loopguard.atomic import TEMPORARY
from loopguard.directory import Directory, WrongKindError
from loopguard.paths import shown

NAME = ".loopguard_cache"

_TAG, _IGNORE = "CACHEDIR.TAG", ".gitignore"
_MARKS = {
    _TAG: b"Signature: 8a477f597d28d172789f06886806bc55\n"
    b"# This directory is a cache of loopguard: https://bford.info/cachedir/\n",
    _IGNORE: b"# Made by loopguard.\n*\n",
}
"""What marks a directory as ours. The first one decides, so it is the first to come and the last to go."""

# These are compiled when they are needed: most runs read one index, and are done.
_OURS = rf"loopguard-[0-9a-f]{{8}}\.index|{TEMPORARY}"
_FORMER, _FORMER_STARTS = r"[0-9a-f]{8}\.index(?:\.[0-9]+)?", (b"loopguard 1 ", b"loopguard 2 ")
_STRAY = r"\.DS_Store|\._.*|\.nfs[0-9a-f]+|Thumbs\.db|desktop\.ini"
"""What systems leave in any directory. It is nobody's, and is left there."""

_MANY, _KEPT, _LEFT = 24, 30 * 86_400, 600


class CacheFolderError(Exception):
    """A directory that cannot be the cache, with the reason in words that follow its name."""


class CacheFolder:
    """The place of a cache. No link leads from one of the directories `roots` to it.

    Where the user has `given` one, it may be anybody's, but it must be there already or possible to make.
    """

    def __init__(self, path: Path, roots: Iterable[Path], *, given: bool = False) -> None:
        self.path = path
        self._given = given
        self._trusted = _trusted(path, roots)

    def find(self) -> Directory | None:
        """The directory, None if there is none yet. Raises `CacheFolderError`."""
        try:
            return self._checked(Directory.below(self._trusted, self.path))
        except FileNotFoundError:
            if self._given and not os.access(_there(self.path)[0], os.W_OK):
                raise CacheFolderError("may not be made there") from None
            return None
        except OSError as error:
            if isinstance(error, NotADirectoryError) and not self._given:
                return None  # a file of that name may be there so that there is no cache
            raise self._unusable("read", error) from None

    def make(self) -> Directory:
        """The directory, made and marked if need be. Raises `CacheFolderError`; `OSError` if it cannot be written."""
        try:
            directory = self._checked(Directory.below(self._trusted, self.path, make=True))
        except WrongKindError as error:
            raise self._unusable("written", error) from None
        with _closed_on_error(directory):
            for name, content in _MARKS.items():
                if not _has(directory, name):
                    directory.write(name, content)
        return directory

    def clean(self) -> list[str] | None:
        """Remove what we have made, and the directory, if there is a cache; None if not. Raises `CacheFolderError`.

        Returns what else is in the directory, which then stays.
        """
        try:
            with Directory.below(self._trusted, self.path) as directory:
                if not _clear(directory):
                    return None
                left = sorted(name for name, _ in directory.entries())
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise self._unusable("removed", error) from None
        with suppress(OSError):  # it is not empty, or somebody needs it
            self.path.rmdir()
        return left

    def _checked(self, directory: Directory) -> Directory:
        """The directory, closed if it is not ours. Raises `CacheFolderError`, and `OSError` if it cannot be read."""
        with _closed_on_error(directory):
            marked = _holds(directory, _TAG)
            for name in _foreign(directory, marked):
                raise CacheFolderError(f"is no cache of loopguard's, as it holds {called(name)}")
            if self._given:
                if not marked and not directory.is_writable:
                    raise CacheFolderError("may not be written")
            elif directory.owner not in (0, self.path.parent.stat().st_uid) and directory.owner != os.geteuid():
                raise CacheFolderError("belongs to another user")
        return directory

    def _unusable(self, what: str, error: OSError) -> CacheFolderError:
        """What an error says about the directory, or about one above it."""
        if not isinstance(error, WrongKindError | NotADirectoryError):
            return CacheFolderError(f"cannot be {what}: {error.strerror}")
        if error.filename == str(self.path):
            return CacheFolderError(f"{error.strerror}")
        return CacheFolderError(f"`{shown(Path(error.filename))}` {error.strerror}")


def called(name: str) -> str:
    """A name as it is told, in one line whatever is in it."""
    return f"`{name}`" if name.isprintable() else ascii(name)


def origin(directory: Directory) -> str:
    """When a directory has become a cache: the time of the last change of its tag, which no program can set.

    In a cache that came along with a checkout or an archive it is another one than when its indexes were written.
    """
    return str(directory.status(_TAG).st_ctime_ns)


def put(directory: Directory, name: str, content: bytes) -> None:
    """Write an index, and remove what is not needed any more: old ones, too many, and what was never finished."""
    now = time()
    indexes: list[tuple[float, str]] = []
    for other in _removable(directory):
        with suppress(FileNotFoundError):  # another process tidies up, too
            age = now - directory.status(other).st_mtime
            if not fullmatch(TEMPORARY, other):
                indexes.append((age, other))
            elif age > _LEFT:
                directory.remove(other)
    others = sorted((age, other) for age, other in indexes if other != name)
    for number, (age, other) in enumerate(others, start=1):
        if number >= _MANY or age > _KEPT:
            with suppress(FileNotFoundError):
                directory.remove(other)
    directory.write(name, content)


def _clear(directory: Directory) -> bool:
    """Remove what we have made. Returns whether there was any such thing."""
    marked = _holds(directory, _TAG)
    if not marked and any(_foreign(directory, marked)):
        return False
    made = [*_removable(directory), *(name for name in reversed(_MARKS) if _holds(directory, name))]
    for name in made:
        with suppress(FileNotFoundError):
            directory.remove(name)
    return bool(made)


def _foreign(directory: Directory, marked: bool) -> Iterator[str]:
    """The names of what cannot be ours in a directory, depending on whether that is marked as ours."""
    for name, regular in directory.entries():
        if name in _MARKS:
            known = marked or _holds(directory, name)
        else:
            known = bool(fullmatch(_OURS, name) or (marked and fullmatch(_FORMER, name)))
        if not (known and regular) and not fullmatch(_STRAY, name):
            yield name


def _removable(directory: Directory) -> list[str]:
    """The indexes, and what was to become one."""
    names = [name for name, regular in directory.entries() if regular]
    return [name for name in names if fullmatch(_OURS, name) or _is_former(directory, name)]


def _is_former(directory: Directory, name: str) -> bool:
    try:
        return bool(fullmatch(_FORMER, name)) and directory.read(name, len(_FORMER_STARTS[0])) in _FORMER_STARTS
    except OSError:
        return False


def _has(directory: Directory, name: str) -> bool:
    try:
        directory.status(name)
    except FileNotFoundError:
        return False
    return True


def _holds(directory: Directory, name: str) -> bool:
    """Whether a mark is there, as we write it."""
    try:
        return directory.read(name, len(_MARKS[name]) + 1) == _MARKS[name]
    except OSError:
        return False


def _trusted(path: Path, roots: Iterable[Path]) -> Path:
    """Up to where links may lead: to the outermost of the `roots` that is above a path, else to what is there of it."""
    there = _there(path)
    known = [root.stat() for root in roots]
    within = [above for above in there if any(os.path.samestat(above.stat(), status) for status in known)]
    return (within or there)[-1 if within else 0]


def _there(path: Path) -> list[Path]:
    """The directories above a path that are there, the closest one first."""
    return [above for above in path.parents if os.path.isdir(above)] or [path]  # noqa: PTH112 -- raises nothing


@contextmanager
def _closed_on_error(directory: Directory) -> Iterator[None]:
    try:
        yield
    except BaseException:
        directory.close()
        raise
