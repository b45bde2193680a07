"""Paths: as they are shown, and as they are compared."""

from __future__ import annotations

import os
from pathlib import Path

_pinned: list[str] = []


def shown(file: Path) -> str:
    """How a path is shown: relative where it lies below the current directory, absolute elsewhere."""
    here = _here()
    path = str(absolute(file))
    return path[len(here) :].lstrip(os.sep) if path.startswith(here.rstrip(os.sep) + os.sep) else path


def absolute(file: Path) -> Path:
    """The absolute path, without `..` and without following symbolic links."""
    return Path(os.path.normpath(os.path.join(_here(), file)))  # noqa: PTH118 -- pathlib keeps `..`


def pin() -> None:
    """Take the directory that is the current one for the current one from now on, wherever a program may go."""
    _pinned[:] = [str(Path.cwd())]


def _here() -> str:
    return _pinned[0] if _pinned else str(Path.cwd())
