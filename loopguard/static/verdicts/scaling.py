"""Loss scaling on a graph: steps past the scaler, clips of scaled gradients, scales that are never updated."""

from __future__ import annotations

from collections.abc import Iterator

from loopguard.case import Case
from loopguard.events import Kind, Relation
from loopguard.lifecycles import gradient
from loopguard.lifecycles.scaling import SCALES, STAGES, Action, Mistake, Scale, Stage
from loopguard.static.paths.automaton import ANYTHING, Automaton, Effect
from loopguard.static.paths.effects import Course, Effects, effects_of
from loopguard.static.paths.graph import FlowGraph, Happening, Loop
from loopguard.static.paths.guards import between, guard_keys, innermost, window_gate
from loopguard.static.scope import File
from loopguard.static.values import Thing, things_in
from loopguard.static.verdicts.clips import clips_of, concerns
from loopguard.static.verdicts.courses import Slip, along, case_of, slips

_SCALE = Automaton(
    SCALES,
    found={Action.SCALED_BACKWARD: Scale.CLEAN, Action.BACKWARD: Scale.CLEAN},
    ends=frozenset({Action.CLEAR, Action.STEP, Action.SCALER_STEP}),
)
_STAGE = Automaton(
    STAGES,
    found={Action.SCALER_STEP: Stage.READY, Action.UNSCALE: Stage.READY},
    ends=frozenset({Action.UPDATE, Action.SCALER_STEP}),
)
_TOLD = (Kind.BACKWARD, Kind.UNSCALE, Kind.CLIP, Kind.STEP, Kind.UPDATE)


def scaling_cases(file: File, graph: FlowGraph) -> Iterator[Case]:
    """The cases about gradient scalers on `graph`."""
    if not any(event.scaler is not None or _is_scaled(event) for event in graph.events()):
        return
    told: set[tuple[Mistake, Happening]] = set()
    for effects in effects_of(graph):
        found = [*slips(graph, Course(graph, _SCALE, _scales(graph, effects)))]
        for scaler in _scalers_of(graph, effects.subject.optimizer):
            found += slips(graph, Course(graph, _STAGE, _stages(graph, effects, scaler)))
        for slip in found:
            mistake = Mistake(slip.mistake)
            case = _case(file, graph, effects, slip) if (mistake, slip.at) not in told else None
            if case is not None:
                told.add((mistake, slip.at))
                yield case


def _is_scaled(event: Happening) -> bool:
    return event.loss is not None and event.loss.scaled


def _scalers_of(graph: FlowGraph, optimizer: Thing) -> list[Thing]:
    steps = graph.events(Kind.STEP, where=optimizer)
    return list(dict.fromkeys(event.scaler for event in steps if event.scaler is not None))


def _scales(graph: FlowGraph, effects: Effects) -> dict[int, tuple[Effect, ...]]:
    """What each event does to the scale of an optimizer's gradients."""
    found: dict[int, tuple[Effect, ...]] = {}
    clips = clips_of(graph)
    for event in graph.events():
        if event.kind is Kind.CLIP:
            if event in clips and concerns(graph, effects, event):
                found[event.number] = (Effect(Action.CLIP),)
            continue
        if event.kind is Kind.UNSCALE:
            relation = effects.relation(event)
            if relation is not Relation.OTHER:
                found[event.number] = (ANYTHING if relation is Relation.UNKNOWN else Effect(Action.UNSCALE),)
            continue
        made = tuple(item for effect in effects.of.get(event.number, ()) if (item := _scale(event, effect)))
        if made:
            found[event.number] = made
    return found


def _scale(event: Happening, effect: Effect) -> Effect | None:
    action = effect.action
    if effect.anything or action is gradient.Action.ASSIGN:
        return ANYTHING
    if action is gradient.Action.BACKWARD:
        return Effect(Action.SCALED_BACKWARD if _is_scaled(event) else Action.BACKWARD, effect.sure)
    if action is gradient.Action.CLEAR:
        return Effect(Action.CLEAR, effect.sure)
    if action is gradient.Action.STEP:
        if event.scaler is None and event.via:
            return ANYTHING  # somebody else decides how it steps
        return Effect(Action.SCALER_STEP if event.scaler is not None else Action.STEP, effect.sure)
    return None


def _stages(graph: FlowGraph, effects: Effects, scaler: Thing) -> dict[int, tuple[Effect, ...]]:
    """What each event does to the stage of `scaler` with an optimizer."""
    optimizer = effects.subject.optimizer
    found: dict[int, tuple[Effect, ...]] = {}
    for event in graph.events(Kind.UPDATE, Kind.STEP, Kind.UNSCALE, Kind.UNKNOWN):
        effect: Effect | None = None
        if event.kind is Kind.UPDATE:
            same = event.scaler is scaler
            effect = Effect(Action.UPDATE) if same else None if _distinct(event.scaler, scaler) else ANYTHING
        elif event.kind is Kind.STEP and event.target is optimizer and event.scaler is scaler:
            effect = Effect(Action.SCALER_STEP, sure=not event.maybe)
        elif event.kind is Kind.UNSCALE and optimizer in things_in(event.target):
            effect = Effect(Action.UNSCALE) if event.scaler is scaler else ANYTHING
        elif event.kind is Kind.UNKNOWN:
            reached = list(things_in(event.target))
            effect = ANYTHING if event.target is None or scaler in reached or optimizer in reached else None
        if effect is not None:
            found[event.number] = (effect,)
    return found


def _case(file: File, graph: FlowGraph, effects: Effects, slip: Slip) -> Case | None:
    mistake = Mistake(slip.mistake)
    if not _PROVED[mistake](graph, effects, slip):
        return None
    loop = slip.goes_round or innermost(slip.at)
    scaler = slip.at.scaler
    subject = effects.subject.name
    if mistake is Mistake.NO_UPDATE and scaler is not None:
        subject = scaler.label
    told, iterations = along(slip, _TOLD)
    window = _window(graph, effects, slip) if mistake is Mistake.UNSCALED_TWICE else ""
    return case_of(
        file,
        mistake,
        subject,
        slip.at,
        told,
        loop=loop,
        notes={Kind.BACKWARD: "gradients of the scaled loss" if _is_scaled(slip.begins) else "gradients computed"},
        iterations=iterations,
        facts={"window": window} if window else {},
    )


def _same_choice(graph: FlowGraph, effects: Effects, slip: Slip) -> bool:
    """Whether nothing decides between the two ends: a scaler may be switched off by what chooses how to step.

    A window's gate chooses when, not how.
    """
    chosen = {guard.condition.key for guard in slip.at.guards if guard.condition.gate is None}
    return chosen <= guard_keys(slip.begins, None) and slip.goes_round is None


def _never_unscaled(graph: FlowGraph, effects: Effects, slip: Slip) -> bool:
    """Whether nothing unscales these gradients before the clip, on whatever path."""
    return slip.goes_round is None and not any(
        effects.relation(event) is not Relation.OTHER
        for event in between(graph.events(Kind.UNSCALE), slip.begins.number, slip.at.number)
    )


def _never_updated(graph: FlowGraph, effects: Effects, slip: Slip) -> bool:
    loop = slip.goes_round
    if slip.begins.kind is not Kind.STEP or loop is None or loop is not innermost(slip.at):
        return False
    return all(_distinct(event.scaler, slip.at.scaler) for event in graph.events(Kind.UPDATE, where=loop))


def _distinct(scaler: Thing | None, other: Thing | None) -> bool:
    """Whether two scalers are surely not the same."""
    return scaler is not other and scaler is not None and other is not None and scaler.known and other.known


def _twice(graph: FlowGraph, effects: Effects, slip: Slip) -> bool:
    """Whether gradients are surely unscaled twice: one after the other, or in every microbatch of a window."""
    if slip.begins.kind is not Kind.UNSCALE:
        return False
    loop = slip.goes_round
    if loop is None:
        return guard_keys(slip.begins, None) <= guard_keys(slip.at, None)
    if slip.begins is slip.at:
        return window_gate(slip.at, loop) is None and _window(graph, effects, slip) != ""
    return _meet(graph, effects, slip, loop)


def _meet(graph: FlowGraph, effects: Effects, slip: Slip, loop: Loop) -> bool:
    """Whether an iteration surely ends with gradients unscaled, and the next one unscales before anything else."""
    if any(innermost(end) is not loop or guard_keys(end, loop) for end in (slip.begins, slip.at)):
        return False
    return all(
        slip.at.number < event.number < slip.begins.number
        for event in graph.events(Kind.UPDATE, Kind.STEP, Kind.UNKNOWN, where=loop)
    )


def _window(graph: FlowGraph, effects: Effects, slip: Slip) -> str:
    """The gate of a window, as written, in each of whose batches a path unscales; empty if there is none."""
    loop = slip.goes_round
    if loop is None or loop is not innermost(slip.at):
        return ""
    for event in graph.events(Kind.STEP, where=loop):
        if event.target is effects.subject.optimizer:
            gate = window_gate(event, loop)
            if gate is not None:
                return gate.condition.text
    return ""


def _late(graph: FlowGraph, effects: Effects, slip: Slip) -> bool:
    return slip.goes_round is None and slip.begins.kind is Kind.STEP


_PROVED = {
    Mistake.NO_UPDATE: _never_updated,
    Mistake.BYPASSED: _same_choice,
    Mistake.UNSCALED_LOSS: _same_choice,
    Mistake.CLIPPED_SCALED: _never_unscaled,
    Mistake.UNSCALED_TWICE: _twice,
    Mistake.UNSCALED_LATE: _late,
}
"""For each mistake, whether the path of a slip proves it."""
