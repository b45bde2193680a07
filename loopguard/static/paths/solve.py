"""The worklist: what follows from an event, along every feasible path, with the path as evidence.

A *belief* is the set of states that the subject may be in at one point of one path: one state where everything on the
way was sure, several where it was not. A mistake is reported only if every state of the belief makes one. Beliefs are
kept apart by the assumptions of their paths, so that two tests of one condition are one choice, not four paths.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from loopguard.lifecycles.gradient import TRANSITIONS, Action, Mistake, State
from loopguard.static.paths.conditions import decide
from loopguard.static.paths.effects import Effect, Effects
from loopguard.static.paths.graph import Assumption, FlowGraph, Node

Belief = frozenset[State]

UNKNOWN: Belief = frozenset(State)
MAX_FACTS = 8_000
MAX_ASSUMPTIONS = 8


@dataclass(frozen=True, slots=True, eq=False)
class Fact:
    """A belief on arrival at a node, the assumptions that lead there, and the fact before it."""

    node: int
    belief: Belief
    assumptions: frozenset[Assumption]
    before: Fact | None

    def path(self) -> list[Fact]:
        """The facts from the start to this one."""
        found: list[Fact] = []
        fact: Fact | None = self
        while fact is not None:
            found.append(fact)
            fact = fact.before
        return found[::-1]


@dataclass(frozen=True, slots=True, eq=False)
class Violation:
    """A mistake that a path proves: the fact at whose node it happens."""

    mistake: Mistake
    fact: Fact


@dataclass(slots=True)
class Story:
    """What follows from one event: the mistakes at the ends of its paths, and the beliefs that arrive at each node."""

    start: int
    violations: list[Violation]
    arrivals: dict[int, set[Belief]]


def after(belief: Belief, effect: Effect) -> tuple[Belief, Mistake | None]:
    """The belief after an effect, and the mistake if the effect is one in every state of the belief."""
    if effect.anything:
        return UNKNOWN, None
    if effect.used:
        return (belief | {State.SPENT} if belief & {State.FRESH, State.STALE} else belief), None
    assert effect.action is not None
    outcomes = [TRANSITIONS[state, effect.action] for state in belief]
    states = frozenset(state for state, _ in outcomes)
    if not effect.sure:
        return belief | states, None
    mistakes = {mistake for _, mistake in outcomes}
    if len(mistakes) == 1:
        return states, mistakes.pop()
    # Used gradients are there in either case; whether new ones came on top decides nothing.
    return states, Mistake.STALE_STEP if mistakes == {Mistake.STALE_STEP, Mistake.REPEATED_STEP} else None


def tell(
    graph: FlowGraph, effects: Effects, start: int, belief: Belief, given: Iterable[frozenset[Assumption]]
) -> Story:
    """Follow every feasible path from the event at node `start`, which finds the subject as `belief` says.

    `given` are the assumptions under which paths arrive there.

    A path ends where the state is decided anew: at a sure step or clear, which begins a story of its own, and where
    nothing is known any more. So each story is short, and tells of a mistake from its cause to its effect.
    """
    worth = effects.worth
    story = Story(start, [], {})
    firsts = [Fact(start, belief, assumptions, None) for assumptions in sorted(given, key=_in_words)]
    todo = deque(firsts)
    seen = {(first.node, first.belief, first.assumptions) for first in firsts}
    while todo:
        fact = todo.popleft()
        node = graph.nodes[fact.node]
        belief, over = fact.belief, False
        for effect in effects.of.get(fact.node, ()):
            if fact.before is not None:
                story.arrivals.setdefault(fact.node, set()).add(belief)
            belief, mistake = after(belief, effect)
            if mistake is not None and fact.before is not None:
                story.violations.append(Violation(mistake, fact))
            # A step that finds nothing leaves everything as it is.
            idle = effect.action is Action.STEP and belief == {State.CLEAN}
            over = over or (effect.sure and effect.action in (Action.STEP, Action.CLEAR) and not idle)
        if belief == UNKNOWN or (over and fact.before is not None):
            continue
        assumptions = _kept(node, fact.assumptions)
        for target, further in _successors(node, assumptions, worth):
            if len(further) > MAX_ASSUMPTIONS:
                continue
            key = (target, belief, further)
            if key not in seen:
                seen.add(key)
                todo.append(Fact(target, belief, further, fact))
        if len(seen) > MAX_FACTS:
            return Story(start, [], {})
    return story


def reachable(graph: FlowGraph, effects: Effects) -> dict[int, set[frozenset[Assumption]]]:
    """For each node that a path without a contradiction leads to, what such paths take to be true on arrival."""
    start: tuple[int, frozenset[Assumption]] = (0, frozenset())
    todo = deque([start])
    found: dict[int, set[frozenset[Assumption]]] = {0: {frozenset()}}
    count = 0
    while todo:
        number, assumptions = todo.popleft()
        node = graph.nodes[number]
        for target, further in _successors(node, _kept(node, assumptions), effects.worth):
            known = found.setdefault(target, set())
            if further not in known and len(further) <= MAX_ASSUMPTIONS:
                known.add(further)
                todo.append((target, further))
                count += 1
        if count > MAX_FACTS:
            return {number: {frozenset()} for number in range(len(graph.nodes))}
    return found


def _in_words(assumptions: frozenset[Assumption]) -> list[str]:
    return sorted(map(str, assumptions))


def _kept(node: Node, assumptions: frozenset[Assumption]) -> frozenset[Assumption]:
    """The assumptions that still hold after a node."""
    if node.assigned and assumptions:
        return frozenset(item for item in assumptions if item.condition.names.isdisjoint(node.assigned))
    if node.again is not None and assumptions:
        return frozenset(item for item in assumptions if not item.condition.volatile)
    return assumptions


def _successors(
    node: Node, assumptions: frozenset[Assumption], worth: frozenset[str]
) -> Iterator[tuple[int, frozenset[Assumption]]]:
    for target, assumption in node.successors:
        if assumption is None:
            yield target, assumptions
            continue
        known = decide(assumption.condition, assumptions)
        if known is None:
            keep = assumption.condition.key in worth or assumption.condition.subject in worth
            yield target, assumptions | {assumption} if keep else assumptions
        elif known is assumption.truth:
            yield target, assumptions
