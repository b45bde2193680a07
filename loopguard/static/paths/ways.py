"""The ways between the events of a graph, for the worklist to walk on: found out once for all subjects.

What a path has assumed is a set of bits, two for each condition: one for its being true, one for its being false. An
assumption is let go of where nothing that lies ahead can be decided by it, so that paths that differ in nothing else
become one; this is what liveness analysis does for variables. A node that is no event, and that leads on in one way
only, is left out, as is a choice that makes no difference.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple
from weakref import WeakKeyDictionary

from loopguard.static.paths.conditions import decide
from loopguard.static.paths.graph import Assumption, Condition, FlowGraph, Node


class Way(NamedTuple):
    """A way from one node to the next.

    It is not taken by a path that has assumed something of `denied`. It assumes `added`, unless something of `known`
    says so already. What a path has assumed holds on arrival as far as it is in `kept`.
    """

    target: int
    denied: int
    known: int
    added: int
    kept: int

    @property
    def is_free(self) -> bool:
        """Whether every path goes this way, and none assumes anything on it."""
        return not self.denied and not self.added


class Ways:
    """The ways between the nodes of a graph, by the node that they start from. `conditions` are those it tests."""

    def __init__(self, graph: FlowGraph) -> None:
        self.conditions = list(
            dict.fromkeys(item.condition for node in graph.nodes for _, item in node.successors if item is not None)
        )
        self.reached: dict[int, dict[int, set[int]]] = {}
        """What the worklist has found to hold on arrival at each node, by the assumptions worth keeping."""
        looped = {loop for event in graph.events() for loop in event.loops}
        self._plain = [
            number > 0 and node.event is None and node.again not in looped for number, node in enumerate(graph.nodes)
        ]
        self._from = _translated(graph.nodes, self.conditions)
        self._numbers = [number for number in range(len(graph.nodes) - 1, -1, -1) if self._from[number]]
        self._live = [0] * len(graph.nodes)
        while self._shortened():
            pass

    def onward(self, number: int, assumed: int, worth: int) -> list[tuple[int, int]]:
        """Where paths that have assumed this go on to from a node, and what they have assumed on arrival.

        Of new assumptions, they make those in `worth`.
        """
        found = []
        for target, denied, known, added, kept in self._from[number]:
            if not assumed & denied:
                further = assumed & kept
                found.append((target, further if assumed & known else further | (added & worth)))
        return found

    def _shortened(self) -> bool:
        """Leave out what nothing depends on. Returns whether there was anything of that kind."""
        live = self._live_on_arrival()
        size = sum(len(self._from[number]) for number in self._numbers)
        through: dict[int, Way] = {}
        for number in self._numbers:
            ways = self._distinct(number, [_beyond(way, through) for way in self._from[number]], live)
            self._from[number] = ways
            if self._plain[number] and len(ways) == 1 and ways[0].is_free and ways[0].target != number:
                through[number] = ways[0]
        self._numbers = [number for number in self._numbers if number not in through and self._from[number]]
        for number in self._numbers:
            self._from[number] = [_beyond(way, through) for way in self._from[number]]
        return size > sum(len(self._from[number]) for number in self._numbers)

    def _distinct(self, number: int, ways: Iterable[Way], live: list[int]) -> list[Way]:
        """The ways from a node that make a difference, as far as they do."""
        found: list[Way] = []
        for way in ways:
            if self._plain[way.target] and not self._from[way.target]:
                continue  # control ends there
            ahead = live[way.target]
            way = way._replace(added=way.added & ahead, kept=way.kept & ahead)
            if way.target == number and self._plain[number] and not way.added and way.kept == ahead:
                continue  # goes round in nothing
            _add(found, way)
        return found

    def _live_on_arrival(self) -> list[int]:
        """For each node, the assumptions by which something that lies ahead may be decided."""
        live = [0] * len(self._from)
        changed = True
        while changed:
            changed = False
            for number in self._numbers:
                found = 0
                for target, denied, known, added, kept in self._from[number]:
                    ahead = live[target]
                    found |= denied | (kept & ahead)
                    if added & ahead:
                        found |= known
                if found != live[number]:
                    live[number], changed = found, True
        return live


_ways: WeakKeyDictionary[FlowGraph, Ways] = WeakKeyDictionary()


def ways_of(graph: FlowGraph) -> Ways:
    """The ways of a graph, which is complete."""
    found = _ways.get(graph)
    if found is None:
        found = _ways[graph] = Ways(graph)
    return found


def bits(number: int) -> int:
    """Both assumptions about the condition of this number."""
    return 3 << 2 * number


def _bit(number: int, truth: bool) -> int:
    return 1 << 2 * number + truth


def _beyond(way: Way, through: Mapping[int, Way]) -> Way:
    """A way, and the free ones that lead on from where it ends."""
    while way.target in through:
        further = through[way.target]
        way = Way(further.target, way.denied, way.known, way.added & further.kept, way.kept & further.kept)
    return way


def _add(ways: list[Way], way: Way) -> None:
    """Add a way to those from the same node; both sides of a choice that makes no difference are one way."""
    for place, other in enumerate(ways):
        if way.target == other.target and way.kept == other.kept:
            if way.is_free or other.is_free or (way.denied == other.known and way.known == other.denied):
                ways[place] = way._replace(denied=0, known=0, added=0)
                return
    ways.append(way)


def _translated(nodes: list[Node], conditions: list[Condition]) -> list[list[Way]]:
    """The edges of a graph as ways."""
    numbers = {condition: number for number, condition in enumerate(conditions)}
    deciders = _deciders(conditions)
    reading: dict[str, int] = {}
    volatile = 0
    for number, condition in enumerate(conditions):
        for name in condition.names:
            reading[name] = reading.get(name, 0) | bits(number)
        if condition.volatile:
            volatile |= bits(number)
    found = []
    for node in nodes:
        ended = 0 if node.again is None else volatile
        for name in node.assigned:
            ended |= reading.get(name, 0)
        holds = ~ended
        ways = []
        for target, assumption in node.successors:
            if assumption is None:
                ways.append(Way(target, 0, 0, 0, holds))
            else:
                number, truth = numbers[assumption.condition], assumption.truth
                denied, known = deciders[number][not truth] & holds, deciders[number][truth] & holds
                ways.append(Way(target, denied, known, _bit(number, truth), holds))
        found.append(ways)
    return found


def _deciders(conditions: list[Condition]) -> list[tuple[int, int]]:
    """For each condition, the assumptions that say that it is false, and those that say that it is true."""
    alike: dict[str, list[int]] = {}
    for number, condition in enumerate(conditions):
        for name in {condition.key, condition.subject} - {""}:
            alike.setdefault(name, []).append(number)
    found = []
    for condition in conditions:
        says = [0, 0]
        for name in {condition.key, condition.subject} - {""}:
            for number in alike[name]:
                for truth in (False, True):
                    decided = decide(condition, (Assumption(conditions[number], truth),))
                    if decided is not None:
                        says[decided] |= _bit(number, truth)
        found.append((says[0], says[1]))
    return found
