"""Reading a file that may be anything, as what lies in somebody else's tree may."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from stat import S_ISDIR, S_ISREG

MOST = 1 << 20
"""How many bytes a file of settings or of patterns may have."""

_HOW = os.O_RDONLY | sum(getattr(os, name, 0) for name in ("O_NONBLOCK", "O_NOCTTY", "O_CLOEXEC", "O_BINARY"))


def read_regular(file: Path, most: int = MOST) -> bytes:
    """The content of a regular file of at most `most` bytes. Raises `OSError`, with what is wrong as `strerror`.

    Anything else is not even opened: a pipe would wait for somebody to write to it, a device may have no end, and some
    do something as soon as they are opened.
    """
    try:
        _insist(os.stat(file).st_mode, file)  # noqa: PTH116 -- pathlib has no more to offer
        with os.fdopen(os.open(file, _HOW), "rb") as stream:
            _insist(os.fstat(stream.fileno()).st_mode, file)
            data = stream.read(most + 1) or b""
    except ValueError as error:  # a path that no file can have
        raise OSError(errno.EINVAL, str(error), str(file)) from None
    if len(data) > most:
        raise OSError(errno.EFBIG, f"more than {most >> 20} MiB", str(file))
    return data


def _insist(mode: int, file: Path) -> None:
    if S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, "Is a directory", str(file))
    if not S_ISREG(mode):
        raise OSError(errno.EINVAL, "not a regular file", str(file))
