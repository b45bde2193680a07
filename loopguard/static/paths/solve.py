"""The worklist: what follows from an event, along every feasible path, with the path as evidence.

Beliefs are kept apart by the assumptions of their paths, so that two tests of one condition are one choice, not four
paths.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum

from loopguard.static.paths.automaton import Belief
from loopguard.static.paths.conditions import decide
from loopguard.static.paths.effects import Course
from loopguard.static.paths.graph import Assumption, FlowGraph, Node

MAX_FACTS = 8_000
MAX_ASSUMPTIONS = 8


@dataclass(slots=True, eq=False)  # not frozen, as too many are made for that
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

    mistake: Enum
    fact: Fact


@dataclass(slots=True)
class Story:
    """What follows from one event: the mistakes at the ends of its paths, and the beliefs that arrive at each node."""

    start: int
    violations: list[Violation]
    arrivals: dict[int, set[Belief]]


def tell(graph: FlowGraph, course: Course, start: int, belief: Belief, given: Iterable[frozenset[Assumption]]) -> Story:
    """Follow every feasible path from the event at node `start`, which finds the subject as `belief` says.

    `given` are the assumptions under which paths arrive there.

    A path ends where the state is decided anew, say at a sure step or clear, which begins a story of its own, and where
    nothing is known any more. So each story is short, and tells of a mistake from its cause to its effect.
    """
    automaton = course.automaton
    unknown = automaton.unknown
    story = Story(start, [], {})
    firsts = [Fact(start, belief, assumptions, None) for assumptions in sorted(given, key=_in_words)]
    todo = deque(firsts)
    seen = {(first.node, first.belief, first.assumptions) for first in firsts}
    while todo:
        fact = todo.popleft()
        belief, over = fact.belief, False
        for effect in course.of.get(fact.node, ()):
            if fact.before is not None:
                story.arrivals.setdefault(fact.node, set()).add(belief)
            belief, mistake = automaton.after(belief, effect)
            if mistake is not None and fact.before is not None:
                story.violations.append(Violation(mistake, fact))
            over = over or automaton.settles(effect, belief)
        if belief == unknown or (over and fact.before is not None):
            continue
        for target, further in _onward(graph, course, fact.node, fact.assumptions):
            key = (target, belief, further)
            if key not in seen:
                seen.add(key)
                todo.append(Fact(target, belief, further, fact))
        if len(seen) > MAX_FACTS:
            return Story(start, [], {})
    return story


def stories(graph: FlowGraph, course: Course) -> list[Story]:
    """The stories of every event that begins one, if any of them can come to a mistake."""
    automaton = course.automaton
    if not any(effect.sure and effect.action in automaton.faults for made in course.of.values() for effect in made):
        return []  # nothing happens that could be a mistake
    starts: dict[int, Belief] = {}
    for number, effects in course.of.items():
        state = automaton.found.get(effects[0].action) if effects[0].sure and effects[0].action else None
        if state is not None:
            starts[number] = frozenset({state})
    reached = reachable(graph, course) if starts else {}
    return [
        tell(graph, course, number, belief, reached[number]) for number, belief in starts.items() if number in reached
    ]


def reachable(graph: FlowGraph, course: Course) -> dict[int, set[frozenset[Assumption]]]:
    """For each node that a path without a contradiction leads to, what such paths take to be true on arrival."""
    start: tuple[int, frozenset[Assumption]] = (0, frozenset())
    todo = deque([start])
    found: dict[int, set[frozenset[Assumption]]] = {0: {frozenset()}}
    count = 0
    while todo:
        number, assumptions = todo.popleft()
        for target, further in _onward(graph, course, number, assumptions):
            known = found.setdefault(target, set())
            if further not in known:
                known.add(further)
                todo.append((target, further))
                count += 1
        if count > MAX_FACTS:
            return {number: {frozenset()} for number in range(len(graph.nodes))}
    return found


def _in_words(assumptions: frozenset[Assumption]) -> list[str]:
    return sorted(map(str, assumptions))


def _onward(
    graph: FlowGraph, course: Course, number: int, assumptions: frozenset[Assumption]
) -> tuple[tuple[int, frozenset[Assumption]], ...]:
    """Where paths that arrive at a node under some assumptions go on to, and what they take to be true there.

    Found out once per course: stories cross each other's ways.
    """
    found = course.onward.get((number, assumptions))
    if found is None:
        node = graph.nodes[number]
        if course.worth or assumptions:
            onward = _successors(node, _kept(node, assumptions), course.worth)
            found = tuple((target, further) for target, further in onward if len(further) <= MAX_ASSUMPTIONS)
        else:
            found = tuple((target, assumptions) for target, _ in node.successors)  # nothing is ever assumed
        course.onward[number, assumptions] = found
    return found


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
