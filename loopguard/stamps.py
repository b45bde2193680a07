"""Stamps of files: what tells without reading it that a file is still the one that was read, and what tells for sure.

A stamp holds the time of the last change of anything about the file, which no program can set. A file that has changed
just now could change again within the same tick of the clock: such a stamp is empty, and equal to none.
"""

from __future__ import annotations

import os
from time import time_ns
from typing import NamedTuple

_JUST_NOW = 2_000_000_000


class Seen(NamedTuple):
    """A file as it was read: its path, its stamp then, and the digest of its content ("" if it could not be read)."""

    path: str
    stamp: str
    digest: str


def stamp(path: str) -> str:
    """The stamp of a file or directory; empty if there is none, or it is too young to tell."""
    try:
        status = os.stat(path)  # noqa: PTH116 -- a warm run does little else than this
    except (OSError, ValueError):
        return ""
    return stamp_of(status)


def stamp_of(status: os.stat_result) -> str:
    """The stamp of a file with this status."""
    if -_JUST_NOW < time_ns() - status.st_ctime_ns < _JUST_NOW:
        return ""
    return f"{status.st_size}:{status.st_mtime_ns}:{status.st_ctime_ns}:{status.st_ino}"


def digest(data: bytes) -> str:
    """The digest of a content."""
    from hashlib import blake2b

    return blake2b(data, digest_size=16).hexdigest()


def digest_of(path: str) -> str:
    """The digest of what is in a file; empty if it cannot be read, or is none: a pipe would keep us waiting."""
    if not os.path.isfile(path):  # noqa: PTH113 -- as in `stamp`
        return ""
    try:
        with open(path, "rb") as file:  # noqa: PTH123 -- as in `stamp`
            return digest(file.read())
    except (OSError, ValueError):
        return ""
