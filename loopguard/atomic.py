"""Files that are there whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import NamedTemporaryFile


def write(file: Path, text: str) -> None:
    """Give a file a new text in one go: whoever reads it meanwhile sees the old one. Raises `OSError`."""
    if file.exists() and not file.is_file():  # a pipe or a device has no old text, and must not be replaced
        file.write_text(text, "utf-8")
        return
    target = file.resolve()  # of a link, the file is written, and the link stays one
    with NamedTemporaryFile("w", encoding="utf-8", dir=target.parent, prefix=f".{target.name}.", delete=False) as new:
        try:
            new.write(text)
            new.flush()
            Path(new.name).chmod(target.stat().st_mode if target.exists() else 0o666 & ~_umask())
            Path(new.name).replace(target)
        except BaseException:
            Path(new.name).unlink(missing_ok=True)
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


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
