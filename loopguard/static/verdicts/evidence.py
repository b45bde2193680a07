"""From the graph back to the source: places, events as users see them, and the trail of one path."""

from __future__ import annotations

from collections.abc import Iterable

from loopguard.events import Event, Kind, Moment, Place, Reach, Related, Relation
from loopguard.lifecycles.gradient import State
from loopguard.static.paths.automaton import Belief
from loopguard.static.paths.effects import Effects
from loopguard.static.paths.graph import FlowGraph, Happening, Loop, Site
from loopguard.static.paths.solve import Fact
from loopguard.static.scope import File

_TEXT_LIMIT = 80


def place_of(site: Site) -> Place:
    """Where a node stands."""
    return site.file.source.place(*site.file.tree.range(site.node))


def place_in(file: File, site: Site) -> Place:
    """Where a node stands as seen from `file`: in it, or at the call in it that leads there."""
    if site.file is file:
        return place_of(site)
    for caller, node in reversed(site.calls):
        if caller is file:
            return place_of(Site(file, node))
    return place_of(site)


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
    )


def related(effects: Effects, events: Iterable[Happening], loop: Loop | None, name: str) -> tuple[Related, ...]:
    """The clears, steps and backward passes that bear on a case about `loop`."""
    found = []
    for event in events:
        if event.kind not in (Kind.CLEAR, Kind.STEP, Kind.BACKWARD):
            continue
        if event.kind is Kind.BACKWARD:
            given = effects.of.get(event.number, ())
            relation = Relation.OTHER if not given else Relation.WHOLE if given[0].sure else Relation.UNKNOWN
        else:
            relation = effects.relation_to_all(event)
        reach = Reach.INSIDE if loop is not None and loop in event.loops else Reach.OUTSIDE
        found.append(Related(event_of(event, name), relation, reach))
    return tuple(found)


def trail(graph: FlowGraph, effects: Effects, path: list[Fact], loop: Loop | None, name: str) -> tuple[Moment, ...]:
    """The events of a path that concern the subject, each with what it does, numbered by iterations of `loop`."""
    moments: list[Moment] = []
    iteration = 1 if loop is not None else 0
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
