"""What is in a directory, down to the last bit that somebody could miss."""

from __future__ import annotations

import stat
from pathlib import Path

Seen = dict[str, tuple[int, bytes | str]]
"""Paths, and of each its kind and permissions and what is in it: bytes, the target of a link, or nothing."""


def seen(top: Path) -> Seen:
    """A file or a directory and everything below it, with links as they are; nothing if there is none."""
    found: Seen = {}
    todo = [top]
    while todo:
        path = todo.pop()
        try:
            mode = path.lstat().st_mode
        except FileNotFoundError:
            continue
        content: bytes | str = ""
        if stat.S_ISLNK(mode):
            content = str(path.readlink())
        elif stat.S_ISREG(mode):
            content = path.read_bytes()
        elif stat.S_ISDIR(mode):
            todo += path.iterdir()
        found[str(path)] = mode, content
    return found


def names(folder: str | Path) -> list[str]:
    """The names of what is in a directory, in order."""
    return sorted(path.name for path in Path(folder).iterdir())
