"""The finding as a person wants to see it: what, where, and the path of events that proves it.

LG101 missing-zero-grad: `optimizer.step()` uses gradients summed over iterations
  --> train.py:23:9
   |
21 |     for inputs, targets in loader:
22 |         criterion(model(inputs), targets).backward()
   |         -------------------------------------------- (1) iteration 1: deposits gradients
   |                                                      (3) iteration 2: adds to those of iteration 1
23 |         optimizer.step()
   |         ^^^^^^^^^^^^^^^^ (2) iteration 1: uses the gradients
   |                          (4) iteration 2: uses the sum
   |
help: call `optimizer.zero_grad()` after each step
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache

from loopguard.events import Moment, Place
from loopguard.finding import Finding
from loopguard.report import Context
from loopguard.report.snippet import Mark, draw, merged
from loopguard.source import Source

_LOOP = re.compile(r"(?:for|while|async\s+for)\b")
_SCOPE = re.compile(r"(?:def|class|async\s+def)\b")
_AROUND = 2
_NAMED = 4


def render(findings: Sequence[Finding], context: Context) -> Iterator[str]:
    """The findings, several lines each, with an empty line after each."""
    for finding in findings:
        yield from _finding(finding, context)
        yield ""


def _finding(finding: Finding, context: Context) -> Iterator[str]:
    style = context.style
    code = style.link(finding.url, style(finding.level, finding.code))
    yield f"{code} {style('bold', f'{finding.name}: {finding.message}')}"
    snippets = _snippets(finding)
    width = len(str(max(place.end_row for places in snippets.values() for place, _ in places)))
    for number, (where, places) in enumerate(snippets.items()):
        source = context.source(where[0])
        arrow = "-->" if number == 0 else ":::"
        yield f"{'':{width}}{style('frame', arrow)} {places[0][0]}"
        if source is None:
            yield from (f"{'':{width}} {style('frame', '=')} {label}" for _, label in places if label)
        else:
            yield from _drawn(source, where[1], places, finding, width, context)
    if finding.parameters:
        yield f"{'':{width}} {style('frame', '=')} in the gradients of {_listed(finding.parameters)}"
    yield f"{style('advice', 'help')}: {finding.advice}"


def _snippets(finding: Finding) -> dict[tuple[str, int | None], list[tuple[Place, str]]]:
    """The places to show with their labels, by file and cell: that of the finding first."""
    snippets: dict[tuple[str, int | None], list[tuple[Place, str]]] = {}
    snippets[finding.place.path, finding.place.cell] = [(finding.place, "")]
    for number, moment in enumerate(finding.evidence, start=1):
        place = moment.event.place
        snippets.setdefault((place.path, place.cell), []).append((place, _label(number, moment)))
    return snippets


def _label(number: int, moment: Moment) -> str:
    iteration = f"iteration {moment.iteration}: " if moment.iteration else ""
    return f"({number}) {iteration}{moment.note}"


def _listed(names: Sequence[str]) -> str:
    """Some names, the first few of them written out."""
    shown = [f"`{name}`" for name in names[:_NAMED]]
    more = len(names) - len(shown)
    last = f"{more} more" if more else shown.pop()
    return f"{', '.join(shown)} and {last}" if shown else last


def _drawn(
    source: Source,
    cell: int | None,
    places: Sequence[tuple[Place, str]],
    finding: Finding,
    width: int,
    context: Context,
) -> Iterator[str]:
    lines = source.lines(cell)
    marks: list[Mark] = []
    around: set[int] = set()
    for place, label in places:
        several = place.end_row > place.row
        end = len(source.line(place.row, cell)) + 1 if several else place.end_column
        kind = finding.level if place == finding.place else "frame"
        marks.append(Mark(place.row, place.column, end, [label] if label else [], kind))
        around.update(range(place.row, min(place.end_row, place.row + 2 * _AROUND) + 1))
    if finding.evidence:
        around.update(_loop_above(lines, _rows_around(source, cell), min(mark.row for mark in marks)))
    else:
        row = finding.place.row
        around.update(range(row - _AROUND, row + _AROUND + 1))
    shown = [row for row in around if 0 < row <= len(lines)]
    last = max((row for row in shown if lines[row - 1].strip()), default=0)
    shown = [row for row in shown if row <= max(last, *(mark.row for mark in marks))]
    yield from draw(merged(marks), shown, lambda row: source.line(row, cell), width, context.style)


def _loop_above(lines: Sequence[str], around: Sequence[int], row: int) -> Iterator[int]:
    """The row of the innermost loop header that the line at `row` stands below, within its function."""
    above = around[row - 1] if row <= len(lines) else 0
    while above:
        text = lines[above - 1].strip()
        if _LOOP.match(text):
            yield above
        if _LOOP.match(text) or _SCOPE.match(text):
            return
        above = around[above - 1]


@lru_cache(maxsize=1)
def _rows_around(source: Source, cell: int | None) -> list[int]:
    """For each row the last one before it that is indented less, 0 if there is none. Comments count for nothing."""
    rows: list[int] = []
    around: list[tuple[int, int]] = []
    for row, line in enumerate(source.lines(cell), start=1):
        indent = _indent(line)
        if line.strip() and not line.lstrip().startswith("#"):
            while around and around[-1][1] >= indent:
                around.pop()
            rows.append(around[-1][0] if around else 0)
            around.append((row, indent))
        else:
            rows.append(next((other for other, size in reversed(around) if size < indent), 0))
    return rows


def _indent(line: str) -> int:
    return len(line.expandtabs()) - len(line.expandtabs().lstrip())
