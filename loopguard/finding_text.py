"""Findings, and what was not judged, as one line of text, and back. Anything else is a `ValueError`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, TypeVar

from loopguard.events import Event, Kind, Moment, Place
from loopguard.finding import Finding
from loopguard.limits import Limit, Unjudged

_Value = TypeVar("_Value")

_LEVELS = ("error", "warning", "advice")


def dump(findings: Sequence[Finding], unjudged: Sequence[Unjudged]) -> str:
    """The text of some findings, and of what was not judged in full."""
    left = [[_row(item.place), item.what, item.limit.name] for item in unjudged]
    return json.dumps([[_plain(finding) for finding in findings], left], separators=(",", ":"))


def load(text: str) -> tuple[list[Finding], list[Unjudged]]:
    """The findings in a text, and what was not judged in full. Raises `ValueError`."""
    try:
        findings, left = _list(json.loads(text), 2)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    return (
        [_finding(*_list(item, 10)) for item in _list(findings)],
        [_unjudged(*_list(item, 3)) for item in _list(left)],
    )


def _plain(finding: Finding) -> list[Any]:
    trail = [[_plain_event(moment.event), moment.note, moment.iteration] for moment in finding.evidence]
    words = [finding.code, finding.name, finding.level, finding.message, finding.advice]
    return [*words, _row(finding.place), trail, finding.iterations, finding.parameters, finding.url]


def _plain_event(event: Event) -> list[Any]:
    places = [_row(place) for place in (event.place, *event.calls)]
    return [event.kind.name, event.subject, places, event.text, event.when]


def _row(place: Place) -> list[str | int | None]:
    return [place.path, place.row, place.column, place.end_row, place.end_column, place.cell]


def _finding(*fields: Any) -> Finding:
    *words, place, trail, iterations, parameters, url = fields
    code, name, level, message, advice = (_is(word, str) for word in words)
    if level not in _LEVELS:
        raise ValueError(f"no level: {level}")
    return Finding(
        code,
        name,
        level,
        message,
        advice,
        _place(*_list(place, 6)),
        tuple(_moment(*_list(item, 3)) for item in _list(trail)),
        tuple(_is(number, int) for number in _list(iterations)),
        tuple(_is(name, str) for name in _list(parameters)),
        None if url is None else _is(url, str),
    )


def _unjudged(place: Any, what: Any, limit: Any) -> Unjudged:
    if limit not in Limit.__members__:
        raise ValueError(f"no limit: {limit}")
    return Unjudged(_place(*_list(place, 6)), _is(what, str), Limit[limit])


def _moment(event: Any, note: Any, iteration: Any) -> Moment:
    return Moment(_event(*_list(event, 5)), _is(note, str), _is(iteration, int))


def _event(kind: Any, subject: Any, places: Any, text: Any, when: Any) -> Event:
    if kind not in Kind.__members__:
        raise ValueError(f"no kind of event: {kind}")
    conditions = tuple(_is(condition, str) for condition in _list(when))
    if not _list(places):
        raise ValueError("no place")
    place, *calls = (_place(*_list(item, 6)) for item in places)
    return Event(Kind[kind], _is(subject, str), place, _is(text, str), conditions, tuple(calls))


def _place(path: Any, row: Any, column: Any, end_row: Any, end_column: Any, cell: Any) -> Place:
    numbers = [_is(number, int) for number in (row, column, end_row, end_column)]
    if min(numbers) < 1 or end_row < row:
        raise ValueError(f"no place: {numbers}")
    return Place(_is(path, str), row, column, end_row, end_column, None if cell is None else _is(cell, int))


def _is(value: Any, kind: type[_Value]) -> _Value:
    if type(value) is not kind:
        raise ValueError(f"no {kind.__name__}: {value!r}")
    return value


def _list(value: Any, length: int | None = None) -> list[Any]:
    items = _is(value, list)
    if length is not None and len(items) != length:
        raise ValueError(f"{len(items)} values, not {length}")
    return items
