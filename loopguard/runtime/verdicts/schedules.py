"""Schedules as they were: moved before the optimizer, never, or without the metric."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from types import FrameType

from torch.optim.lr_scheduler import LRScheduler

from loopguard.case import Case
from loopguard.events import Event, Kind, Moment
from loopguard.lifecycles import source
from loopguard.lifecycles.schedule import Mistake
from loopguard.runtime.entries import Entry
from loopguard.runtime.names import name_of
from loopguard.runtime.program import Loop, Program, span_of
from loopguard.runtime.sites import Site
from loopguard.runtime.verdicts.telling import innermost

_RECEIVER = re.compile(r"(?P<name>[\w.\[\]'\"]+)\.step\(")
_TARGET = re.compile(r"(?P<name>[\w.\[\]'\"]+)\s*(?::[^=;]+)?=\s*$")


def no_metric(schedule: LRScheduler, move: Entry, frames: Sequence[FrameType]) -> Case:
    """The case of a plateau schedule that is told no metric."""
    name = _name(schedule, move.site, frames)
    at = move.site.event(name)
    return Case(Mistake.NO_METRIC, name, at, (Moment(at, "no metric", move.iteration),))


def before_optimizer(schedule: LRScheduler, move: Entry, step: Entry, frames: Sequence[FrameType]) -> Case | None:
    """The case of a schedule that moves before the first step, in the period of this step."""
    loop = innermost(move.site)
    if loop is None or loop not in step.site.loops or move.iteration != step.iteration:
        return None
    if _gates(move.site, loop) - _gates(step.site, loop):
        return None  # moved to where a training goes on, say
    name = _name(schedule, move.site, frames)
    at = move.site.event(name)
    trail = (
        Moment(at, "the schedule moves on", move.iteration),
        Moment(step.site.event(name), "the first step of its optimizer", step.iteration),
    )
    return Case(Mistake.BEFORE_OPTIMIZER, name, at, trail, (), {"loop": loop.text})


def _gates(site: Site, loop: Loop) -> set[tuple[str, bool]]:
    """The conditions around a site inside of a loop, and whether they were true."""
    ways = ((program, row, loop if loop in program.loops(row) else None) for program, row in site.ways)
    return {(gate.text, gate.truth) for program, row, within in ways for gate in program.gates(row, within)}


def never(kind: str, built: Entry, steps: Sequence[Entry], visited: set[tuple[str, int]]) -> Case | None:
    """The case of a schedule that has never moved, where every step that is written has been taken."""
    if len(steps) < 2 or not steps[0].site.loops:
        return None
    for site in (built.site, steps[0].site):
        for program, _ in site.ways:
            if any((program.path, row) not in visited for row in _steps(program)):
                return None
    program, row = built.site.ways[0]
    before = program.lines[row - 1][: built.site.place.column - 1] if row <= len(program.lines) else ""
    match = _TARGET.search(before)
    if match is None:
        return None
    name = match["name"]
    uncalled = next(_uncalled(program, name), None)
    if uncalled is not None:
        return uncalled
    at = built.site.event(name)
    trail = (
        Moment(at, "the schedule is built", built.iteration),
        Moment(steps[0].site.event(name), "its optimizer steps", steps[0].iteration),
    )
    return Case(Mistake.NEVER_STEPPED, name, at, trail, (), {"class": kind})


def _uncalled(program: Program, name: str) -> Iterator[Case]:
    """The cases of `schedule.step` without its `()`."""
    for node in ast.walk(program.tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Attribute):
            text, place = program.node_text(node.value), program.place(span_of(node.value))
            if text == f"{name}.step":
                yield Case(source.Mistake.UNCALLED, name, Event(Kind.UNKNOWN, name, place, text))


def _steps(program: Program) -> Iterator[int]:
    """The rows in which something is stepped, anywhere in a file."""
    for node in ast.walk(program.tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "step":
            yield node.lineno


def _name(schedule: LRScheduler, site: Site, frames: Sequence[FrameType]) -> str:
    match = _RECEIVER.match(site.text)
    return match["name"] if match is not None else name_of(schedule, frames) or "scheduler"
