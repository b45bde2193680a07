"""Accumulation windows on a graph: gates that let through too early, too late, too much or too little."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from loopguard.case import Case
from loopguard.events import Kind, Relation
from loopguard.lifecycles import window
from loopguard.static.paths.effects import Effects, effects_of
from loopguard.static.paths.graph import Assumption, FlowGraph, Happening, Loop
from loopguard.static.paths.guards import SYNC
from loopguard.static.paths.relations import touches
from loopguard.static.scope import File
from loopguard.static.values import Role, Thing, things_in
from loopguard.static.verdicts import evidence
from loopguard.static.verdicts.schedules import says_where

_WINDOW_SIZE = re.compile(r"accum|grad_acc|micro|update_freq", re.IGNORECASE)
"""What people call the number of batches in a window."""


def window_cases(file: File, graph: FlowGraph) -> Iterator[Case]:
    """The cases about accumulation windows on `graph`."""
    seen: set[Thing] = set()
    for effects in effects_of(graph) if Kind.STEP in graph.kinds else ():
        optimizer = effects.subject.optimizer
        if optimizer in seen:
            continue
        seen.add(optimizer)
        for event in graph.events():
            own = event.site.file is file  # a window of another file is told there
            if own and event.kind is Kind.STEP and event.target is optimizer and event.loops:
                yield from _step_cases(file, graph, effects, event)


def _step_cases(file: File, graph: FlowGraph, effects: Effects, step: Happening) -> Iterator[Case]:
    loop = step.loops[-1]
    gate = gate_within(step, loop)
    name = effects.subject.name
    here = [event for event in graph.events() if event.loops and event.loops[-1] is loop]
    backwards = [
        event
        for event in here
        if event.kind is Kind.BACKWARD and any(effect.sure for effect in effects.of.get(event.number, ()))
    ]

    def case(mistake: window.Mistake, at: Happening, **facts: str) -> Case:
        return Case(
            mistake,
            name,
            evidence.event_of(at, name, evidence.place_in(file, at.site)),
            evidence.related_trail([at, step], name),
            evidence.related(effects, here, loop, name),
            {"loop": loop.text, **facts},
        )

    for event in backwards:
        divisor = event.loss.divisor if event.loss is not None else ""
        if event.via and (_WINDOW_SIZE.search(divisor) or divisor in graph.window_sizes):
            yield case(window.Mistake.DOUBLE, event, wrapper=event.via, size=divisor)
            return
    for event in here:
        # `accumulate` gates what it has wrapped; a module's own clear it does not.
        bare = event.kind is Kind.CLEAR and event.via.endswith("accumulate") and not _is_synced(event, loop)
        if bare and step.via.endswith("accumulate") and backwards:
            yield case(window.Mistake.CLEARED, event, window=event.via, size="")
    if step.via.endswith("accumulate") and gate is not None and gate in step.guards[step.depth :]:
        found = gate.condition.gate
        if found is not None:
            yield case(window.Mistake.DOUBLE, step, wrapper=step.via, window=gate.condition.text, size=found.size)
    if gate is None:
        for event in here:
            other = gate_within(event, loop)
            if (
                event.kind is Kind.CLIP
                and other is not None
                and _concerns(event, effects)
                and not _ungated(graph, event, loop)
            ):
                found = other.condition.gate
                assert found is not None
                yield case(window.Mistake.STEP_OUTSIDE, step, window=other.condition.text, size=found.size)
                break
        for event in here:
            other = gate_within(event, loop)
            accumulates = event.kind is Kind.CLEAR and event.via.endswith("accumulate")
            inner = other is not None and other in event.guards[event.depth :]
            if accumulates and inner and other is not None and other.condition.gate is not None:
                yield case(
                    window.Mistake.DOUBLE,
                    event,
                    wrapper=event.via,
                    window=other.condition.text,
                    size=other.condition.gate.size,
                )
        return
    found = gate.condition.gate
    assert found is not None
    # A window has a backward pass in every iteration; a step that is merely rarer than the loop has none of its own.
    ungated = _in_every_batch(backwards, step, gate, loop)
    if not ungated or step.via.endswith("accumulate"):
        return
    facts = {"window": gate.condition.text, "size": found.size}
    if gate.truth is found.inverted:
        yield case(window.Mistake.INVERTED, step, **facts)
        return
    if not step.clears_itself and not any(_same_window(event, loop, found) for event in _clears(here, effects)):
        return
    around = _guards(step, loop) - {gate}
    # Where batches are left out, who knows which.
    every = any(not _guards(event, loop) for event in ungated)
    if found.opens_first and every:
        yield case(window.Mistake.OFF_BY_ONE, step, **facts)
    for event in here:
        partial = event.kind in (Kind.CLIP, Kind.UNSCALE) and _concerns(event, effects)
        counts = event.kind is Kind.SCHEDULE and not says_where(event)
        if (partial or counts) and _guards(event, loop) <= around:
            yield case(window.Mistake.PARTIAL_GATE, event, **facts)
    by_hand = any(event.kind in (Kind.READ, Kind.ASSIGN) for event in here)
    for event in ungated:
        if event.loss is not None and event.loss.mean and not event.loss.divided and not by_hand:
            yield case(window.Mistake.UNSCALED, event, **facts)
            break
    later = [
        event
        for event in graph.events()
        if event.kind is Kind.STEP and event.target is step.target and event.number > step.number
    ]
    if every and not found.flushes and not later and _numbers_itself(loop, found):
        yield case(window.Mistake.REMAINDER, step, **facts)


def _numbers_itself(loop: Loop, gate: window.Gate) -> bool:
    """Whether the gate's counter is the loop's own number, which starts anew with every epoch."""
    return gate.start is not None and re.search(rf"^for\b.*\b{re.escape(gate.counter)}\b.* in ", loop.text) is not None


def _clears(events: Sequence[Happening], effects: Effects) -> list[Happening]:
    return [event for event in events if event.kind is Kind.CLEAR and effects.relation(event) is Relation.WHOLE]


def _same_window(event: Happening, loop: Loop, gate: window.Gate) -> bool:
    """Whether an event stands behind the gate or behind another one of the same windows, as at their beginning."""
    other = gate_within(event, loop)
    if other is None or other.condition.gate is None:
        return False
    return (other.condition.gate.counter, other.condition.gate.size) == (gate.counter, gate.size)


def gate_within(event: Happening, loop: Loop) -> Assumption | None:
    """The gate on a counter that an event stands behind within `loop`, whichever way round."""
    for guard in event.guards[loop.depth :]:
        if guard.condition.gate is not None and guard.condition.key != SYNC:
            return guard
    return None


def _is_synced(event: Happening, loop: Loop) -> bool:
    return any("sync_gradients" in guard.condition.text for guard in event.guards[loop.depth :])


def _keys(event: Happening, loop: Loop) -> set[str]:
    return {guard.condition.key for guard in event.guards[loop.depth :]}


def _guards(event: Happening, loop: Loop) -> set[Assumption]:
    return set(event.guards[loop.depth :])


def _in_every_batch(backwards: list[Happening], step: Happening, gate: Assumption, loop: Loop) -> list[Happening]:
    """The backward passes that the gate of a step does not hold back; it may choose between two of them."""
    around = _guards(step, loop) - {gate}
    found = [event for event in backwards if _guards(event, loop) <= around]
    sides = [
        event for event in backwards if {guard.condition for guard in _guards(event, loop) - around} == {gate.condition}
    ]
    both = {guard.truth for event in sides for guard in _guards(event, loop) - around} == {True, False}
    return [*found, *sides] if both else found


def _concerns(event: Happening, effects: Effects) -> bool:
    """Whether a clip or unscale is about this optimizer, as far as can be told."""
    optimizer, part = effects.subject.optimizer, effects.subject.part
    if event.target is optimizer:
        return True
    things = list(things_in(event.target))
    if any(thing.role is Role.OPTIMIZER and thing is not optimizer for thing in things):
        return False
    return touches(event.target, optimizer, part) is not Relation.OTHER


def _ungated(graph: FlowGraph, clip: Happening, loop: Loop) -> bool:
    """Whether a backward pass stands behind the same gate as the clip, so that the gate is about something else."""
    keys = _keys(clip, loop)
    return any(
        event.kind is Kind.BACKWARD and loop in event.loops and _keys(event, loop) & keys for event in graph.events()
    )
