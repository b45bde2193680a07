"""What can be read only once, or by this process alone: pipes, and the names of what a process has open.

All of it is read here, in one go. Neither a pipe to which nobody writes nor one that never ends keeps us for ever, and
terminals, disks and the like are refused.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterable
from io import BufferedIOBase, FileIO
from pathlib import Path
from typing import cast

from loopguard.errors import UsageError
from loopguard.paths import shown

_ALONE, _SILENT = 5, 60
"""How many seconds to wait for somebody to open the other end of a pipe, and for one who has to write something."""

_MOST = 1 << 27
_PIECE = 1 << 16

_PROMPT = getattr(os, "O_NONBLOCK", 0)  # missing where files are no pipes, either
_OWN = ("/dev/fd/", "/dev/std", "/proc/")


def read_once(files: Iterable[Path]) -> dict[Path, bytes]:
    """Those of some files (absolute) that cannot be read again or elsewhere, and what is in them. Raises `UsageError`.

    A pipe that has two names is read once, too.
    """
    contents: dict[Path, bytes] = {}
    pipes: dict[tuple[int, int], bytes] = {}
    for file in files:
        try:
            status = file.stat()
        except OSError:
            continue  # whoever reads it will see why
        if stat.S_ISFIFO(status.st_mode) and _PROMPT:
            pipe = status.st_dev, status.st_ino
            if pipe not in pipes:
                pipes[pipe] = _read(file)
            contents[file] = pipes[pipe]
        elif _is_null(status):
            contents[file] = b""
        elif not stat.S_ISREG(status.st_mode):
            raise UsageError(f"{shown(file)}: neither a file nor a pipe (from a terminal, `-` reads)")
        elif _is_own(str(file)):
            contents[file] = _read(file)
    return contents


def read_stdin() -> bytes:
    """What comes on stdin. Raises `UsageError`."""
    if sys.stdin is None:
        raise UsageError("stdin is closed")
    data = bytearray()
    try:
        while piece := cast(BufferedIOBase, sys.stdin.buffer).read1(_PIECE):
            _append(data, piece, "stdin")
    except OSError as error:
        raise UsageError(f"stdin: cannot be read: {error.strerror}") from None
    return bytes(data)


def _is_null(status: os.stat_result) -> bool:
    """Whether it is the device in which there is nothing."""
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == Path(os.devnull).stat().st_rdev


def _is_own(path: str) -> bool:
    """Whether a name, or the link that it is, means another file in each process."""
    for _ in range(40):
        if path.startswith(_OWN):
            return True
        try:
            path = os.path.join(os.path.dirname(path), os.readlink(path))  # noqa: PTH115, PTH118, PTH120
        except OSError:
            break
    return False


def _read(file: Path) -> bytes:
    try:
        handle = os.open(file, os.O_RDONLY | _PROMPT)
        with open(handle, "rb", buffering=0) as pipe:  # noqa: PTH123 -- pathlib opens no handles
            data = bytearray()
            while piece := _piece(pipe, shown(file)):
                _append(data, piece, shown(file))
    except OSError as error:
        raise UsageError(f"{shown(file)}: cannot be read: {error.strerror}") from None
    return bytes(data)


def _piece(pipe: FileIO, name: str) -> bytes:
    """The next bytes, nothing at the end. Raises `UsageError` if there is neither for long."""
    from select import POLLIN, poll

    ready = poll()
    ready.register(pipe, POLLIN)
    for seconds in (_ALONE, _SILENT - _ALONE):
        there = ready.poll(seconds * 1000)
        piece: bytes | None = pipe.read(_PIECE)
        if piece is None:
            continue  # somebody has the other end, and does not write
        if piece or there:
            return piece
        raise UsageError(f"{name}: nobody writes to this pipe")
    raise UsageError(f"{name}: nothing has come out of this pipe for {_SILENT} seconds")


def _append(data: bytearray, piece: bytes, name: str) -> None:
    data += piece
    if len(data) > _MOST:
        raise UsageError(f"{name}: more than {_MOST >> 20} MiB")
