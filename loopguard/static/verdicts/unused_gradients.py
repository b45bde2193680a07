"""Gradients that are thrown away: never applied, applied too rarely, or cleared inside their window."""

from __future__ import annotations

import re
from dataclasses import replace

from loopguard.case import Case
from loopguard.events import Kind, Moment, Relation
from loopguard.lifecycles import window
from loopguard.static.lowering.constructors import NEW
from loopguard.static.paths.graph import Assumption, Happening, Loop
from loopguard.static.paths.guards import SYNC, common_loops, guard_keys, window_gate
from loopguard.static.paths.solve import Fact, Violation
from loopguard.static.values import Thing, things_in
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
        for item in telling.events
        if item.kind is Kind.STEP
        and _may_step(telling, item)
        and (loop in item.loops or item.loops == backward.loops[: len(item.loops)])
        and not _is_fed_apart(telling, item, loop)
    ]
    if any(
        item.target is telling.subject.optimizer and item.loops and item not in steps for item in _around(telling, loop)
    ):
        return None  # a step of an outer loop, fed by a backward pass of its own
    inside = [item for item in steps if loop in item.loops]
    if inside:
        return _window(telling, violation, clear, backward, inside, path, loop)
    if clear.target is not telling.subject.optimizer and not steps:
        return None  # a module's gradients may be wanted for something else than a step
    if not steps and (_stepped_elsewhere(telling) or _escapes(telling)):
        return None
    if steps and not set(clear.guards[loop.depth :]) <= set(backward.guards[loop.depth :]):
        return None
    later = [item for item in steps if item.number > backward.number]
    if steps and not later:
        return None
    told = [item for item in telling.events if item.kind is not Kind.STEP or item in steps]
    return telling.case(violation.mistake, backward, path, loop, {}, told)


def _around(telling: Telling, loop: Loop) -> list[Happening]:
    """The steps of the loops around `loop`."""
    return [
        item for item in telling.among(Kind.STEP) if loop not in item.loops and set(item.loops) <= _outer(telling, loop)
    ]


def _outer(telling: Telling, loop: Loop) -> set[Loop]:
    return {outer for item in telling.events if loop in item.loops for outer in item.loops[: item.loops.index(loop)]}


def _uses_gradients(telling: Telling, backward: Happening, loop: Loop) -> bool:
    """Whether what computes the gradients also reads or sets them by hand, so that they may serve without a step."""
    given = guard_keys(backward, loop)
    return any(
        {key for key in guard_keys(item, loop) if ".grad" not in key} <= given
        for item in telling.among(Kind.READ, Kind.ASSIGN, loop=loop)
    )


def _is_fed_apart(telling: Telling, step: Happening, loop: Loop) -> bool:
    """Whether a step outside of the loop has a backward pass of its own there."""
    return loop not in step.loops and any(
        item.loops == step.loops and item.number < step.number and loop not in item.loops
        for item in telling.among(Kind.BACKWARD)
    )


def _may_step(telling: Telling, item: Happening) -> bool:
    """Whether a step may use the subject's gradients: its own, or one of another optimizer with the same parameters."""
    return telling.effects.relation(item) is not Relation.OTHER


def _escapes(telling: Telling) -> bool:
    """Whether code that cannot be read gets the optimizer, and may step it."""
    optimizer = telling.subject.optimizer
    return any(
        thing is optimizer or thing in optimizer.owners()
        for item in telling.among(Kind.UNKNOWN)
        if item.via != NEW
        for thing in things_in(item.target)
    )


def _stepped_elsewhere(telling: Telling) -> bool:
    """Whether the text of the file names a step of this optimizer that the graph does not hold."""
    optimizer = telling.subject.optimizer
    hidden = "." in optimizer.label or (_is_global(telling, optimizer) and not telling.graph.is_script)
    if not hidden:
        return False
    name = re.escape(optimizer.label.rsplit(".", 1)[-1])
    named = re.findall(rf"\b{name}\.step\b|\.step\((?:self\.)?{name}\b", telling.file.source.text)
    seen = {item.site.node for item in telling.among(Kind.STEP) if item.target is optimizer}
    return len(named) > len(seen)


def _is_global(telling: Telling, optimizer: Thing) -> bool:
    return any(value is optimizer for value in telling.file.env.variables.values())


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
    return any(gate.condition.key in guard_keys(item, loop) for item in telling.among(Kind.BACKWARD))
