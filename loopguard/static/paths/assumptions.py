"""What a path has assumed, as a set of bits: two for each condition, for its being false and for its being true."""

from __future__ import annotations

from collections.abc import Iterable

from loopguard.static.paths.conditions import decide
from loopguard.static.paths.graph import Assumption, Condition, Node


class Assumptions:
    """The numbers of the assumptions about some conditions, and what they have to do with tests and assignments."""

    def __init__(self, conditions: Iterable[Condition]) -> None:
        self._bits: dict[Condition, tuple[int, int]] = {}
        self._reading: dict[str, int] = {}
        self._volatile = 0
        self._alike: dict[str, list[Condition]] = {}
        self._deciders: dict[Condition, tuple[int, int]] = {}
        for number, condition in enumerate(conditions):
            self._bits[condition] = 1 << 2 * number, 2 << 2 * number
            both = 3 << 2 * number
            for name in condition.names:
                self._reading[name] = self._reading.get(name, 0) | both
            if condition.volatile:
                self._volatile |= both
            for name in _names(condition):
                self._alike.setdefault(name, []).append(condition)

    def bit(self, assumption: Assumption) -> int:
        """The bit of an assumption; none if it is about another condition."""
        bits = self._bits.get(assumption.condition)
        return bits[assumption.truth] if bits is not None else 0

    def ended_by(self, node: Node) -> int:
        """The assumptions that do not outlive a node."""
        ended = 0 if node.again is None else self._volatile
        for name in node.assigned:
            ended |= self._reading.get(name, 0)
        return ended

    def deciders(self, condition: Condition) -> tuple[int, int]:
        """The assumptions that say that a condition is false, and those that say that it is true."""
        found = self._deciders.get(condition)
        if found is None:
            says = [0, 0]
            for other in {other for name in _names(condition) for other in self._alike.get(name, ())}:
                for truth in (False, True):
                    decided = decide(condition, (Assumption(other, truth),))
                    if decided is not None:
                        says[decided] |= self._bits[other][truth]
            found = self._deciders[condition] = says[0], says[1]
        return found


def _names(condition: Condition) -> set[str]:
    """What a condition shares with every other one that has to do with it."""
    return {condition.key, condition.subject} - {""}
