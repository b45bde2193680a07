"""What names say. A program uses the same few names again and again, so that it is worth remembering."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

_SIZE = 1 << 12
OF_TEXTS = 4
"""Of how many whole texts it is worth to remember anything: that of the file which is judged, and those it imports."""


class Wording:
    """A regular expression over names that remembers in which of them it was found, as far as there is room."""

    __slots__ = ("search",)

    search: Callable[[str], re.Match[str] | None]

    def __init__(self, pattern: str, flags: int = 0, size: int = _SIZE) -> None:
        # Not compiled before it is asked for: a run does not need all of them.
        self.search = lru_cache(maxsize=size)(lambda name: re.compile(pattern, flags).search(name))
