"""One file, from text to cases."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Iterator
from contextlib import closing
from typing import TYPE_CHECKING

from loopguard.arbitration import arbitrate
from loopguard.case import Case
from loopguard.events import Event, Kind, Place
from loopguard.lifecycles import construction, loss
from loopguard.lifecycles import source as text_mistakes
from loopguard.limits import Limit, Unjudged
from loopguard.static.bare.tree import quick_tree
from loopguard.static.families import is_pytorch
from loopguard.static.lowering.context import Context
from loopguard.static.lowering.parts import SCRIPT, Part, parts_of
from loopguard.static.lowering.roots import is_worth_it, may_be_worth_it
from loopguard.static.outline import Outline, outline
from loopguard.static.parsed import ParsedTree
from loopguard.static.project import Project
from loopguard.static.scope import File, Names
from loopguard.static.steps import STEPS, ExhaustedError, allowed
from loopguard.static.syntax import TextError, Tree
from loopguard.static.verdicts.automation import automation_cases
from loopguard.static.verdicts.clipping import clipping_cases
from loopguard.static.verdicts.construction import construction_cases
from loopguard.static.verdicts.gradients import gradient_cases
from loopguard.static.verdicts.losses import noted_cases, retained_cases
from loopguard.static.verdicts.modes import mode_cases
from loopguard.static.verdicts.replicas import replica_cases
from loopguard.static.verdicts.scaling import scaling_cases
from loopguard.static.verdicts.schedules import schedule_cases
from loopguard.static.verdicts.windows import window_cases

if TYPE_CHECKING:
    from loopguard.source import Source

Seen = tuple[Case, int]
"""A mistake, and the number of the part of the program that shows it."""


def analyse(source: Source, project: Project, unjudged: list[Unjudged] | None = None) -> Iterator[Case]:
    """The mistakes in one file, each once. A text that cannot be parsed, or is nested too deeply, is one mistake.

    `project` resolves what the file imports from its own project. `unjudged` gets what was not judged in full.
    """
    # Deeply nested expressions are legal; Python's default limit is not made for walking trees.
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(max(limit, Limit.NESTING.most))
    noted: dict[Unjudged, None] = {}
    try:
        if not may_be_worth_it(source.text, source.path, project):
            return
        short = outline(source.text, keep=True)
        # Whose loops these are, the imports tell. Most of the text need not be parsed for that.
        names = Names(source.path, project, short.bindings) if short is not None else None
        if names is None or (is_pytorch(names) and is_worth_it(source.text, names)):
            yield from _read(source, project, short, noted)
    except TextError as problem:
        yield _refusal(source, problem.row, problem.column, problem.reason)
    except RecursionError:
        _leave_word(noted, source.place(1, 1, 1, 1), "the file", {Limit.NESTING})
    finally:
        sys.setrecursionlimit(limit)
        if unjudged is not None:
            unjudged += noted


def _read(source: Source, project: Project, short: Outline | None, noted: dict[Unjudged, None]) -> Iterator[Case]:
    """The mistakes in a text: where a look at bare nodes finds one, those that libcst's own tree shows."""
    if short is None:
        yield from (case for case, _ in _seen_in(ParsedTree(source.text), source, project, noted))
        return
    where = {number for _, number in _seen_in(quick_tree(source.text, short), source, project, noted)}
    if not where:
        return
    try:
        tree: Tree = ParsedTree(source.text, short)
    except TextError:
        tree = quick_tree(source.text)  # Python reads it, and libcst does not
    yield from (case for case, _ in _seen_in(tree, source, project, noted, where))


def _seen_in(
    tree: Tree, source: Source, project: Project, noted: dict[Unjudged, None], where: Collection[int] = ()
) -> Iterator[Seen]:
    with closing(File(source, project, tree)) as file:
        if is_pytorch(file):  # a text that Python does not read may be one that libcst does
            yield from _analyse(file, where, noted)
            for row in tree.unread:
                _leave_word(noted, source.place(row, 1, row, 1), "a statement", {Limit.NESTING})


def _refusal(source: Source, row: int, column: int, reason: str) -> Case:
    event = Event(Kind.UNKNOWN, source.path, source.place(row, column, row, column), "")
    return Case(text_mistakes.Mistake.INVALID_SYNTAX, source.path, event, facts={"reason": reason})


def _analyse(file: File, where: Collection[int], noted: dict[Unjudged, None]) -> Iterator[Seen]:
    seen: set[tuple[object, object]] = set()
    left = Limit.STEPS.most + Limit.FILE.most * len(file.source.text)
    for part in parts_of(file, where):
        most = min(left, Limit.STEPS.most)
        ctx: Context | None = None
        cases: list[Case] = []
        limits: set[Limit] = set()
        with allowed(most):
            try:
                ctx = part.lower()
                if not where or part.number in where:
                    cases = arbitrate(_cases(file, ctx))
                limits = ctx.graph.limits
            except ExhaustedError:
                limits = {Limit.STEPS if most == Limit.STEPS.most else Limit.FILE}
            except RecursionError:
                limits = {Limit.NESTING}
            left -= most - STEPS.left
        # Functions see what the top level binds: where that is not known, nothing is said of them.
        ends = Limit.FILE in limits or (ctx is None and part.number == SCRIPT)
        _note(file, part, limits, noted, ends)
        for case in cases:
            key = (case.mistake, case.at.place)
            if key not in seen:
                seen.add(key)
                yield case, part.number
        if ends:
            return


def _note(file: File, part: Part, limits: Iterable[Limit], noted: dict[Unjudged, None], ends: bool) -> None:
    """Leave word of what was not judged in full: a part of a file, and what follows if the analysis `ends` there."""
    row, column = file.tree.range(part.node)[:2] if part.node is not None else (1, 1)
    place = file.source.place(row, column, row, column)
    _leave_word(noted, place, f"{part.name}, and what follows," if ends else part.name, limits)


def _leave_word(noted: dict[Unjudged, None], place: Place, what: str, limits: Iterable[Limit]) -> None:
    """Note limits that something has met, each once."""
    noted.update((Unjudged(place, what, limit), None) for limit in Limit if limit in limits)


def _cases(file: File, ctx: Context) -> Iterator[Case]:
    by_hand = list(automation_cases(file, ctx))
    if by_hand:
        yield from by_hand  # with that, nothing else of the method is what it seems
        return
    built = list(construction_cases(file, ctx.graph))
    # An optimizer over parameters that the model has replaced gets no gradients: that is told with its reason.
    old = {case.subject for case in built if case.mistake is construction.Mistake.REPLACED}
    cases = [case for case in gradient_cases(file, ctx.graph) if case.subject not in old]
    late = any(case.facts.get("order") == "backward after loop" for case in cases)
    # A loop that steps, with its backward pass behind it, is told at the step.
    yield from (case for case in noted_cases(file, ctx) if not (late and case.mistake is loss.Mistake.LAST_ONLY))
    yield from cases
    yield from window_cases(file, ctx.graph)
    for found in (scaling_cases, clipping_cases, schedule_cases, mode_cases, replica_cases):
        yield from found(file, ctx.graph)
    yield from built
    yield from retained_cases(file, ctx)
