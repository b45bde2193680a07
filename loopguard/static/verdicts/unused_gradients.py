"""Gradients that are thrown away: never applied, applied too rarely, or cleared inside their window."""

from __future__ import annotations

from dataclasses import replace

from loopguard.case import Case
from loopguard.events import Kind, Moment, Relation
from loopguard.lifecycles import window
from loopguard.static.paths.graph import Assumption, Happening, Loop, Where
from loopguard.static.paths.guards import SYNC, common_loops, guard_keys, window_gate
from loopguard.static.paths.solve import Fact, Violation
from loopguard.static.verdicts import evidence
from loopguard.static.verdicts.telling import Telling


def unused(telling: Telling, violation: Violation) -> Case | None:
    """The case of gradients that are cleared before any step has used them."""
    path, clear = violation.fact.path(), telling.event(violation.fact)
    backward = telling.event(path[0])
    if backward.kind is not Kind.BACKWARD:
        return None
    common = common_loops([backward, clear])
    loop = evidence.last_loop_crossed(telling.graph, path, common) or (common[-1] if common else None)
    if loop is None or _uses_gradients(telling, backward, loop):
        return None
    # Steps of other loops beside this one are another story.
    steps = [
        item
        for item in _steps_for(telling, backward, loop)
        if _may_step(telling, item) and not _is_fed_apart(telling, item, loop)
    ]
    used = set(steps)
    if any(item.target is telling.subject.optimizer and item not in used for item in _around(telling, loop)):
        return None  # a step of an outer loop, fed by a backward pass of its own
    inside = [item for item in steps if loop in item.loops]
    if inside:
        return _window(telling, violation, clear, backward, inside, path, loop)
    if clear.target is not telling.subject.optimizer and not steps:
        return None  # a module's gradients may be wanted for something else than a step
    if not steps and (telling.is_stepped_elsewhere or telling.escapes):
        return None
    if steps and not set(clear.guards[loop.depth :]) <= set(backward.guards[loop.depth :]):
        return None
    later = [item for item in steps if item.number > backward.number]
    if steps and not later:
        return None
    return telling.case(violation.mistake, backward, path, loop, {}, steps)


def _steps_for(telling: Telling, backward: Happening, loop: Loop) -> list[Happening]:
    """The steps in a loop, and those in the loops around a backward pass in it."""
    places: list[Where] = [loop, *(backward.loops[:depth] for depth in range(len(backward.loops) + 1))]
    found = [step for place in places for step in telling.graph.events(Kind.STEP, where=place)]
    return sorted(dict.fromkeys(found), key=lambda step: step.number)


def _around(telling: Telling, loop: Loop) -> list[Happening]:
    """The steps of the loops around `loop`."""
    within = telling.graph.events(where=loop)
    loops = within[0].loops[: within[0].loops.index(loop)]
    return [step for depth in range(1, len(loops) + 1) for step in telling.among(Kind.STEP, where=loops[:depth])]


def _uses_gradients(telling: Telling, backward: Happening, loop: Loop) -> bool:
    """Whether what computes the gradients also reads or sets them by hand, so that they may serve without a step."""
    given = guard_keys(backward, loop)
    return any(
        {key for key in guard_keys(item, loop) if ".grad" not in key} <= given
        for item in telling.among(Kind.READ, Kind.ASSIGN, where=loop)
    )


def _is_fed_apart(telling: Telling, step: Happening, loop: Loop) -> bool:
    """Whether a step outside of the loop has a backward pass of its own there."""
    return loop not in step.loops and any(
        item.number < step.number for item in telling.among(Kind.BACKWARD, where=step.loops)
    )


def _may_step(telling: Telling, item: Happening) -> bool:
    """Whether a step may use the subject's gradients: its own, or one of another optimizer with the same parameters."""
    return telling.effects.relation(item) is not Relation.OTHER


def _window(
    telling: Telling,
    violation: Violation,
    clear: Happening,
    backward: Happening,
    steps: list[Happening],
    path: list[Fact],
    loop: Loop,
) -> Case | None:
    """A clear that empties the window before its step: the step is gated, the clear is not."""
    gates = [window_gate(item, loop) for item in steps]
    if any(gate is None for gate in gates) or clear.loops != steps[0].loops:
        return None
    gate = gates[0]
    assert gate is not None
    fed = guard_keys(backward, loop)
    own = guard_keys(clear, loop) - {SYNC} - fed
    if own or gate.condition.key in fed or _is_rarer_loss(telling, gate, loop):
        return None
    found = gate.condition.gate
    facts = {"window": gate.condition.text, "size": found.size if found is not None else ""}
    case = telling.case(window.Mistake.CLEARED, clear, path, loop, facts)
    if case is None:
        return None
    step = evidence.event_of(steps[0], telling.subject.name)
    used = Moment(step, "the step of the window uses what has come since", case.trail[-1].iteration)
    return replace(case, trail=(*case.trail, used))


def _is_rarer_loss(telling: Telling, gate: Assumption, loop: Loop) -> bool:
    """Whether the step has a backward pass of its own behind its gate, so that it is rarer, not accumulating."""
    return telling.deepest_guards.get(gate.condition.key, -1) >= loop.depth
