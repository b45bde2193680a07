"""Accumulation windows on a graph: gates that let through too early, too late, too much or too little."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cached_property

from loopguard.case import Case
from loopguard.events import Kind, Relation
from loopguard.lifecycles import window
from loopguard.static.paths.effects import Effects, effects_of
from loopguard.static.paths.graph import Assumption, FlowGraph, Happening, Loop
from loopguard.static.paths.guards import SYNC, counts
from loopguard.static.paths.relations import touches
from loopguard.static.scope import File
from loopguard.static.steps import spend
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
        bearing = evidence.Bearing(graph, effects)
        blocks: dict[tuple[Loop, ...], _Block] = {}
        for event in graph.events(Kind.STEP, where=optimizer):
            if event.site.file is file and event.loops:  # a window of another file is told there
                if event.loops not in blocks:
                    blocks[event.loops] = _Block(graph, effects, event.loops)
                yield from _step_cases(file, event, blocks[event.loops], bearing)


class _Block:
    """What stands right in a loop that steps an optimizer, as far as it bears on windows."""

    def __init__(self, graph: FlowGraph, effects: Effects, loops: tuple[Loop, ...]) -> None:
        self.graph = graph
        self.effects = effects
        self.loop = loops[-1]
        self.events = graph.events(where=loops)
        self.last = graph.events(Kind.STEP, where=effects.subject.optimizer)[-1]
        self.backwards = [
            event
            for event in graph.events(Kind.BACKWARD, where=loops)
            if any(effect.sure for effect in effects.of.get(event.number, ()))
        ]

    def among(self, *kinds: Kind) -> list[Happening]:
        """The events of some kinds."""
        return [event for event in self.events if event.kind in kinds]

    @cached_property
    def doubled(self) -> Happening | None:
        """A backward pass of which a wrapper divides the loss that is divided already."""
        for event in self.backwards:
            divisor = event.loss.divisor if event.loss is not None else ""
            if event.via and (_WINDOW_SIZE.search(divisor) or divisor in self.graph.window_sizes):
                return event
        return None

    @cached_property
    def accumulated_clears(self) -> list[Happening]:
        """The clears within `accumulate`."""
        return [event for event in self.among(Kind.CLEAR) if event.via.endswith("accumulate")]

    @cached_property
    def gated_clip(self) -> Assumption | None:
        """The gate of a window that a clip stands behind, and no backward pass."""
        for event in self.among(Kind.CLIP):
            gate = gate_within(event, self.loop)
            if gate is not None and _concerns(event, self.effects) and not _ungated(self.graph, event, self.loop):
                return gate
        return None

    @cached_property
    def clears(self) -> list[Happening]:
        """The clears of all that the optimizer holds."""
        return [event for event in self.among(Kind.CLEAR) if self.effects.relation(event) is Relation.WHOLE]

    @cached_property
    def parts(self) -> list[Happening]:
        """What belongs to an update besides the step: clips, unscalings, and schedules that count."""
        return [
            event
            for event in self.among(Kind.CLIP, Kind.UNSCALE, Kind.SCHEDULE)
            if (not says_where(event) if event.kind is Kind.SCHEDULE else _concerns(event, self.effects))
        ]

    @cached_property
    def is_by_hand(self) -> bool:
        """Whether gradients are read or set by hand."""
        return bool(self.among(Kind.READ, Kind.ASSIGN))


def _step_cases(file: File, step: Happening, block: _Block, bearing: evidence.Bearing) -> Iterator[Case]:
    loop = block.loop
    gate = gate_within(step, loop)
    name = block.effects.subject.name

    def case(mistake: window.Mistake, at: Happening, **facts: str) -> Case:
        return Case(
            mistake,
            name,
            evidence.event_of(at, name, evidence.place_in(file, at.site)),
            evidence.related_trail([at, step], name),
            bearing.among(block.events, loop, name),
            {"loop": loop.text, **facts},
        )

    doubled = block.doubled
    if doubled is not None and doubled.loss is not None:
        yield case(window.Mistake.DOUBLE, doubled, wrapper=doubled.via, size=doubled.loss.divisor)
        return
    accumulates = step.via.endswith("accumulate")
    for event in block.accumulated_clears if accumulates and block.backwards else ():
        # `accumulate` gates what it has wrapped; a module's own clear it does not.
        if not _is_synced(event, loop):
            yield case(window.Mistake.CLEARED, event, window=event.via, size="")
    if accumulates and gate is not None and gate in step.guards[step.depth :]:
        found = gate.condition.gate
        if found is not None:
            yield case(window.Mistake.DOUBLE, step, wrapper=step.via, window=gate.condition.text, size=found.size)
    if gate is None:
        clip = block.gated_clip
        if clip is not None and clip.condition.gate is not None:
            yield case(window.Mistake.STEP_OUTSIDE, step, window=clip.condition.text, size=clip.condition.gate.size)
        for event in block.accumulated_clears:
            other = gate_within(event, loop)
            if other is not None and other in event.guards[event.depth :] and other.condition.gate is not None:
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
    ungated = _in_every_batch(block.backwards, step, gate, loop)
    if not ungated or accumulates:
        return
    facts = {"window": gate.condition.text, "size": found.size}
    if gate.truth is found.inverted:
        yield case(window.Mistake.INVERTED, step, **facts)
        return
    if not step.clears_itself and not any(_same_window(event, loop, found) for event in block.clears):
        return
    around = _guards(step, loop) - {gate}
    # Where batches are left out, who knows which.
    every = any(not _guards(event, loop) for event in ungated)
    if found.opens_first and every:
        yield case(window.Mistake.OFF_BY_ONE, step, **facts)
    for event in block.parts:
        if _guards(event, loop) <= around:
            yield case(window.Mistake.PARTIAL_GATE, event, **facts)
    for event in ungated:
        if event.loss is not None and event.loss.mean and not event.loss.divided and not block.is_by_hand:
            yield case(window.Mistake.UNSCALED, event, **facts)
            break
    if every and not found.flushes and step is block.last and _numbers_itself(loop, found):
        yield case(window.Mistake.REMAINDER, step, **facts)


def _numbers_itself(loop: Loop, gate: window.Gate) -> bool:
    """Whether the gate's counter is the loop's own number, which starts anew with every epoch."""
    return gate.start is not None and counts(loop, gate)


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
    spend(len(backwards))
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
    return any(_keys(event, loop) & keys for event in graph.events(Kind.BACKWARD, where=loop))
