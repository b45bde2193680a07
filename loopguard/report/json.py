"""ruff's JSON, which editors and bots read already, with two fields more: `advice` and `evidence`.

What was not judged in full has no code, as what was not parsed has none with ruff: nobody is to take it for a finding.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from loopguard.escape import dumped
from loopguard.events import Moment, Place
from loopguard.finding import Finding
from loopguard.limits import Unjudged
from loopguard.paths import absolute
from loopguard.report import Context

# ruff's severities; it has none for advice, but knows "info".
_SEVERITY = {"advice": "info"}

_NOT_JUDGED = "not-judged"
"""What stands for the name of a rule where something was not judged in full."""


def render(findings: Sequence[Finding], context: Context) -> Iterator[str]:
    """The findings as one list, and behind them what was not judged in full."""
    yield dumped(list(records(findings, context)), indent=2)


def records(findings: Sequence[Finding], context: Context) -> Iterator[Mapping[str, object]]:
    """What there is to tell, with the same keys throughout, in alphabetical order as ruff writes them."""
    yield from (fields(finding, context) for finding in findings)
    yield from map(_unjudged, context.given_up)


def fields(finding: Finding, context: Context) -> Mapping[str, object]:
    """One finding."""
    place = _place(finding.place)
    return {
        "advice": finding.advice,
        "cell": place["cell"],
        "code": finding.code,
        "end_location": place["end_location"],
        "evidence": [_moment(moment) for moment in finding.evidence],
        "filename": place["filename"],
        "fix": None,
        "location": place["location"],
        "message": finding.message,
        "name": finding.name,
        "noqa_row": finding.place.row,
        "severity": _SEVERITY.get(finding.level, finding.level),
        "url": finding.url,
    }


def _unjudged(item: Unjudged) -> Mapping[str, object]:
    place = _place(item.place)
    return {
        "advice": "",
        "cell": place["cell"],
        "code": None,
        "end_location": place["end_location"],
        "evidence": [],
        "filename": place["filename"],
        "fix": None,
        "location": place["location"],
        "message": item.message,
        "name": _NOT_JUDGED,
        "noqa_row": item.place.row,
        "severity": "info",
        "url": None,
    }


def _moment(moment: Moment) -> Mapping[str, object]:
    return {
        **_place(moment.event.place),
        "iteration": moment.iteration or None,
        "kind": moment.event.kind.value,
        "note": moment.note,
        "subject": moment.event.subject,
        "text": moment.event.text,
    }


def _place(place: Place) -> Mapping[str, object]:
    return {
        "cell": place.cell,
        "end_location": {"column": place.end_column, "row": place.end_row},
        "filename": place.path if place.path == "-" else str(absolute(Path(place.path))),
        "location": {"column": place.column, "row": place.row},
    }
