"""Paths: as they are shown, and as they are compared."""

from __future__ import annotations

import os
from pathlib import Path


def shown(file: Path) -> str:
    """How a path is shown: relative where it lies below the current directory, absolute elsewhere."""
    here = str(Path.cwd())
    path = str(absolute(file))
    return path[len(here) :].lstrip(os.sep) if path.startswith(here.rstrip(os.sep) + os.sep) else path


def absolute(file: Path) -> Path:
    """The absolute path, without `..` and without following symbolic links."""
    return Path(os.path.abspath(file))  # noqa: PTH100 -- Path.absolute keeps `..`, Path.resolve follows links
