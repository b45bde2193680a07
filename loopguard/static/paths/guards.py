"""Guards: the conditions and loops that an event stands in, compared with those of other events."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from operator import attrgetter

from loopguard.lifecycles.window import Gate
from loopguard.static.paths.graph import Assumption, Happening, Loop

_number = attrgetter("number")

SYNC = "accelerator.sync_gradients"
"""The condition under which what `accumulate()` has wrapped does anything."""


def behind(events: Sequence[Happening], number: int) -> Sequence[Happening]:
    """Of events in the order of lowering, those behind this one."""
    return events[bisect_right(events, number, key=_number) :]


def before(events: Sequence[Happening], number: int) -> Iterator[Happening]:
    """Of events in the order of lowering, those before this one, the last of them first."""
    return (events[at] for at in range(bisect_left(events, number, key=_number) - 1, -1, -1))


def between(events: Sequence[Happening], first: int, last: int) -> Sequence[Happening]:
    """Of events in the order of lowering, those between these two."""
    return events[bisect_right(events, first, key=_number) : bisect_left(events, last, key=_number)]


def innermost(event: Happening) -> Loop | None:
    """The loop right around an event."""
    return event.loops[-1] if event.loops else None


def common_loops(events: Sequence[Happening]) -> tuple[Loop, ...]:
    """The loops that all of the events stand in, outermost first."""
    common = []
    for loop in events[0].loops:
        if all(loop in event.loops for event in events):
            common.append(loop)
    return tuple(common)


def guard_keys(event: Happening, loop: Loop | None) -> set[str]:
    """The conditions that an event depends on within `loop`."""
    return {guard.condition.key for guard in event.guards[loop.depth if loop is not None else 0 :]}


def nested(first: set[str], second: set[str]) -> bool:
    """Whether one of two events happens whenever the other does, as far as their conditions tell."""
    return first <= second or second <= first


def window_gate(event: Happening, loop: Loop) -> Assumption | None:
    """The accumulation gate that an event stands behind within `loop`."""
    for guard in event.guards[loop.depth :]:
        gate = guard.condition.gate
        if guard.condition.key == SYNC and guard.truth:
            return guard
        if gate is not None and guard.truth is not gate.inverted and not _is_numbered_outside(gate, event, loop):
            return guard
    return None


def _is_numbered_outside(gate: Gate, event: Happening, loop: Loop) -> bool:
    """Whether a gate counts the iterations of a loop around `loop`, within which it is open always or never."""
    outer = event.loops[: event.loops.index(loop)] if loop in event.loops else ()
    return not counts(loop, gate) and any(counts(other, gate) for other in outer)


def counts(loop: Loop, gate: Gate) -> bool:
    """Whether the counter of a gate is a target of a loop."""
    target = rf"for\b(?>.*?\b{re.escape(gate.counter)}\b).* in "  # what follows some mention follows the first
    return re.match(target, loop.text) is not None


def is_configured(guard: Assumption | None) -> bool:
    """Whether a guard is a gate whose window has a size that somebody may set: not `i % 100`, as for a log line."""
    gate = guard.condition.gate if guard is not None else None
    return gate is not None and not gate.size.isdecimal()
