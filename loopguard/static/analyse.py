"""One file, from text to cases."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterator
from contextlib import closing
from typing import TYPE_CHECKING

import libcst as cst

from loopguard.arbitration import arbitrate
from loopguard.case import Case
from loopguard.events import Event, Kind
from loopguard.lifecycles import construction, loss
from loopguard.lifecycles import source as text_mistakes
from loopguard.static.bare.tree import quick_tree
from loopguard.static.families import is_pytorch
from loopguard.static.lowering.context import Context
from loopguard.static.lowering.driven import driving_of
from loopguard.static.lowering.lower import functions_of, lower_function, lower_module, lower_process, processes_of
from loopguard.static.lowering.roots import is_root, is_worth_it, may_be_worth_it
from loopguard.static.outline import Outline, outline
from loopguard.static.parsed import ParsedTree
from loopguard.static.project import Project
from loopguard.static.scope import File, Names
from loopguard.static.syntax import TextError, Tree
from loopguard.static.values import Bound, Function
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

_RECURSION = 6_000
_LATER = -1

Seen = tuple[Case, int]
"""A mistake, and the number of the lowering that shows it."""


def analyse(source: Source, project: Project) -> Iterator[Case]:
    """The mistakes in one file, each once. A text that cannot be parsed, or is nested too deeply, is one mistake.

    `project` resolves what the file imports from its own project.
    """
    # Deeply nested expressions are legal; Python's default limit is not made for walking trees.
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(max(limit, _RECURSION))
    try:
        if not may_be_worth_it(source.text, source.path, project):
            return
        short = outline(source.text, keep=True)
        # Whose loops these are, the imports tell. Most of the text need not be parsed for that.
        names = Names(source.path, project, short.bindings) if short is not None else None
        if names is None or (is_pytorch(names) and is_worth_it(source.text, names)):
            yield from _read(source, project, short)
    except TextError as problem:
        yield _refusal(source, problem.row, problem.column, problem.reason)
    except RecursionError:
        yield _refusal(source, 1, 1, "nested too deeply")
    finally:
        sys.setrecursionlimit(limit)


def _read(source: Source, project: Project, short: Outline | None) -> Iterator[Case]:
    """The mistakes in a text: where a look at bare nodes finds one, those that libcst's own tree shows."""
    if short is None:
        yield from (case for case, _ in _seen_in(ParsedTree(source.text), source, project))
        return
    where = {number for _, number in _seen_in(quick_tree(source.text, short), source, project)}
    if not where:
        return
    try:
        tree: Tree = ParsedTree(source.text, short)
    except TextError:
        tree = quick_tree(source.text)  # Python reads it, and libcst does not
    yield from (case for case, _ in _seen_in(tree, source, project, where))


def _seen_in(tree: Tree, source: Source, project: Project, where: Collection[int] = ()) -> Iterator[Seen]:
    with closing(File(source, project, tree)) as file:
        yield from _analyse(file, where)


def _refusal(source: Source, row: int, column: int, reason: str) -> Case:
    event = Event(Kind.UNKNOWN, source.path, source.place(row, column, row, column), "")
    return Case(text_mistakes.Mistake.INVALID_SYNTAX, source.path, event, facts={"reason": reason})


def _analyse(file: File, where: Collection[int]) -> Iterator[Seen]:
    if not is_pytorch(file):
        return  # a text that Python does not read may be one that libcst does
    seen: set[tuple[object, object]] = set()
    for number, ctx in _lowerings(file, where):
        if ctx.truncated:
            continue  # what is missing might be what clears
        for case in arbitrate(_cases(file, ctx)):
            key = (case.mistake, case.at.place)
            if key not in seen:
                seen.add(key)
                yield case, number


def _lowerings(file: File, where: Collection[int]) -> Iterator[tuple[int, Context]]:
    """The file as a script first, then each of its functions as if called from elsewhere; if told so, only some.

    Each has a number, by which `where` asks for it. What is not known before all others were lowered is _LATER.

    A graph is let go of once it was looked at: what remains is which functions it has called, made, and given away.
    """
    # Functions see what the top level binds, and what others have bound for it.
    few = bool(where) and _LATER not in where and "global " not in file.source.text
    called: set[cst.CSTNode] = set()
    inner: dict[cst.CSTNode, Function] = {}
    processes: list[Function | Bound] = []

    def noted(ctx: Context) -> Context:
        called.update(ctx.called)
        inner.update({made.node: made for made in ctx.defined if made.file is file})
        processes.extend(ctx.processes)
        return ctx

    roots = functions_of(file)
    script = noted(lower_module(file))
    if not few or 0 in where:
        yield 0, script
    del script
    for number, (function, owner) in enumerate(roots, start=1):
        if few and number not in where:
            continue
        if is_root(file, function.node) or driving_of(file, function, owner) is not None:
            yield number, noted(lower_function(file, function, owner))
    if few:
        return
    for node, function in inner.items():
        # A function that another one makes and hands out, to be called elsewhere.
        if node not in called and is_root(file, node):
            yield _LATER, lower_function(file, function, None)
    for process in processes_of(file, processes):
        yield _LATER, lower_process(file, process)


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
