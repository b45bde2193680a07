"""A progress bar on a terminal, once the work has turned out to be long."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from time import monotonic
from typing import TextIO, TypeVar

_Item = TypeVar("_Item")

_PATIENCE = 1.0
_EVERY = 0.1
_WIDTH = 30


def progress(items: Iterable[_Item], total: int, stream: TextIO, wanted: bool) -> Iterator[_Item]:
    """The `total` items; while they are consumed, a bar on `stream` if it is a terminal and a second has gone by."""
    if not (wanted and stream.isatty()):
        yield from items
        return
    due = monotonic() + _PATIENCE
    drawn = False
    for done, item in enumerate(items):
        now = monotonic()
        if now >= due:
            filled = done * _WIDTH // total
            stream.write(f"\r[{'#' * filled}{'-' * (_WIDTH - filled)}] {done}/{total} files")
            stream.flush()
            due, drawn = now + _EVERY, True
        yield item
    if drawn:
        stream.write("\r\x1b[K")
        stream.flush()
