"""What lowering has noted without any state, and losses whose graphs are kept: to cases."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import libcst as cst

from loopguard.case import Case
from loopguard.events import Event, Kind, Moment
from loopguard.lifecycles import loss, mode, source
from loopguard.static.lowering.context import Accumulation, Context
from loopguard.static.paths.graph import Happening, Loop
from loopguard.static.scope import File
from loopguard.static.steps import spend
from loopguard.static.syntax import text_of
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
    backwards = _Backwards(ctx.graph.events(Kind.BACKWARD))
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


class _Backwards:
    """Backward passes: what they differentiate, and which of them start from what."""

    def __init__(self, events: Iterable[Happening]) -> None:
        self.differentiated: set[int] = set()
        self.starting: dict[int, list[Happening]] = {}
        for event in events:
            ancestors = event.loss.ancestors if event.loss is not None else frozenset()
            self.differentiated |= ancestors
            if event.written and event.loops and ancestors:
                # Tensors count up from 1; things that may be tensors, down from -1.
                newest = max(ancestors)
                self.starting.setdefault(newest if newest > 0 else min(ancestors), []).append(event)


def _used_by(kept: Accumulation, backwards: _Backwards, resets: set[tuple[str, int]]) -> Happening | None:
    """The backward pass whose loss is kept, if the sum itself serves no backward pass and outlives its iteration."""
    if kept.total in backwards.differentiated or (kept.storage, kept.loops[-1].number) in resets:
        return None
    # What is kept is the loss, or was computed from it.
    starting = [event for number in kept.kept.ancestors for event in backwards.starting.get(number, ())]
    spend(len(starting) + 1)
    used = (event for event in starting if event.loops[-1] in kept.loops)
    return max(used, key=lambda event: event.number, default=None)


def _is_walked(loop: Loop, name: str) -> bool:
    """Whether a loop walks over losses that a collection keeps anyway, one of which is `name`."""
    return isinstance(loop.node, cst.For) and name in text_of(loop.node.target).split(", ")
