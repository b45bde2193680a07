r"""A source: the text of one file as the engine sees it, and the way back from it to places in the file.

Rows, columns and characters are those of the decoded text, without a byte order mark and with every newline
as "\n". For a notebook the text is that of all code cells, one after the other.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from loopguard.errors import SourceError
from loopguard.events import Place
from loopguard.paths import absolute, shown

if TYPE_CHECKING:
    from loopguard.notebook import Cell

__all__ = ["Source", "SourceError", "decode", "read"]

# The declaration of an encoding in one of the first two lines: https://peps.python.org/pep-0263/
_CODING = re.compile(rb"[ \t\f]*#.*?coding[:=][ \t]*([-\w.]+)")
_BLANK = re.compile(rb"[ \t\f]*(?:#.*)?$")
_BOM = b"\xef\xbb\xbf"


class Source:
    """The text of one file.

    `path` is the path as it is shown, `file` where the file lies (None for text without a file).
    `cells` are a notebook's code cells, in order; empty for any other file.
    """

    __slots__ = ("_lines", "_numbered", "_starts", "cells", "file", "path", "text")

    def __init__(self, path: str, text: str, file: Path | None = None, cells: Sequence[Cell] = ()) -> None:
        self.path = path
        self.text = text
        self.file = file
        self.cells = tuple(cells)
        self._lines: list[str] | None = None
        self._starts = [cell.start for cell in self.cells]
        self._numbered: dict[int | None, Cell] = {cell.number: cell for cell in self.cells}

    @classmethod
    def from_bytes(cls, data: bytes, path: str, file: Path | None = None) -> Source:
        """The source in `data`, a notebook if `path` ends in ".ipynb". Raises `SourceError`."""
        if path.endswith(".ipynb"):
            from loopguard import notebook

            cells, text = notebook.read(data)
        else:
            cells, text = [], decode(data)
        if "\0" in text:
            before = text[: text.index("\0")]
            row, column = before.count("\n") + 1, _last_column(before)
            place = cls(path, text, file, cells).place(row, column, row, column)
            raise SourceError("source code cannot contain null bytes", place.row, column, place.cell)
        return cls(path, text, file, cells)

    def place(self, row: int, column: int, end_row: int, end_column: int) -> Place:
        """The place in the file of a range of the text (from 1, the end column past the last character)."""
        if not self.cells:
            return Place(self.path, row, column, end_row, end_column)
        cell = self.cells[max(bisect_right(self._starts, row) - 1, 0)]
        shift = cell.start - 1
        return Place(self.path, row - shift, column, end_row - shift, end_column, cell.number)

    def row(self, place: Place, end: bool = False) -> int:
        """The row in the text at which `place` starts, or at which it ends."""
        row = place.end_row if end else place.row
        cell = self._numbered.get(place.cell)
        return row + cell.start - 1 if cell is not None else row

    def line(self, row: int, cell: int | None = None) -> str:
        """One line of the file as the user wrote it (magics and all), "" where there is none."""
        lines = self.lines(cell)
        return lines[row - 1] if 0 < row <= len(lines) else ""

    def lines(self, cell: int | None = None) -> Sequence[str]:
        """All lines of the file, or of one cell of the notebook."""
        if cell in self._numbered:
            return self._numbered[cell].lines
        if self._lines is None:
            # Not splitlines(): it would split at form feeds and other characters that end no line of Python.
            self._lines = self.text.split("\n")
        return self._lines


def read(file: Path) -> Source:
    """The source in `file`. Raises `OSError` and `SourceError`."""
    return Source.from_bytes(file.read_bytes(), shown(file), absolute(file))


def decode(data: bytes) -> str:
    """Decode Python source as Python does. Raises `SourceError` where Python would refuse it."""
    body = data[len(_BOM) :] if data.startswith(_BOM) else data
    encoding = _declared_encoding(body)
    if body is not data and encoding != "utf-8":
        raise SourceError(f"the file starts with a UTF-8 byte order mark but declares `{encoding}`")
    try:
        text = body.decode(encoding)
        # Some codecs decode to lone surrogates, which are in no valid program.
        text.encode()
    except LookupError:
        raise SourceError(f"the encoding `{encoding}` is unknown") from None
    except UnicodeDecodeError as error:
        before = body[: error.start].decode(encoding, "replace")
        reason = f"cannot be decoded as {encoding}: {error.reason}"
        raise SourceError(reason, len(_normal(before).split("\n")), _last_column(_normal(before))) from None
    except ValueError as error:
        raise SourceError(f"cannot be decoded as {encoding}: {error}") from None
    return _normal(text)


def _declared_encoding(body: bytes) -> str:
    for line in body[:4096].splitlines()[:2]:
        found = _CODING.match(line)
        if found:
            return _known_as(found[1].decode("ascii", "replace"))
        if not _BLANK.match(line):
            break
    return "utf-8"


def _known_as(name: str) -> str:
    """The encoding that Python's tokenizer takes a name for: two of them may end as Emacs writes them, in `-unix`."""
    plain = name.lower().replace("_", "-")
    for encoding, names in (("utf-8", ("utf-8",)), ("iso-8859-1", ("latin-1", "iso-8859-1", "iso-latin-1"))):
        if plain in names or plain.startswith(tuple(f"{one}-" for one in names)):
            return encoding
    return name


def _normal(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def _last_column(before: str) -> int:
    return len(before) - before.rfind("\n")
