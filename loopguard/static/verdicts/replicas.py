"""What several ranks are not told on a graph: which epoch it is, and when not to exchange gradients."""

from __future__ import annotations

import re
from collections.abc import Iterator

from loopguard.case import Case
from loopguard.events import Kind
from loopguard.lifecycles.sampling import Mistake
from loopguard.static.paths.graph import FlowGraph, Happening, Loop
from loopguard.static.paths.guards import guard_keys, innermost, window_gate
from loopguard.static.scope import File
from loopguard.static.syntax import text_of
from loopguard.static.values import Thing
from loopguard.static.verdicts.courses import case_of

_EPOCH = re.compile(r"epoch", re.IGNORECASE)
_EVALUATES = re.compile(r"val|test|eval|(?:^|_)dev(?:_|$)|query|gallery", re.IGNORECASE)
_TELLS = re.compile(r"set_epoch|DistributedSamplerWrapper|accelerat|lightning|ignite", re.IGNORECASE)
_SYNCS = re.compile(r"no_sync|require_backward_grad_sync|set_requires_gradient_sync")


def replica_cases(file: File, graph: FlowGraph) -> Iterator[Case]:
    """The cases about distributed samplers and replicated modules on `graph`."""
    events = graph.events()
    for event in events:
        if event.kind is Kind.BUILD and isinstance(event.target, Thing):
            if event.target.dotted.endswith("DistributedSampler"):
                yield from _untold(file, graph, event, event.target)
    yield from _exchanged(file, graph)


def _untold(file: File, graph: FlowGraph, built: Happening, sampler: Thing) -> Iterator[Case]:
    """A sampler that shuffles, over several epochs, without being told which one it is."""
    call = sampler.call
    if call is None or any(
        argument.keyword is not None and argument.keyword.value == "shuffle" and text_of(argument.value) == "False"
        for argument in call.args
    ):
        return
    if _EVALUATES.search(f"{sampler.label} {text_of(call)}"):
        return
    if _TELLS.search(file.source.text) or _TELLS.search(built.site.file.source.text):
        return
    for event in graph.events():
        epochs = [loop for loop in event.loops[:-1] if _EPOCH.search(loop.text)]
        if event.kind is Kind.BACKWARD and epochs and event.loops[-1].batches and epochs[0] not in built.loops:
            case = case_of(
                file,
                Mistake.NO_EPOCH,
                sampler.label or "sampler",
                built,
                [built, event],
                loop=epochs[0],
                notes={Kind.BUILD: "built once", Kind.BACKWARD: "trained with, in the same order every epoch"},
            )
            if case is not None:
                yield case
            return


def _exchanged(file: File, graph: FlowGraph) -> Iterator[Case]:
    """Backward passes of a window that all exchange gradients, although only the last needs to."""
    if _SYNCS.search(file.source.text):
        return
    for step in graph.events():
        loop = innermost(step)
        gate = window_gate(step, loop) if step.kind is Kind.STEP and loop is not None else None
        if loop is None or gate is None or gate.condition.gate is None:
            continue
        for event in graph.events():
            if event.kind is Kind.BACKWARD and innermost(event) is loop and not event.via:
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
