"""Words that are looked for in whole texts, fast.

`re` tries the branches of an alternation at every character, and more so where case does not count. A plain text is
found ten times as fast, and most texts hold none of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import AnyStr, Generic


class Words(Generic[AnyStr]):
    """A pattern for what stands on one line, and always holds one of some plain texts.

    These are in lower case if case does not count.
    """

    def __init__(self, pattern: AnyStr, *plain: AnyStr, ignoring_case: bool = False) -> None:
        self.pattern: AnyStr = pattern
        self.plain: tuple[AnyStr, ...] = plain
        self._ignoring_case = ignoring_case
        self._end: AnyStr = "\n" if isinstance(pattern, str) else b"\n"

    @cached_property
    def _pattern(self) -> re.Pattern[AnyStr]:
        return re.compile(self.pattern, re.IGNORECASE if self._ignoring_case else 0)

    def search(self, text: AnyStr) -> re.Match[AnyStr] | None:
        """A match in a text."""
        for start, end in self._candidates(text):
            found = self._pattern.search(text, start, end)
            if found is not None:
                return found
        return None

    def rows(self: Words[str], lines: Sequence[str]) -> list[int]:
        """The numbers, from 1, of the lines that have a match."""
        text = "\n".join(lines)
        found = {start for start, end in self._candidates(text) if self._pattern.search(text, start, end)}
        rows: list[int] = []
        row, behind = 1, 0
        for start in sorted(found):
            row += text.count("\n", behind, start)
            behind = start
            rows.append(row)
        return rows

    def _candidates(self, text: AnyStr) -> Iterator[tuple[int, int]]:
        """The start and end of each line that holds a plain text, perhaps more than once."""
        read = _small(text) if self._ignoring_case else text
        for word in self.plain:
            at = read.find(word)
            while at >= 0:
                end = read.find(self._end, at)
                yield read.rfind(self._end, 0, at) + 1, end if end >= 0 else len(text)
                at = read.find(word, end) if end >= 0 else -1


def _small(text: AnyStr) -> AnyStr:
    """A text in lower case, of the same length: there is a letter whose small form is two."""
    small = text.lower()
    if isinstance(text, str) and len(small) != len(text):
        return "".join(letter if len(letter.lower()) > 1 else letter.lower() for letter in text)
    return small
