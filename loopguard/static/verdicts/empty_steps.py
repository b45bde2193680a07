"""Steps that find no gradients: cleared too late, computed too late, or never computed."""

from __future__ import annotations

from collections.abc import Iterator

from loopguard.case import Case
from loopguard.events import Kind
from loopguard.lifecycles.gradient import State
from loopguard.static.paths.graph import Happening, Loop
from loopguard.static.paths.guards import before, behind, guard_keys, innermost, nested
from loopguard.static.paths.solve import Fact, Violation
from loopguard.static.steps import spend
from loopguard.static.verdicts import evidence
from loopguard.static.verdicts.telling import Telling

ORDERS = ("cleared after backward", "step before backward", "backward after loop", "no backward")
"""Why a step finds nothing, what tells most first."""


def empty(telling: Telling, violation: Violation) -> Case | None:
    """The case of a step that finds no gradients, if nothing else can have brought any."""
    path, event = violation.fact.path(), telling.event(violation.fact)
    clear = telling.event(path[0])
    if clear.kind is not Kind.CLEAR:
        return None
    if any(belief != {State.CLEAN} for belief in telling.arrivals.get(event.number, ())):
        return None
    loop = innermost(event)
    discarded = _discarded_by(telling, clear)
    if discarded is not None and nested(guard_keys(clear, None), guard_keys(event, None)):
        if clear.loops == event.loops and telling.within_iteration(path):
            first = telling.event(discarded[-1])
            whole = [*(discarded[:-1] if first is clear else discarded), *path]
            return telling.case(violation.mistake, first, whole, loop, {"order": "cleared after backward"})
    if loop is None:
        return None
    inside = telling.among(Kind.BACKWARD, where=loop)
    if any(item.number < event.number for item in inside):
        return None
    if inside:
        first = inside[0]
        if not telling.effects.of[first.number][0].sure or guard_keys(event, loop) - guard_keys(first, loop):
            return None
        facts = {"order": "step before backward", "backward": evidence.short(first.text)}
        return telling.case(violation.mistake, event, path, loop, facts)
    if loop not in clear.loops or _hides_backward(telling, clear, event, loop):
        return None
    outside = [
        item
        for item in behind(telling.among(Kind.BACKWARD, where=event.loops[:-1]), event.number)
        if telling.effects.of[item.number][0].sure
    ]
    if outside and not telling.among(Kind.STEP, where=event.loops[:-1]):
        facts = {"order": "backward after loop", "backward": evidence.short(outside[0].text)}
        return telling.case(violation.mistake, event, path, loop, facts)
    return telling.case(violation.mistake, event, path, loop, {"order": "no backward"})


def _discarded_by(telling: Telling, clear: Happening) -> list[Fact] | None:
    """The path of one iteration from a backward pass to the clear that throws its gradients away.

    That is this one, or one right before it, so that this one finds nothing any more.
    """
    throwing = telling.throwing_away
    found = sorted(place for first in _clears_up_to(telling, clear) for place in throwing.get(first.number, ()))
    for story, violation in found:
        path = telling.stories[story].violations[violation].fact.path()
        backward = telling.event(path[0])
        if telling.within_iteration(path) and backward.kind is Kind.BACKWARD and backward.loops == clear.loops:
            return path
    return None


def _clears_up_to(telling: Telling, clear: Happening) -> Iterator[Happening]:
    """A clear, and those before it in the same block with nothing between that brings gradients."""
    yield clear
    for event in before(telling.graph.events(), clear.number):
        spend()
        if event.number in telling.effects.of:
            if event.kind in (Kind.BACKWARD, Kind.ASSIGN, Kind.UNKNOWN):
                return
            if (event.loops, event.guards) == (clear.loops, clear.guards):
                yield event


def _hides_backward(telling: Telling, clear: Happening, step: Happening, loop: Loop) -> bool:
    """Whether something between a clear and the step after it may deposit gradients unseen."""
    if telling.among(Kind.ASSIGN, Kind.READ, where=loop):
        return True
    first, last = clear.number, step.number
    return any(
        first < item.number < last if first < last else not last < item.number < first
        for item in telling.among(Kind.UNKNOWN, where=loop)
    )
