"""Steps on gradients that are not theirs alone: stale ones, used ones, or those of somebody else's loss."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import PurePath

from loopguard.case import Case
from loopguard.events import Kind, Moment, Relation
from loopguard.lifecycles import window
from loopguard.lifecycles.gradient import State
from loopguard.static.paths.graph import Assumption, Happening, Loop
from loopguard.static.paths.guards import common_loops, guard_keys, innermost, is_configured, nested, window_gate
from loopguard.static.paths.solve import Fact, Violation
from loopguard.static.steps import spend
from loopguard.static.values import things_in
from loopguard.static.verdicts import evidence
from loopguard.static.verdicts.telling import Telling

_DATA = re.compile(r"\.item\(|isnan|isfinite|isinf")
"""Conditions on the numbers of a batch: they may come out either way in any iteration."""


def stale(telling: Telling, violation: Violation) -> Case | None:
    """The case of a step that uses gradients of an earlier step again, with new ones on top."""
    path, event = violation.fact.path(), telling.event(violation.fact)
    first = telling.event(path[0])
    if first.kind is not Kind.STEP:
        return None
    steps = [first, event]
    loop = evidence.last_loop_crossed(telling.graph, path, common_loops(steps))
    if loop is None:
        return _stale_within_iteration(telling, violation, path, steps)
    backwards = [telling.event(fact) for fact in path if telling.concerns(fact, Kind.BACKWARD)]
    inside = _clears_in(telling, loop)
    if not inside and _is_probe(telling, loop):
        return None
    skipped = {guard for item in inside for guard in item.guards[loop.depth :]}
    if inside and not _skips(telling, skipped, [*steps, *backwards], loop):
        return None
    facts: dict[str, str] = {}
    gates = [window_gate(item, loop) for item in inside]
    outside = [item for item in steps if not guard_keys(item, loop)]
    if inside and outside and all(is_configured(gate) for gate in gates):
        return _step_outside(telling, path, outside[-1], loop, gates[0])
    if inside:
        without = {guard for guard in skipped if guard not in event.guards}
        if skipped and not without:
            return None  # the clear stands under the step's own conditions
        ways = sorted(str(Assumption(guard.condition, not guard.truth)) for guard in without)
        facts["path"] = ", ".join(ways) or "it is the first step of an iteration"
    wrong = _wrong_target(telling, loop)
    if wrong is not None:
        facts["wrong_target"] = wrong
    case = telling.case(violation.mistake, event, path, loop, facts)
    # The story begins at the first step; what that one used was computed before it.
    if case is None or not backwards:
        return case
    opening = Moment(evidence.event_of(backwards[0], case.subject), "gradients computed", 1)
    return replace(case, trail=(opening, *case.trail))


def _clears_in(telling: Telling, loop: Loop) -> list[Happening]:
    """The clears in a loop that may clear what the subject holds."""
    clears = telling.among(Kind.CLEAR, where=loop)
    return [item for item in clears if telling.effects.relation(item) in (Relation.WHOLE, Relation.UNKNOWN)]


def _is_probe(telling: Telling, loop: Loop) -> bool:
    """Whether a loop is a unit test's: a few steps over made-up data, to see what an optimizer does, not to train."""
    name = PurePath(telling.file.source.path).name
    return not loop.batches and (name.startswith("test_") or name.endswith("_test.py"))


def _step_outside(
    telling: Telling, path: list[Fact], step: Happening, loop: Loop, gate: Assumption | None
) -> Case | None:
    """A window whose clear is gated, and whose step is not."""
    assert gate is not None
    if gate.condition.gate is None:
        return None
    facts = {"window": gate.condition.text, "size": gate.condition.gate.size}
    return telling.case(window.Mistake.STEP_OUTSIDE, step, path, loop, facts)


def _stale_within_iteration(
    telling: Telling, violation: Violation, path: list[Fact], steps: list[Happening]
) -> Case | None:
    """Two steps of one iteration: a mistake only where neither depends on anything that the other does not."""
    first, second = steps
    loop = innermost(first)
    if loop is None or first.loops != second.loops[: len(first.loops)]:
        return None
    if not nested(guard_keys(first, None), guard_keys(second, None)):
        return None
    if _clears_in(telling, loop):
        facts = {"path": "it is the second step of an iteration"}
    elif telling.among(Kind.UNKNOWN, where=loop):
        return None  # the loop may have made the optimizer anew
    else:
        facts = {}
    return telling.case(violation.mistake, second, path, loop, facts)


def _skips(telling: Telling, skipped: set[Assumption], others: Sequence[Happening], loop: Loop) -> bool:
    """Whether iterations surely exist that skip the clear but not the rest.

    They do where the clear hangs on a setting, or on a counter's remainder, on which nothing else depends.
    """
    if not skipped:
        # The clear is in every iteration, only not on this part of it.
        return not any(guard_keys(item, loop) for item in others)
    keys = {guard.condition.key for guard in skipped}
    for guard in skipped:
        condition = guard.condition
        stable = condition.names.isdisjoint(loop.assigned) and not condition.volatile
        if not stable and condition.gate is None and not _DATA.search(condition.text):
            return False
    return all(guard_keys(item, loop) <= keys for item in others)


def _wrong_target(telling: Telling, loop: Loop) -> str | None:
    """A clear in the loop that looks like the missing one, but clears something else: its text."""
    stepped = {thing for item in telling.graph.events(Kind.STEP, where=loop) for thing in things_in(item.target)}
    held = {part for thing in stepped for part in thing.holds or ()}
    spend(len(held))
    for item in telling.graph.events(Kind.CLEAR, where=loop):
        relation = telling.effects.relation_to_all(item)
        if relation is Relation.PART:
            return evidence.short(item.text)
        if relation is Relation.OTHER and not any(
            thing in stepped or thing in held or any(part in held for part in thing.parts())
            for thing in things_in(item.target)
        ):
            return evidence.short(item.text)
    return None


def repeated(telling: Telling, violation: Violation) -> Case | None:
    """The case of a second step on the gradients that a first one has used."""
    path, event = violation.fact.path(), telling.event(violation.fact)
    earlier = telling.event(path[0])
    if earlier.kind is not Kind.STEP or not _is_fed(telling, earlier):
        return None
    if not telling.within_iteration(path):
        return None  # a loop around steps alone is how steps are timed
    if earlier.loops != event.loops or not nested(guard_keys(earlier, None), guard_keys(event, None)):
        return None
    return telling.case(violation.mistake, event, path, innermost(event), {})


def _is_fed(telling: Telling, step: Happening) -> bool:
    """Whether gradients arrive at a step by some path."""
    return any(belief in ({State.FRESH}, {State.SHARED}) for belief in telling.arrivals.get(step.number, ()))


def mixed(telling: Telling, violation: Violation) -> Case | None:
    """The case of a step that also applies the gradients of another optimizer's loss."""
    path, event = violation.fact.path(), telling.event(violation.fact)
    foreign = telling.event(path[0])
    other = next((telling.event(fact) for fact in path if telling.concerns(fact, Kind.STEP, mine=False)), None)
    if foreign.kind is not Kind.BACKWARD or other is None:
        return None
    names = [thing.label for thing in things_in(other.target)]
    facts = {"foreign": evidence.short(foreign.text), "other": names[0] if names else "another"}
    return telling.case(violation.mistake, event, path, innermost(event), facts)
