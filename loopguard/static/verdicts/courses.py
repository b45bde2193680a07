"""What every lifecycle beside the gradients' needs: its violations on a graph, and cases made of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from enum import Enum

from loopguard.case import Case
from loopguard.events import Event, Kind, Moment
from loopguard.static.paths.effects import Course
from loopguard.static.paths.graph import FlowGraph, Happening, Loop
from loopguard.static.paths.guards import common_loops
from loopguard.static.paths.solve import Fact, stories
from loopguard.static.records import record
from loopguard.static.scope import File
from loopguard.static.verdicts import evidence

NOTES: Mapping[Kind, str] = {
    Kind.CLEAR: "gradients cleared",
    Kind.BACKWARD: "gradients computed",
    Kind.STEP: "the step",
    Kind.CLIP: "gradients clipped",
    Kind.UNSCALE: "gradients unscaled",
    Kind.UPDATE: "the scale is updated",
    Kind.SCHEDULE: "the schedule moves on",
    Kind.EVAL: "switched to evaluation",
    Kind.TRAIN: "switched to training",
    Kind.FORWARD: "forward pass",
    Kind.BUILD: "built here",
    Kind.REPLACE: "a part is replaced",
    Kind.EPOCH: "told the epoch",
}
"""What the evidence says of an event, unless a verdict knows better."""


@record
class Slip:
    """A mistake that a path proves: from the event that began its story to the one at which it shows."""

    mistake: Enum
    begins: Happening
    at: Happening
    path: tuple[Fact, ...]
    graph: FlowGraph

    @property
    def goes_round(self) -> Loop | None:
        """The innermost loop around both ends that the path goes round in; None if it stays within an iteration."""
        common = common_loops([self.begins, self.at])
        return evidence.last_loop_crossed(self.graph, list(self.path), common)


def slips(graph: FlowGraph, course: Course) -> Iterator[Slip]:
    """The violations on a course, those with the shortest paths first."""
    found = []
    for story in stories(graph, course):
        for violation in story.violations:
            path = tuple(violation.fact.path())
            begins, at = graph.nodes[path[0].node].event, graph.nodes[path[-1].node].event
            if begins is not None and at is not None:
                found.append(Slip(violation.mistake, begins, at, path, graph))
    yield from sorted(found, key=lambda slip: len(slip.path))


def case_of(
    file: File,
    mistake: Enum,
    subject: str,
    at: Happening,
    told: Sequence[Happening],
    *,
    loop: Loop | None = None,
    notes: Mapping[Kind, str] | None = None,
    iterations: Sequence[int] = (),
    facts: Mapping[str, str] | None = None,
) -> Case | None:
    """The case of `mistake` at an event, with `told` as evidence; None if it all happens in another file.

    `iterations` numbers the events that are told by the iteration of `loop` in which they happen.
    """
    if at.site.file is not file and (loop is None or loop.file is not file):
        return None
    words = {**NOTES, **(notes or {})}
    trail = tuple(
        Moment(
            event_in(file, event, subject),
            words.get(event.kind, ""),
            iterations[number] if number < len(iterations) and loop is not None and loop in event.loops else 0,
        )
        for number, event in enumerate(told)
    )
    quoted = {**({"loop": loop.text} if loop is not None else {}), **(facts or {})}
    return Case(mistake, subject, event_in(file, at, subject), trail, (), quoted)


def event_in(file: File, event: Happening, subject: str) -> Event:
    """An event as it is told to the reader of `file`."""
    return evidence.event_of(event, subject, evidence.place_in(file, event.site))


def along(slip: Slip, kinds: Sequence[Kind]) -> tuple[list[Happening], list[int]]:
    """The events of some kinds on the path of a slip, its ends included, and their iterations, counted from 1."""
    loop, iteration = slip.goes_round, 1
    events, numbers = [], []
    for fact in slip.path:
        node = slip.graph.nodes[fact.node]
        if node.again is not None and node.again is loop:
            iteration += 1
        event = node.event
        if event is not None and (event is slip.begins or event is slip.at or event.kind in kinds):
            events.append(event)
            numbers.append(iteration)
    return events, numbers
