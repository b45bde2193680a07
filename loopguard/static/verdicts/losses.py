"""What lowering has noted without any state, and losses whose graphs are kept: to cases."""

from __future__ import annotations

from collections.abc import Iterator

import libcst as cst

from loopguard.case import Case
from loopguard.events import Event, Kind, Moment
from loopguard.lifecycles import loss, mode, source
from loopguard.static.lowering.context import Accumulation, Context
from loopguard.static.paths.graph import Happening, Loop
from loopguard.static.scope import File
from loopguard.static.syntax import text_of
from loopguard.static.values import Tensor
from loopguard.static.verdicts import evidence


def noted_cases(file: File, ctx: Context) -> Iterator[Case]:
    """The cases of mistakes that need no state to be seen."""
    for note in ctx.notes:
        if note.site.file is not file:
            continue  # the other file tells it
        if note.mistake is loss.Mistake.LAST_ONLY and Kind.STEP not in ctx.graph.kinds:
            continue
        kind = Kind.BACKWARD if isinstance(note.mistake, loss.Mistake | mode.Mistake) else Kind.STEP
        if note.mistake is source.Mistake.UNCALLED:
            kind = Kind.UNKNOWN
        place = evidence.place_in(file, note.site)
        event = Event(kind, note.subject, place, evidence.short(note.text))
        yield Case(note.mistake, note.subject, event, facts=note.facts)


def retained_cases(file: File, ctx: Context) -> Iterator[Case]:
    """The cases of losses that are summed or collected with their graphs, iteration after iteration."""
    if not ctx.accumulations or Kind.BACKWARD not in ctx.graph.kinds:
        return
    backwards = [event for event in ctx.graph.events() if event.kind is Kind.BACKWARD and event.loss is not None]
    for kept in ctx.accumulations:
        used = _used_by(kept, backwards, ctx.resets)
        if used is not None and kept.site.file is file and not _is_walked(kept.loops[-1], used.written):
            place = evidence.place_in(file, kept.site)
            name = used.written
            at = Event(Kind.UNKNOWN, name, place, evidence.short(kept.text))
            trail = (
                Moment(evidence.event_of(used, name), "backward pass through the loss's graph"),
                Moment(at, f"`{kept.into}` keeps the loss, and with it the graph"),
            )
            yield Case(loss.Mistake.RETAINED, name, at, trail, (), {"into": kept.into, "loop": kept.loops[-1].text})


def _used_by(kept: Accumulation, backwards: list[Happening], resets: set[tuple[str, int]]) -> Happening | None:
    """The backward pass whose loss is kept, if the sum itself serves no backward pass and outlives its iteration."""
    found = None
    for event in backwards:
        assert event.loss is not None
        if kept.total in event.loss.ancestors:
            return None  # the sum is there to be differentiated
        if event.written and _is_kept(event.loss, kept.kept):
            if event.loops and kept.loops and event.loops[-1] in kept.loops:
                found = event
    if found is None or (kept.storage, kept.loops[-1].number) in resets:
        return None
    return found


def _is_kept(used: Tensor, kept: Tensor) -> bool:
    """Whether `kept` is `used`, or was computed from it."""
    if not used.ancestors:
        return False
    # Tensors count up from 1; things that may be tensors, down from -1.
    newest = max(used.ancestors)
    return (newest if newest > 0 else min(used.ancestors)) in kept.ancestors


def _is_walked(loop: Loop, name: str) -> bool:
    """Whether a loop walks over losses that a collection keeps anyway, one of which is `name`."""
    return isinstance(loop.node, cst.For) and name in text_of(loop.node.target).split(", ")
