"""The ways between the events of a graph, for the worklist to walk on.

A node that is no event, and that leads on in one way only, is left out, as is a choice that makes no difference. An
assumption is let go of where nothing that lies ahead can be decided by it, so that paths that differ in nothing else
become one; this is what liveness analysis does for variables.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import NamedTuple
from weakref import WeakKeyDictionary

from loopguard.limits import Limit
from loopguard.static.paths.choices import Assumptions, Choices
from loopguard.static.paths.graph import Condition, FlowGraph
from loopguard.static.steps import spend

STEPS_OF_A_FACT = 8
"""What following a path from one event to the next costs."""


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
    """The ways on a graph where paths are kept apart by some of its conditions, by the node that they start from."""

    def __init__(self, choices: Choices, worth: tuple[int, ...], limits: set[Limit] | None = None) -> None:
        """Find them. `limits` are those that the graph has met."""
        self._plain = choices.plain
        self._limits = limits if limits is not None else set()
        self._from: list[list[Way]] = [[] for _ in choices.nodes]
        self._numbers: list[int] = []
        self._onward: dict[tuple[int, int], list[tuple[int, int]]] = {}
        self._translate(choices, Assumptions(choices, worth))
        while self._shortened():
            pass

    def onward(self, number: int, assumed: int) -> list[tuple[int, int]]:
        """Where paths that have assumed this go on to from a node, and what they have assumed on arrival.

        Paths that would assume too much are left out. Who follows another event comes by the same nodes.
        """
        found = self._onward.get((number, assumed))
        if found is None:
            found = self._onward[number, assumed] = []
            for target, denied, known, added, kept in self._from[number]:
                if not assumed & denied:
                    further = assumed & kept if assumed & known else assumed & kept | added
                    if further.bit_count() <= Limit.CHOICES.most:
                        found.append((target, further))
                    else:
                        self._limits.add(Limit.CHOICES)
        return found

    @cached_property
    def reached(self) -> Mapping[int, set[int]]:
        """For each node that a path without a contradiction leads to, what such paths have assumed on arrival."""
        todo = deque([(0, 0)])
        found: dict[int, set[int]] = {0: {0}}
        count = 0
        while todo:
            spend(STEPS_OF_A_FACT)
            for target, further in self.onward(*todo.popleft()):
                known = found.setdefault(target, set())
                if further not in known:
                    known.add(further)
                    todo.append((target, further))
                    count += 1
            if count > Limit.PATHS.most:
                self._limits.add(Limit.PATHS)
                return {}
        return found

    def _translate(self, choices: Choices, assumptions: Assumptions) -> None:
        """Make ways of the edges, but for those that only lead on."""
        through: dict[int, Way] = {}
        for number in range(len(choices.nodes) - 1, -1, -1):
            holds = ~assumptions.ended_by(choices.nodes[number])
            ways = self._from[number]
            for target, condition, truth in choices.edges[number]:
                if condition is None:
                    way = Way(target, 0, 0, 0, holds)
                else:
                    says = assumptions.deciders(condition)
                    way = Way(
                        target, says[not truth] & holds, says[truth] & holds, assumptions.bit(condition, truth), holds
                    )
                ways.append(_beyond(way, through))
            if self._plain[number] and len(ways) == 1 and ways[0].is_free and ways[0].target != number:
                through[number] = ways[0]
            elif ways:
                self._numbers.append(number)
        self._leave_out(through)

    def _leave_out(self, through: Mapping[int, Way]) -> None:
        """Go on at once from the nodes that lead on in one way only."""
        spend(len(self._numbers))
        self._numbers = [number for number in self._numbers if number not in through and self._from[number]]
        for number in self._numbers:
            self._from[number] = [_beyond(way, through) for way in self._from[number]]

    def _shortened(self) -> bool:
        """Leave out what nothing depends on. Returns whether there was anything of that kind."""
        live = self._live_on_arrival()
        size = self._size()
        through: dict[int, Way] = {}
        for number in self._numbers:
            ways = self._distinct(number, [_beyond(way, through) for way in self._from[number]], live)
            self._from[number] = ways
            if self._plain[number] and len(ways) == 1 and ways[0].is_free and ways[0].target != number:
                through[number] = ways[0]
        self._leave_out(through)
        return self._size() < size

    def _size(self) -> int:
        return sum(len(self._from[number]) for number in self._numbers)

    def _distinct(self, number: int, ways: list[Way], live: list[int]) -> list[Way]:
        """The ways from a node that make a difference, as far as they do."""
        found: list[Way] = []
        for target, denied, known, added, kept in ways:
            if self._plain[target] and not self._from[target]:
                continue  # control ends there
            ahead = live[target]
            way = Way(target, denied, known, added & ahead, kept & ahead)
            if target == number and self._plain[number] and not way.added and way.kept == ahead:
                continue  # goes round in nothing
            _add(found, way)
        return found

    def _live_on_arrival(self) -> list[int]:
        """For each node, the assumptions by which something that lies ahead may be decided."""
        live = [0] * len(self._from)
        changed = True
        while changed:
            spend(len(self._numbers))
            changed = False
            for number in self._numbers:  # the last one first, as most ways lead onward
                found = 0
                for target, denied, known, added, kept in self._from[number]:
                    ahead = live[target]
                    found |= denied | (kept & ahead)
                    if added & ahead:
                        found |= known
                if found != live[number]:
                    live[number], changed = found, True
        return live


_of: WeakKeyDictionary[FlowGraph, tuple[Choices, dict[tuple[int, ...], Ways]]] = WeakKeyDictionary()


def ways_of(graph: FlowGraph, worth: Callable[[Sequence[Condition]], tuple[int, ...]]) -> Ways:
    """The ways on a graph, which is complete, where paths are kept apart by those conditions that are `worth` it.

    Found out once for all who keep the same ones apart.
    """
    if graph not in _of:
        _of.clear()  # graphs are judged one after the other, and some files have many
        _of[graph] = Choices(graph), {}
    choices, known = _of[graph]
    numbers = worth(choices.conditions)
    if numbers not in known:
        known[numbers] = Ways(choices, numbers, graph.limits)
    return known[numbers]


def _beyond(way: Way, through: Mapping[int, Way]) -> Way:
    """A way, and the free ones that lead on from where it ends."""
    while way.target in through:
        further = through[way.target]
        way = Way(further.target, way.denied, way.known, way.added & further.kept, way.kept & further.kept)
    return way


def _add(ways: list[Way], way: Way) -> None:
    """Add a way to those from the same node; both sides of a choice that makes no difference are one way."""
    spend(len(ways))
    for place, other in enumerate(ways):
        if way.target == other.target and way.kept == other.kept:
            if way.is_free or other.is_free or (way.denied == other.known and way.known == other.denied):
                ways[place] = way._replace(denied=0, known=0, added=0)
                return
    ways.append(way)
