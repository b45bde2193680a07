"""The gradient lifecycle of every optimizer on a graph: stories to violations, violations to cases."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import Enum

from loopguard.case import Case
from loopguard.lifecycles import window
from loopguard.lifecycles.gradient import Mistake
from loopguard.static.paths.effects import effects_of
from loopguard.static.paths.graph import FlowGraph
from loopguard.static.paths.solve import Violation
from loopguard.static.scope import File
from loopguard.static.values import Thing
from loopguard.static.verdicts.empty_steps import ORDERS, empty
from loopguard.static.verdicts.stale_steps import mixed, repeated, stale
from loopguard.static.verdicts.telling import Telling
from loopguard.static.verdicts.unused_gradients import unused

_VERDICTS: dict[Enum, Callable[[Telling, Violation], Case | None]] = {
    Mistake.STALE_STEP: stale,
    Mistake.REPEATED_STEP: repeated,
    Mistake.EMPTY_STEP: empty,
    Mistake.MIXED_STEP: mixed,
    Mistake.UNUSED: unused,
}
"""Each returns a case, or None where the path of a violation proves too little."""

_Key = tuple[int, Enum]
"""The node at which a path goes wrong, and how."""


def gradient_cases(file: File, graph: FlowGraph) -> Iterator[Case]:
    """The cases that the gradient lifecycle of each optimizer on `graph` gives."""
    by_optimizer: dict[Thing, list[dict[_Key, Case]]] = {}
    for effects in effects_of(graph):
        cases = _cases_of(Telling(file, graph, effects))
        by_optimizer.setdefault(effects.subject.optimizer, []).append(cases)
    for parts in by_optimizer.values():
        empty_steps = list(_empty_steps(parts))
        yield from empty_steps
        # Where a step finds nothing, it does not matter that the clear before it also empties a window.
        emptied = {case.at.place for case in empty_steps}
        for case in (case for cases in parts for case in cases.values()):
            if case.mistake is not Mistake.EMPTY_STEP and (
                case.mistake is not window.Mistake.CLEARED or case.at.place not in emptied
            ):
                yield case


def _cases_of(telling: Telling) -> dict[_Key, Case]:
    found: dict[_Key, Case] = {}
    for violation in telling.violations():
        key = violation.fact.node, violation.mistake
        case = _VERDICTS[violation.mistake](telling, violation) if key not in found else None
        if case is not None:
            found[key] = case
    # Gradients of an earlier step outweigh those of another loss.
    return {
        (node, mistake): case
        for (node, mistake), case in found.items()
        if mistake is not Mistake.MIXED_STEP or (node, Mistake.STALE_STEP) not in found
    }


def _empty_steps(parts: list[dict[_Key, Case]]) -> Iterator[Case]:
    """The cases of steps that find no gradients in any part of what the optimizer holds, each told of one part."""
    for node, mistake in parts[0]:
        cases = [found for part in parts if (found := part.get((node, Mistake.EMPTY_STEP))) is not None]
        if mistake is Mistake.EMPTY_STEP and len(cases) == len(parts):
            yield min(cases, key=lambda case: ORDERS.index(case.facts["order"]))
