"""The worklist: what follows from an event, along every feasible path, with the path as evidence.

Beliefs are kept apart by the assumptions of their paths, so that two tests of one condition are one choice, not four
paths.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from enum import Enum

from loopguard.limits import Limit
from loopguard.static.paths.automaton import Belief
from loopguard.static.paths.effects import Course
from loopguard.static.paths.graph import FlowGraph
from loopguard.static.paths.ways import STEPS_OF_A_FACT
from loopguard.static.records import record
from loopguard.static.steps import spend


@record
class Fact:
    """A belief on arrival at a node, what the way there has assumed, and the fact before it."""

    node: int
    belief: Belief
    assumed: int
    before: Fact | None

    def path(self) -> list[Fact]:
        """The facts from the start to this one."""
        found: list[Fact] = []
        fact: Fact | None = self
        while fact is not None:
            found.append(fact)
            fact = fact.before
        spend(len(found))
        return found[::-1]


@record
class Violation:
    """A mistake that a path proves: the fact at whose node it happens."""

    mistake: Enum
    fact: Fact


@record
class Story:
    """What follows from one event: the mistakes at the ends of its paths, and the beliefs that arrive at each node."""

    start: int
    violations: list[Violation]
    arrivals: dict[int, set[Belief]]


def tell(graph: FlowGraph, course: Course, start: int, belief: Belief, given: Iterable[int]) -> Story:
    """Follow every feasible path from the event at node `start`, which finds the subject as `belief` says.

    `given` is what paths that arrive there have assumed.

    A path ends where the state is decided anew, say at a sure step or clear, which begins a story of its own, and where
    nothing is known any more. So each story is short, and tells of a mistake from its cause to its effect.
    """
    unknown = course.automaton.unknown
    story = Story(start, [], {})
    ways = course.ways(graph)
    todo = deque(Fact(start, belief, assumed, None) for assumed in sorted(given))
    seen = {(start, belief, first.assumed) for first in todo}
    while todo:
        spend(STEPS_OF_A_FACT)
        fact = todo.popleft()
        arrivals, mistakes, belief, anew = course.turn(fact.node, fact.belief)
        if fact.before is not None:
            if arrivals:
                story.arrivals.setdefault(fact.node, set()).update(arrivals)
            story.violations.extend([Violation(mistake, fact) for mistake in mistakes])
        if belief == unknown or (anew and fact.before is not None):
            continue
        for target, further in ways.onward(fact.node, fact.assumed):
            key = (target, belief, further)
            if key not in seen:
                seen.add(key)
                todo.append(Fact(target, belief, further, fact))
        if len(seen) > Limit.PATHS.most:
            graph.limits.add(Limit.PATHS)
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
    reached = course.ways(graph).reached if starts else {}
    return [
        tell(graph, course, number, belief, reached[number]) for number, belief in starts.items() if number in reached
    ]
