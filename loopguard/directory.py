"""A directory that is held open, and the regular files in it. No link is followed on the way to either.

Names are looked up in the open directory (POSIX's `openat`), so that it makes no difference if somebody puts a link in
its place meanwhile. Where there is no such thing, as on Windows, links are looked for before each use.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from loopguard import atomic

_HELD = os.open in os.supports_dir_fd
_AS_IT_IS = getattr(os, "O_NOFOLLOW", 0)
_READ = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)  # a pipe must not keep us waiting
_DIRECTORY = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0)
_PASSED = _DIRECTORY | getattr(os, "O_PATH", 0)  # what is only passed through need not be readable
_JUNCTION = getattr(stat, "IO_REPARSE_TAG_MOUNT_POINT", None)


class WrongKindError(OSError):
    """What is there is not what it must be: a link in place of a directory, or anything in place of a regular file."""


class Directory:
    """An open directory. All methods raise `OSError`; names are those of what is in it."""

    def __init__(self, path: str, handle: int | None) -> None:
        self.path = path
        self._handle = handle

    @classmethod
    def below(cls, trusted: Path, path: Path, *, make: bool = False) -> Directory:
        """The directory `path`, which is `trusted` or lies below it with no link in between.

        If it is to be made, so are those on the way.
        """
        parts = path.relative_to(trusted).parts
        handle = os.open(trusted, _PASSED if parts else _DIRECTORY) if _HELD else None
        directory = cls(str(trusted), handle)
        for left, name in zip(reversed(range(len(parts))), parts, strict=True):
            with directory as above:
                directory = above._enter(name, _PASSED if left else _DIRECTORY, make)
        return directory

    def _enter(self, name: str, how: int, make: bool) -> Directory:
        path = os.path.join(self.path, name)  # noqa: PTH118
        if make:
            with suppress(FileExistsError):
                os.mkdir(self._at(name), dir_fd=self._handle)
        status = self.status(name)
        if _is_link(status):
            raise WrongKindError(errno.ELOOP, "is a link", path)
        if not stat.S_ISDIR(status.st_mode):
            raise NotADirectoryError(errno.ENOTDIR, "is no directory", path)
        return Directory(path, os.open(name, how | _AS_IT_IS, dir_fd=self._handle) if _HELD else None)

    def _at(self, name: str) -> str:
        return name if _HELD else os.path.join(self.path, name)  # noqa: PTH118

    def __enter__(self) -> Directory:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of it."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    @property
    def owner(self) -> int:
        """The number of the user that it belongs to; 0 where users have none."""
        return (os.stat(self.path) if self._handle is None else os.fstat(self._handle)).st_uid  # noqa: PTH116

    @property
    def is_writable(self) -> bool:
        """Whether files can be made in it, as far as can be seen without doing so."""
        return os.access(self._at(os.curdir), os.W_OK, dir_fd=self._handle)

    def entries(self) -> Iterator[tuple[str, bool]]:
        """The names of what is in it, each with whether it is a regular file."""
        for name in os.listdir(self.path if self._handle is None else self._handle):  # noqa: PTH208
            with suppress(FileNotFoundError):  # gone meanwhile
                yield name, _is_regular(self.status(name))

    def status(self, name: str) -> os.stat_result:
        """The status of what is called so, be it a link."""
        return os.stat(self._at(name), dir_fd=self._handle, follow_symlinks=False)

    def read(self, name: str, most: int = -1) -> bytes:
        """What is in a regular file, or its first `most` bytes."""
        handle = os.open(self._at(name), _READ | _AS_IT_IS, dir_fd=self._handle)
        with open(handle, "rb") as file:  # noqa: PTH123
            _require_regular(os.fstat(handle), name)
            return file.read(most)

    def write(self, name: str, data: bytes) -> None:
        """Give a regular file a new content in one go, or make it."""
        with suppress(FileNotFoundError):
            _require_regular(self.status(name), name)
        atomic.replace(self._at(name), data, directory=self._handle)

    def remove(self, name: str) -> None:
        """Remove a regular file."""
        _require_regular(self.status(name), name)
        os.unlink(self._at(name), dir_fd=self._handle)


def _is_link(status: os.stat_result) -> bool:
    """Whether what has this status leads elsewhere; on Windows, a junction does, too."""
    return stat.S_ISLNK(status.st_mode) or getattr(status, "st_reparse_tag", 0) == _JUNCTION


def _is_regular(status: os.stat_result) -> bool:
    return stat.S_ISREG(status.st_mode) and not _is_link(status)


def _require_regular(status: os.stat_result, name: str) -> None:
    if not _is_regular(status):
        raise WrongKindError(errno.EINVAL, "is no regular file", name)
