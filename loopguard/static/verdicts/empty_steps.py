"""Steps that find no gradients: cleared too late, computed too late, or never computed."""

from __future__ import annotations

from loopguard.case import Case
from loopguard.events import Kind
from loopguard.lifecycles import gradient
from loopguard.lifecycles.gradient import State
from loopguard.static.paths.graph import Happening, Loop
from loopguard.static.paths.guards import guard_keys, innermost, nested
from loopguard.static.paths.solve import Fact, Violation
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
    arrivals = {belief for story in telling.stories for belief in story.arrivals.get(event.number, ())}
    if any(belief != {State.CLEAN} for belief in arrivals):
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
    backwards = telling.among(Kind.BACKWARD)
    inside = [item for item in backwards if loop in item.loops]
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
        for item in backwards
        if item.number > event.number and item.loops == event.loops[:-1] and telling.effects.of[item.number][0].sure
    ]
    served = any(item.loops == event.loops[:-1] for item in telling.among(Kind.STEP))
    if outside and not served:
        facts = {"order": "backward after loop", "backward": evidence.short(outside[0].text)}
        return telling.case(violation.mistake, event, path, loop, facts)
    return telling.case(violation.mistake, event, path, loop, {"order": "no backward"})


def _discarded_by(telling: Telling, clear: Happening) -> list[Fact] | None:
    """The path of one iteration from a backward pass to the clear that throws its gradients away.

    That is this one, or one right before it, so that this one finds nothing any more.
    """
    for story in telling.stories:
        for violation in story.violations:
            path = violation.fact.path()
            backward, first = telling.event(path[0]), telling.event(path[-1])
            if violation.mistake is gradient.Mistake.UNUSED and _is_clear_before(telling, first, clear):
                if telling.within_iteration(path) and backward.kind is Kind.BACKWARD and backward.loops == clear.loops:
                    return path
    return None


def _is_clear_before(telling: Telling, first: Happening, clear: Happening) -> bool:
    """Whether a clear is this one, or comes before it in the same block with nothing between that brings gradients."""
    if first is clear:
        return True
    return (
        (first.loops, first.guards) == (clear.loops, clear.guards)
        and not any(
            first.number < item.number < clear.number
            for item in telling.among(Kind.BACKWARD, Kind.ASSIGN, Kind.UNKNOWN)
        )
        and first.number < clear.number
    )


def _hides_backward(telling: Telling, clear: Happening, step: Happening, loop: Loop) -> bool:
    """Whether something between a clear and the step after it may deposit gradients unseen."""
    if telling.among(Kind.ASSIGN, Kind.READ, loop=loop):
        return True
    first, last = clear.number, step.number
    return any(
        first < item.number < last if first < last else not last < item.number < first
        for item in telling.among(Kind.UNKNOWN, loop=loop)
    )
