"""The gradient lifecycle of every optimizer on a graph: stories to violations, violations to cases."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from loopguard.case import Case
from loopguard.lifecycles.gradient import Mistake
from loopguard.static.paths.effects import subjects_of
from loopguard.static.paths.graph import FlowGraph
from loopguard.static.paths.solve import Violation
from loopguard.static.scope import File
from loopguard.static.values import Thing
from loopguard.static.verdicts.empty_steps import empty
from loopguard.static.verdicts.stale_steps import mixed, repeated, stale
from loopguard.static.verdicts.telling import Telling
from loopguard.static.verdicts.unused_gradients import unused

_VERDICTS: dict[Mistake, Callable[[Telling, Violation], Case | None]] = {
    Mistake.STALE_STEP: stale,
    Mistake.REPEATED_STEP: repeated,
    Mistake.EMPTY_STEP: empty,
    Mistake.MIXED_STEP: mixed,
    Mistake.UNUSED: unused,
}
"""Each returns a case, or None where the path of a violation proves too little."""


def gradient_cases(file: File, graph: FlowGraph) -> Iterator[Case]:
    """The cases that the gradient lifecycle of each optimizer on `graph` gives."""
    by_optimizer: dict[Thing, list[list[Case]]] = {}
    for subject in subjects_of(graph):
        cases = _cases_of(Telling(file, graph, subject))
        by_optimizer.setdefault(subject.optimizer, []).append(cases)
    for parts in by_optimizer.values():
        for case in (case for cases in parts for case in cases):
            # A step finds gradients if any of the parameters that it updates has some.
            if case.mistake is not Mistake.EMPTY_STEP or all(_has(cases, case) for cases in parts):
                yield case


def _cases_of(telling: Telling) -> list[Case]:
    found: dict[tuple[int, Mistake], Case] = {}
    for violation in telling.violations():
        key = violation.fact.node, violation.mistake
        case = _VERDICTS[violation.mistake](telling, violation) if key not in found else None
        if case is not None:
            found[key] = case
    # Gradients of an earlier step outweigh those of another loss.
    return [
        case
        for (node, mistake), case in found.items()
        if mistake is not Mistake.MIXED_STEP or (node, Mistake.STALE_STEP) not in found
    ]


def _has(cases: list[Case], case: Case) -> bool:
    return any(other.mistake is case.mistake and other.at.place == case.at.place for other in cases)
