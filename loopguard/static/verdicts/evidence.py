"""From the graph back to the source: places, events as users see them, and the trail of one path."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cached_property
from itertools import islice

import libcst as cst

from loopguard.events import Event, Kind, Moment, Place, Reach, Related, Relation
from loopguard.lifecycles.gradient import State
from loopguard.static.paths.automaton import Belief
from loopguard.static.paths.effects import Effects
from loopguard.static.paths.graph import FlowGraph, Happening, Loop, Site
from loopguard.static.paths.solve import Fact
from loopguard.static.scope import File
from loopguard.static.steps import spend

_TEXT_LIMIT = 80
_BEARING = (Kind.CLEAR, Kind.STEP, Kind.BACKWARD)
_MOST_RELATED = 8
_STEPS_OF_A_MOMENT = 4


def place_of(site: Site) -> Place:
    """Where a node stands."""
    return site.file.source.place(*site.file.tree.range(site.node))


def place_in(file: File, site: Site) -> Place:
    """Where a node stands as seen from `file`: in it, or at the call in it that leads there."""
    if site.file is file:
        return place_of(site)
    for caller, node in reversed(site.calls):
        if caller is file:
            place = place_of(Site(file, node))
            return _keyword(place) if isinstance(node, cst.With) else place
    return place_of(site)


def _keyword(block: Place) -> Place:
    """Where the word stands that begins a block, which is all of it that calls anything by itself."""
    return replace(block, end_row=block.row, end_column=block.column + len("with"))


def short(text: str) -> str:
    """A text on one line, cut where it gets long."""
    return text if len(text) <= _TEXT_LIMIT else f"{text[: _TEXT_LIMIT - 3]}..."


def event_of(happening: Happening, subject: str, place: Place | None = None) -> Event:
    """The event as both engines tell it."""
    return Event(
        happening.kind,
        subject,
        place if place is not None else place_of(happening.site),
        short(happening.text),
        tuple(str(guard) for guard in happening.guards),
        tuple(place_of(Site(file, node)) for file, node in happening.site.calls),
    )


class Bearing:
    """The clears, steps and backward passes that bear on the cases of one subject.

    Of each kind, relation and reach the first few are told: that a clear is there counts, not how many there are.
    """

    def __init__(self, graph: FlowGraph, effects: Effects) -> None:
        self._graph = graph
        self._effects = effects
        self._relations: dict[int, Relation] = {}
        self._on: dict[Loop | None, list[_Found]] = {}

    def on(self, loop: Loop | None, name: str, steps: Iterable[Happening] | None = None) -> tuple[Related, ...]:
        """Those that bear on a case about `loop`; of the steps, if told so, only these."""
        if loop not in self._on:
            inside = self._graph.events(*_BEARING, where=loop) if loop is not None else ()
            self._on[loop] = [*self._first(inside, loop), *self._outside(loop)]
        found = self._on[loop]
        if steps is not None:
            found = [*(item for item in found if item[0].kind is not Kind.STEP), *self._first(steps, loop)]
        return _told(found, name)

    def among(self, events: Iterable[Happening], loop: Loop, name: str) -> tuple[Related, ...]:
        """Those of some events that bear on a case about `loop`."""
        return _told(self._first(events, loop), name)

    def _first(self, events: Iterable[Happening], loop: Loop | None) -> Iterator[_Found]:
        counts: Counter[tuple[Kind, Relation, Reach]] = Counter()
        for event in events:
            spend()
            if event.kind in _BEARING:
                relation, reach = self._relation(event), _reach(event, loop)
                counts[event.kind, relation, reach] += 1
                if counts[event.kind, relation, reach] <= _MOST_RELATED:
                    yield event, relation, reach

    def _outside(self, loop: Loop | None) -> Iterator[_Found]:
        for (_, relation), events in self._sorted.items():
            outside = (event for event in events if _reach(event, loop) is Reach.OUTSIDE)
            yield from ((event, relation, Reach.OUTSIDE) for event in islice(outside, _MOST_RELATED))

    @cached_property
    def _sorted(self) -> dict[tuple[Kind, Relation], list[Happening]]:
        found: dict[tuple[Kind, Relation], list[Happening]] = {}
        for event in self._graph.events(*_BEARING):
            found.setdefault((event.kind, self._relation(event)), []).append(event)
        return found

    def _relation(self, event: Happening) -> Relation:
        if event.number not in self._relations:
            self._relations[event.number] = self._found_relation(event)
        return self._relations[event.number]

    def _found_relation(self, event: Happening) -> Relation:
        if event.kind is not Kind.BACKWARD:
            return self._effects.relation_to_all(event)
        given = self._effects.of.get(event.number, ())
        return Relation.OTHER if not given else Relation.WHOLE if given[0].sure else Relation.UNKNOWN


_Found = tuple[Happening, Relation, Reach]


def _told(found: Iterable[_Found], name: str) -> tuple[Related, ...]:
    ordered = sorted(found, key=lambda item: item[0].number)
    return tuple(Related(event_of(event, name), relation, reach) for event, relation, reach in ordered)


def _reach(event: Happening, loop: Loop | None) -> Reach:
    return Reach.INSIDE if loop is not None and loop in event.loops else Reach.OUTSIDE


def trail(graph: FlowGraph, effects: Effects, path: list[Fact], loop: Loop | None, name: str) -> tuple[Moment, ...]:
    """The events of a path that concern the subject, each with what it does, numbered by iterations of `loop`."""
    moments: list[Moment] = []
    iteration = 1 if loop is not None else 0
    spend(_STEPS_OF_A_MOMENT * len(path))
    for fact in path:
        node = graph.nodes[fact.node]
        if node.again is not None and node.again is loop:
            iteration += 1
        if node.event is None or fact.node not in effects.of:
            continue
        belief = fact.belief
        for effect in effects.of[fact.node]:
            note = _note(node.event, belief, effect.sure)
            belief, _ = effects.automaton.after(belief, effect)
            if note:
                inside = loop is not None and loop in node.event.loops
                moments.append(Moment(event_of(node.event, name), note, iteration if inside else 0))
                break
    return tuple(moments)


def _note(event: Happening, belief: Belief, sure: bool) -> str:
    kind = event.kind
    if kind is Kind.CLEAR:
        if not sure:
            return ""
        return "gradients discarded, unused" if belief == {State.FRESH} else "gradients cleared"
    if kind is Kind.BACKWARD:
        if belief <= {State.SPENT, State.STALE}:
            return "new gradients are added to the used ones"
        if belief <= {State.SHARED, State.MIXED}:
            return "new gradients are added to those of the other loss"
        return "gradients computed"
    if kind is Kind.STEP:
        if belief == {State.CLEAN}:
            return "a step without gradients"
        if belief <= {State.SPENT, State.STALE}:
            return "a step with the old gradients still in place"
        if belief == {State.MIXED}:
            return "a step with the gradients of both losses"
        return "gradients used"
    if kind is Kind.ASSIGN:
        return "gradients set by hand"
    return ""


def last_loop_crossed(graph: FlowGraph, path: list[Fact], common: tuple[Loop, ...]) -> Loop | None:
    """The innermost loop of `common` that a path goes round in."""
    crossed = {graph.nodes[fact.node].again for fact in path}
    for loop in reversed(common):
        if loop in crossed:
            return loop
    return None


def related_trail(events: Iterable[Happening], name: str) -> tuple[Moment, ...]:
    """A trail that only points at these events, in the order of the source."""
    ordered = sorted({event.number: event for event in events}.values(), key=lambda event: event.number)
    notes = {
        Kind.STEP: "the step",
        Kind.CLEAR: "gradients cleared",
        Kind.BACKWARD: "gradients computed",
        Kind.CLIP: "gradients clipped",
        Kind.UNSCALE: "gradients unscaled",
        Kind.SCHEDULE: "schedule moved on",
    }
    return tuple(Moment(event_of(event, name), notes.get(event.kind, "")) for event in ordered)
