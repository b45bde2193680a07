"""The worklist: every belief about a subject that some feasible path leads to, with that path.

A *belief* is the set of states that the subject may be in at one point of one path: one state where everything on the way
was sure, several where it was not. A mistake is reported only if every state of the belief makes one. Beliefs are kept
apart by the assumptions of their paths, so that two tests of one condition are one choice, not four paths.
"""

from __future__ import annotations

import re
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass

from loopguard.lifecycles.gradient import TRANSITIONS, Mistake, State
from loopguard.static.conditions import decide
from loopguard.static.effects import Effect, Effects
from loopguard.static.graph import Assumption, FlowGraph, Node

Belief = frozenset[State]

UNKNOWN: Belief = frozenset(State)
MAX_FACTS = 8_000
MAX_ASSUMPTIONS = 8
MAX_PATHS = 8

_ATOM = re.compile(r" (?:and|or) ")
_COMPARED = re.compile(r" (?:==|is|in|<|>|!=|is not|not in|<=|>=) ")
_GRAVITY = (Mistake.STALE_STEP, Mistake.MIXED_STEP, Mistake.REPEATED_STEP, Mistake.EMPTY_STEP, Mistake.UNUSED)


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
class Solution:
    """What a solve found: violations, and every belief that arrives at a node with an effect."""

    violations: list[Violation]
    beliefs: dict[int, set[Belief]]


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
    if None in mistakes:
        return states, None
    return states, next(mistake for mistake in _GRAVITY if mistake in mistakes)


def solve(graph: FlowGraph, effects: Effects) -> Solution:
    """Run the gradient lifecycle of one subject over every feasible path of `graph`."""
    worth = _conditions_worth_keeping(graph, effects)
    start = Fact(0, UNKNOWN, frozenset(), None)
    todo = deque([start])
    seen = {(start.node, start.belief, start.assumptions)}
    solution = Solution([], {})
    counts: Counter[tuple[int, Mistake]] = Counter()
    while todo:
        fact = todo.popleft()
        node = graph.nodes[fact.node]
        belief = fact.belief
        for effect in effects.of.get(fact.node, ()):
            solution.beliefs.setdefault(fact.node, set()).add(belief)
            belief, mistake = after(belief, effect)
            if mistake is not None and counts[fact.node, mistake] < MAX_PATHS:
                counts[fact.node, mistake] += 1
                solution.violations.append(Violation(mistake, fact))
        assumptions = _kept(node, fact.assumptions)
        for target, further in _successors(node, assumptions, worth):
            if len(further) > MAX_ASSUMPTIONS:
                belief, further = UNKNOWN, frozenset()
            key = (target, belief, further)
            if key not in seen:
                seen.add(key)
                todo.append(Fact(target, belief, further, fact))
        if len(seen) > MAX_FACTS:
            return Solution([], {})
    return solution


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


def _conditions_worth_keeping(graph: FlowGraph, effects: Effects) -> frozenset[str]:
    """The conditions that stand over events about the subject in two places or more: only those correlate anything."""
    places: dict[str, set[int]] = {}
    for number in effects.of:
        event = graph.nodes[number].event
        for guard in event.guards if event is not None else ():
            for text in _ATOM.split(guard.condition.text):
                name = text.strip("() ").removeprefix("not ")
                places.setdefault(name, set()).add(id(guard))
                places.setdefault(_COMPARED.split(name)[0], set()).add(id(guard))
    often = {text for text, guards in places.items() if len(guards) > 1}
    return frozenset(
        key
        for node in graph.nodes
        for _, item in node.successors
        if item is not None
        for key in (item.condition.key, item.condition.subject)
        if key and key.split("@")[0] in often
    )
