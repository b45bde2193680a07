"""Source lines with ranges underlined and labelled, in the manner of rustc.

    |
 22 |     loss.backward()
    |     --------------- (1) deposits gradients
 23 |     optimizer.step()
    |     ^^^^^^^^^^^^^^^^ (2) uses them

Columns on the screen are not columns of the text: tabs are expanded, wide characters take two, what would be obeyed
instead of shown is escaped, and of a very long line only the part around the ranges is shown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from loopguard.escape import characters
from loopguard.report.style import Style

_TAB = 4
_LONGEST = 180
_LEAD = 60
_GAP = 2


@dataclass(slots=True)
class Mark:
    """A range of one row (columns from 1, the end exclusive), its labels, and the kind of paint that it gets.

    The kind "frame" is underlined with dashes, any other (where the finding is reported) with carets.
    """

    row: int
    column: int
    end: int
    labels: list[str]
    kind: str


def draw(
    marks: Sequence[Mark], context: Sequence[int], line: Callable[[int], str], width: int, style: Style
) -> Iterator[str]:
    """The marked rows and those of `context`, in order, with their marks below them.

    `line` gives the text of a row, `width` is that of the line numbers. Rows between two that are shown are
    shown, too, if there are few; otherwise an ellipsis stands for them.
    """
    bar = style("frame", "|")
    marked: dict[int, list[Mark]] = {}
    for mark in sorted(marks, key=lambda mark: (mark.column, -mark.end)):
        marked.setdefault(mark.row, []).append(mark)
    rows = sorted({*context, *marked})
    yield f"{'':{width}} {bar}"
    for before, row in zip([rows[0], *rows], rows, strict=False):
        between = range(before + 1, row)
        if len(between) > _GAP:
            yield style("frame", "...")
        else:
            for quiet in between:
                yield _numbered(quiet, line(quiet), width, style)
        here = marked.get(row, [])
        text, spans = _on_screen(line(row), [(mark.column, mark.end) for mark in here])
        yield _numbered(row, text, width, style, raw=False)
        for below in _underlined(list(zip(here, spans, strict=True)), style):
            yield f"{'':{width}} {bar} {below}"
    yield f"{'':{width}} {bar}"


def merged(marks: Sequence[Mark]) -> list[Mark]:
    """The marks with those that start at the same place joined: one underline, all labels in order."""
    joined: dict[tuple[int, int], Mark] = {}
    for mark in marks:
        same = joined.setdefault((mark.row, mark.column), Mark(mark.row, mark.column, mark.end, [], mark.kind))
        same.end = max(same.end, mark.end)
        same.labels += mark.labels
        if mark.kind != "frame":
            same.kind = mark.kind
    return list(joined.values())


def _numbered(row: int, text: str, width: int, style: Style, raw: bool = True) -> str:
    shown = _on_screen(text, [])[0] if raw else text
    return f"{style('frame', f'{row:>{width}} |')} {shown}".rstrip()


def _underlined(marks: Sequence[tuple[Mark, tuple[int, int]]], style: Style) -> Iterator[str]:
    """The underlines, then the labels: those of the rightmost mark beside it, the others hanging below."""
    if not marks:
        return
    line = _Line()
    # From the left: of two nested ranges the inner one is drawn over the outer one.
    for mark, (start, end) in marks:
        line.put(start, ("-" if mark.kind == "frame" else "^") * (end - start), mark.kind)
    last, (_, _) = marks[-1]
    labels_at = len(line) + 1
    labels = list(last.labels)
    if labels:
        line.put(labels_at, labels.pop(0), last.kind)
    yield line.painted(style)
    # Beyond the end of what is shown of a long line, many stand in one column.
    hanging: dict[int, list[Mark]] = {}
    for mark, (start, _) in marks[:-1]:
        if mark.labels:
            hanging.setdefault(start, []).append(mark)
    for label in labels:
        line = _connectors(hanging)
        line.put(labels_at, label, last.kind)
        yield line.painted(style)
    for start in reversed(list(hanging)):
        while hanging[start]:
            yield _connectors(hanging).painted(style)
            mark = hanging[start].pop()
            for label in mark.labels:
                line = _connectors(hanging)
                line.put(start, label, mark.kind)
                yield line.painted(style)
        del hanging[start]


def _connectors(hanging: Mapping[int, Sequence[Mark]]) -> _Line:
    line = _Line()
    for start, marks in hanging.items():
        if marks:
            line.put(start, "|", marks[-1].kind)
    return line


class _Line:
    """A line under construction: characters, each with the kind of paint it gets."""

    def __init__(self) -> None:
        self._cells: list[tuple[str, str]] = []

    def __len__(self) -> int:
        return len(self._cells)

    def put(self, at: int, text: str, kind: str) -> None:
        self._cells += [(" ", "")] * (at + len(text) - len(self._cells))
        self._cells[at : at + len(text)] = [(character, kind) for character in text]

    def painted(self, style: Style) -> str:
        parts: list[str] = []
        run, kind = "", ""
        for character, next_kind in [*self._cells, ("", "end")]:
            if next_kind != kind:
                parts.append(style(kind, run))
                run, kind = "", next_kind
            run += character
        return "".join(parts)


def _on_screen(line: str, ranges: Sequence[tuple[int, int]]) -> tuple[str, list[tuple[int, int]]]:
    """The line as it is shown, and the ranges (columns from 1) as columns of the screen, from 0."""
    spans = [(start - 1, max(end - 1, start)) for start, end in ranges]
    head = tail = ""
    if len(line) > _LONGEST:
        low = max(0, spans[0][0] - _LEAD) if spans and spans[-1][1] > _LONGEST else 0
        high = low + _LONGEST
        head, tail = "..." if low else "", "..." if high < len(line) else ""
        spans = [(max(start - low, 0), min(end - low, _LONGEST)) for start, end in spans]
        spans = [(min(start, _LONGEST - 1), max(end, min(start, _LONGEST - 1) + 1)) for start, end in spans]
        line = line[low:high]
    shown, columns = head, [len(head)]
    for character, text in zip(line, characters(line), strict=True):
        if character == "\t":
            text = " " * (_TAB - (columns[-1] - len(head)) % _TAB)
        shown += text
        columns.append(columns[-1] + _size(text))
    # A place may lie past the line's end: where something is missing, say.
    columns += range(columns[-1] + 1, columns[-1] + 2 + max((end for _, end in spans), default=0))
    return shown + tail, [(columns[start], max(columns[end], columns[start] + 1)) for start, end in spans]


def _size(text: str) -> int:
    """How many columns a character takes, as it is shown."""
    if text.isascii():
        return len(text)
    from unicodedata import combining, east_asian_width

    if combining(text):
        return 0
    return 2 if east_asian_width(text) in "WF" else 1
