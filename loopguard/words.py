"""Words that are looked for in whole texts, fast.

`re` tries the branches of an alternation at every character, and more so where case does not count. A plain text is
found ten times as fast, and most texts hold none of them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import AnyStr, Generic


class Words(Generic[AnyStr]):
    """A pattern of which every match holds one of some plain texts; these are in lower case if case does not count."""

    def __init__(self, pattern: AnyStr, *plain: AnyStr, ignoring_case: bool = False) -> None:
        self._pattern: re.Pattern[AnyStr] = re.compile(pattern, re.IGNORECASE if ignoring_case else 0)
        self._plain: tuple[AnyStr, ...] = plain
        self._ignoring_case = ignoring_case

    def search(self, text: AnyStr) -> re.Match[AnyStr] | None:
        """The first match in a text."""
        read = text.lower() if self._ignoring_case else text
        for word in self._plain:
            if word in read:
                return self._pattern.search(text)
        return None

    def rows(self: Words[str], lines: Sequence[str]) -> list[int]:
        """The numbers, from 1, of the lines that have a match."""
        text = "\n".join(lines)
        read = text.lower() if self._ignoring_case else text
        candidates: set[int] = set()
        for word in self._plain:
            row, behind, at = 0, 0, read.find(word)
            while at >= 0:
                row += read.count("\n", behind, at)
                candidates.add(row)
                behind = read.find("\n", at)
                at = read.find(word, behind) if behind >= 0 else -1
        return [row + 1 for row in sorted(candidates) if self._pattern.search(lines[row])]
