"""On which rows of a text words stand: what is asked of its many parts, one in the other, is looked for but once."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

from loopguard.words import Words


class Rows:
    """The rows of a text, from 1. The words that are asked for stand on one row each."""

    def __init__(self, lines: Sequence[str]) -> None:
        self._lines = lines
        self._found: dict[Words[str], list[int]] = {}

    def hold(self, words: Words[str], first: int, last: int) -> bool:
        """Whether one of some words stands on these rows."""
        rows = self._rows(words)
        at = bisect_left(rows, first)
        return at < len(rows) and rows[at] <= last

    def hold_between(self, words: Words[str], start: tuple[int, int], end: tuple[int, int]) -> bool:
        """Whether one of some words stands between two positions, rows and columns from 1."""
        (row, column), (end_row, end_column) = start, end
        if not self.hold(words, row, end_row):
            return False
        if row == end_row:
            return words.search(self._lines[row - 1][column - 1 : end_column - 1]) is not None
        return (
            self.hold(words, row + 1, end_row - 1)
            or words.search(self._lines[row - 1][column - 1 :]) is not None
            or (end_column > 1 and words.search(self._lines[end_row - 1][: end_column - 1]) is not None)
        )

    def _rows(self, words: Words[str]) -> list[int]:
        if words not in self._found:
            self._found[words] = words.rows(self._lines)
        return self._found[words]
