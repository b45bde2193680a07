"""Files that are there whole or not at all."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

TEMPORARY = r"\.loopguard-[0-9a-f]{16}\.tmp"
"""A pattern of the names of files that are not whole yet. One that is found was left by a process that was killed."""

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL
_NEW |= getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)


def write(file: Path, text: str) -> None:
    """Give a file a new text in one go: whoever reads it meanwhile sees the old one. Raises `OSError`."""
    if file.exists() and not file.is_file():  # a pipe or a device has no old text, and must not be replaced
        file.write_text(text, "utf-8")
        return
    target = file.resolve()  # of a link, the file is written, and the link stays one
    replace(str(target), text.encode(), mode=target.stat().st_mode if target.exists() else None)


def replace(path: str, data: bytes, *, directory: int | None = None, mode: int | None = None) -> None:
    """Put a new file in the place of what is called `path`, in an open `directory` if one is given. Raises `OSError`.

    Nobody can know the name that it has until it is whole, and what has that name is neither followed nor overwritten.
    """
    temporary = str(Path(path).with_name(f".loopguard-{os.urandom(8).hex()}.tmp"))
    handle = os.open(temporary, _NEW, 0o666, dir_fd=directory)
    try:
        with open(handle, "wb") as file:  # noqa: PTH123 -- pathlib opens no handles
            file.write(data)
            if mode is not None:
                os.chmod(handle if os.chmod in os.supports_fd else temporary, mode)  # noqa: PTH101 -- nor changes them
        os.replace(temporary, path, src_dir_fd=directory, dst_dir_fd=directory)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary, dir_fd=directory)
        raise


def obstacle(file: Path) -> str | None:
    """Why a file cannot be written, as far as can be seen without doing so; None if nothing is in the way."""
    if file.is_dir():
        return "is a directory"
    folder = file.resolve().parent
    if not folder.is_dir():
        return f"there is no directory {folder}"
    if not os.access(file if file.exists() else folder, os.W_OK):
        return "may not be written"
    return None
