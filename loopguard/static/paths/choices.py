"""The choices on a graph, and what paths may assume of them: found out once, whatever is asked of the graph later.

What a path has assumed is a set of bits: two for each condition, for its being false and for its being true.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from loopguard.static.paths.conditions import decide
from loopguard.static.paths.graph import Assumption, Condition, FlowGraph, Node
from loopguard.static.steps import spend


class Edge(NamedTuple):
    """An edge of the graph: where it leads to, and on which side of which condition. `condition` is its number."""

    target: int
    condition: int | None
    truth: bool


class Choices:
    """The conditions that a graph tests, numbered; its nodes, and the edges from each of them.

    `plain` nodes are those that nobody asks about: neither events nor the ends of iterations that have events.
    """

    def __init__(self, graph: FlowGraph) -> None:
        numbers: dict[Condition, int] = {}
        self.nodes = graph.nodes
        self.edges = [
            [
                Edge(target, None, True)
                if item is None
                else Edge(target, numbers.setdefault(item.condition, len(numbers)), item.truth)
                for target, item in node.successors
            ]
            for node in graph.nodes
        ]
        self.conditions = list(numbers)
        looped = {loop for event in graph.events() for loop in event.loops}
        self.plain = [
            number > 0 and node.event is None and node.again not in looped for number, node in enumerate(graph.nodes)
        ]
        self._alike: dict[str, list[int]] = {}
        for number, condition in enumerate(self.conditions):
            for name in {condition.key, condition.subject} - {""}:
                self._alike.setdefault(name, []).append(number)

    def alike(self, number: int) -> set[int]:
        """The conditions that may have to do with one: those that share its name, or what they are about."""
        condition = self.conditions[number]
        return {*self._alike[condition.key], *self._alike.get(condition.subject, ())}


class Assumptions:
    """What paths may assume where only some conditions are worth it, and what it has to do with tests and nodes."""

    def __init__(self, choices: Choices, worth: Collection[int]) -> None:
        self._choices = choices
        self._bits = {number: (1 << 2 * place, 2 << 2 * place) for place, number in enumerate(worth)}
        self._deciders: dict[int, tuple[int, int]] = {}
        self._reading: dict[str, int] = {}
        self._volatile = 0
        for number, bits in self._bits.items():
            condition = choices.conditions[number]
            for name in condition.names:
                self._reading[name] = self._reading.get(name, 0) | sum(bits)
            if condition.volatile:
                self._volatile |= sum(bits)

    def bit(self, condition: int, truth: bool) -> int:
        """The bit of an assumption; none if it is not worth it."""
        bits = self._bits.get(condition)
        return bits[truth] if bits is not None else 0

    def ended_by(self, node: Node) -> int:
        """The assumptions that do not outlive a node."""
        ended = 0 if node.again is None else self._volatile
        if self._reading:
            for name in node.assigned:
                ended |= self._reading.get(name, 0)
        return ended

    def deciders(self, condition: int) -> tuple[int, int]:
        """The assumptions that say that a condition is false, and those that say that it is true."""
        found = self._deciders.get(condition)
        if found is None:
            says = [0, 0]
            alike = self._choices.alike(condition) if self._bits else ()
            spend(len(alike))
            for other in alike:
                for truth in (False, True) if other in self._bits else ():
                    known = (Assumption(self._choices.conditions[other], truth),)
                    decided = decide(self._choices.conditions[condition], known)
                    if decided is not None:
                        says[decided] |= self._bits[other][truth]
            found = self._deciders[condition] = says[0], says[1]
        return found
