"""What several ranks are not told on a graph: which epoch it is, and when not to exchange gradients."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace

from loopguard.case import Case
from loopguard.events import Event, Kind, Moment
from loopguard.lifecycles.sampling import Mistake
from loopguard.static.paths.graph import FlowGraph, Happening, Loop, Site
from loopguard.static.paths.guards import guard_keys, innermost, window_gate
from loopguard.static.scope import File
from loopguard.static.syntax import text_of
from loopguard.static.values import Role, Thing
from loopguard.static.verdicts import evidence
from loopguard.static.verdicts.courses import case_of, event_in
from loopguard.static.wording import OF_TEXTS, Wording

_EPOCH = re.compile(r"epoch", re.IGNORECASE)
_EVALUATES = re.compile(r"val|test|eval|(?:^|_)dev(?:_|$)|query|gallery", re.IGNORECASE)
_TELLS = Wording(r"set_epoch|DistributedSamplerWrapper|accelerat|lightning|ignite", re.IGNORECASE, size=OF_TEXTS)
_SYNCS = Wording(r"no_sync|require_backward_grad_sync|set_requires_gradient_sync", size=OF_TEXTS)


def replica_cases(file: File, graph: FlowGraph) -> Iterator[Case]:
    """The cases about distributed samplers and replicated modules on `graph`."""
    if Kind.BACKWARD in graph.kinds:
        yield from _untold(file, graph)
        yield from _exchanged(file, graph)


def _untold(file: File, graph: FlowGraph) -> Iterator[Case]:
    """Epochs that are trained on data of a sampler that shuffles, and is not told which one it is."""
    if Kind.EPOCH in graph.kinds:
        return
    built = {event.target: event for event in graph.events(Kind.BUILD)}
    for event in graph.events(Kind.BACKWARD):
        if len(event.loops) < 2 or not event.loops[-1].batches:
            continue
        samplers = list(_samplers(event.loops[-1].over))
        epochs = [loop for loop in event.loops[:-1] if _EPOCH.search(loop.text)]
        if not samplers or not epochs or _TELLS.search(file.source.text):
            continue
        if any(loop.file is None or _TELLS.search(loop.file.source.text) for loop in event.loops):
            continue
        for sampler in samplers:
            made = built.get(sampler)
            if made is not None and (epochs[0] in made.loops or _TELLS.search(made.site.file.source.text)):
                continue
            at = _header(file, epochs[0], event)
            trail: tuple[Moment, ...] = (
                Moment(at, "the epochs"),
                Moment(event_in(file, event, "loss"), "the same order in each of them"),
            )
            if made is not None and made.site.file is file:
                trail = (Moment(event_in(file, made, sampler.label), "built once"), *trail)
            sampled = sampler.label or sampler.dotted.rsplit(".", 1)[-1]
            yield Case(Mistake.NO_EPOCH, sampled, at, trail, (), {"loop": epochs[0].text})
            return


def _samplers(things: Iterable[Thing]) -> Iterator[Thing]:
    """The distributed samplers for training that things draw their data from."""
    seen: set[Thing] = set()
    todo = list(things)
    while todo:
        thing = todo.pop()
        if thing in seen:
            continue
        seen.add(thing)
        todo += [item for item in thing.captured if item.role in (Role.DATA, Role.OPAQUE)]
        call = thing.call
        if call is not None and thing.dotted.endswith("DistributedSampler"):
            fixed = any(
                argument.keyword is not None
                and argument.keyword.value == "shuffle"
                and text_of(argument.value) == "False"
                for argument in call.args
            )
            if not fixed and not _EVALUATES.search(f"{thing.label} {text_of(call)}"):
                yield thing


def _header(file: File, loop: Loop, inside: Happening) -> Event:
    """The first line of a loop, or the call in `file` that leads to it: there the epoch has to be told."""
    assert loop.file is not None and loop.node is not None
    place = evidence.place_in(file, Site(loop.file, loop.node, inside.site.calls))
    if loop.file is file:
        line = file.tree.lines[file.tree.range(loop.node)[0] - 1]
        place = replace(place, end_row=place.row, end_column=len(line.rstrip()) + 1)
    return Event(Kind.EPOCH, loop.text, place, loop.text)


def _exchanged(file: File, graph: FlowGraph) -> Iterator[Case]:
    """Backward passes of a window that all exchange gradients, although only the last needs to."""
    for step in graph.events(Kind.STEP):
        loop = innermost(step)
        gate = window_gate(step, loop) if loop is not None else None
        if loop is None or gate is None or gate.condition.gate is None or _SYNCS.search(file.source.text):
            continue
        for event in graph.events(Kind.BACKWARD, where=step.loops):
            if not event.via:
                module = _replicated(event)
                if module is not None and gate.condition.key not in guard_keys(event, loop):
                    yield from _told(file, event, step, module, loop, gate.condition.gate.text)
                    return


def _replicated(backward: Happening) -> Thing | None:
    sources = backward.loss.sources if backward.loss is not None else ()
    return next((thing for thing in sources if thing.replicated), None)


def _told(file: File, backward: Happening, step: Happening, module: Thing, loop: Loop, window: str) -> Iterator[Case]:
    case = case_of(
        file,
        Mistake.NO_SYNC,
        module.label,
        backward,
        [backward, step],
        loop=loop,
        notes={Kind.BACKWARD: "gradients exchanged in every iteration", Kind.STEP: "used once per window"},
        facts={"window": window},
    )
    if case is not None:
        yield case
