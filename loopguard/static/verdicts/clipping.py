"""Clips on a graph that bound nothing which a step will use."""

from __future__ import annotations

from collections.abc import Iterator

from loopguard.case import Case
from loopguard.events import Kind, Relation
from loopguard.lifecycles import gradient
from loopguard.lifecycles.clipping import TRANSITIONS, Action, Mistake, State
from loopguard.static.collected import leaves
from loopguard.static.paths.automaton import ANYTHING, Automaton, Effect
from loopguard.static.paths.effects import Course, Effects, effects_of
from loopguard.static.paths.graph import FlowGraph, Happening, Loop
from loopguard.static.paths.guards import behind, guard_keys, innermost
from loopguard.static.paths.relations import touches
from loopguard.static.scope import File
from loopguard.static.values import Group, Params, Role, Thing, Value
from loopguard.static.verdicts import evidence
from loopguard.static.verdicts.clips import clips_of, concerns
from loopguard.static.verdicts.courses import Slip, along, case_of, slips

_CLIPPING = Automaton(
    TRANSITIONS,
    found={Action.STEP: State.FRESH, Action.CLEAR: State.USED},
    ends=frozenset({Action.STEP, Action.CLEAR, Action.BACKWARD}),
)
_ACTIONS = {
    gradient.Action.BACKWARD: Action.BACKWARD,
    gradient.Action.CLEAR: Action.CLEAR,
    gradient.Action.STEP: Action.STEP,
}


def clipping_cases(file: File, graph: FlowGraph) -> Iterator[Case]:
    """The cases about clips on `graph`."""
    clips = clips_of(graph)
    if not clips:
        return
    told: set[Happening] = set()
    for effects in effects_of(graph):
        for slip in slips(graph, Course(graph, _CLIPPING, _effects({*clips}, effects, graph))):
            if slip.at not in told and _is_proved(graph, effects, slip):
                case = _misplaced(file, effects, slip)
                if case is not None:
                    told.add(slip.at)
                    yield case
    held: dict[object, bool] = {}
    yield from (case for clip in clips if clip not in told for case in _elsewhere(file, graph, clip, held))


def _effects(clips: set[Happening], effects: Effects, graph: FlowGraph) -> dict[int, tuple[Effect, ...]]:
    found: dict[int, tuple[Effect, ...]] = {}
    for event in graph.events():
        if event in clips:
            if concerns(graph, effects, event):
                found[event.number] = (Effect(Action.CLIP),)
            continue
        made = tuple(item for effect in effects.of.get(event.number, ()) if (item := _effect(effect)) is not None)
        if made:
            found[event.number] = made
    return found


def _effect(effect: Effect) -> Effect | None:
    if effect.anything or effect.action is gradient.Action.ASSIGN:
        return ANYTHING
    for action, meaning in _ACTIONS.items():
        if effect.action is action:
            return Effect(meaning, effect.sure)
    return None


def _is_proved(graph: FlowGraph, effects: Effects, slip: Slip) -> bool:
    """Whether the gradients that a step uses are surely not those that were clipped."""
    loop = innermost(slip.at)
    if loop is None or loop not in slip.begins.loops or innermost(slip.begins) is not loop:
        return False
    if slip.goes_round is not None and (slip.goes_round is not loop or guard_keys(slip.begins, loop)):
        return False
    if slip.mistake is Mistake.AFTER_STEP:
        if slip.goes_round is not None:
            return _comes_to_nothing(graph, effects, slip.at, loop)
        # Behind a gate of its own, a step leaves the gradients of other iterations to be clipped.
        if not guard_keys(slip.begins, loop) <= guard_keys(slip.at, loop):
            return False
        return _is_cleared_next(graph, effects, slip)
    backwards = behind(graph.events(Kind.BACKWARD, where=slip.at.loops), slip.at.number)
    return any(guard_keys(event, loop) <= guard_keys(slip.at, loop) for event in backwards)


def _comes_to_nothing(graph: FlowGraph, effects: Effects, clip: Happening, loop: Loop) -> bool:
    """Whether the first thing that an iteration does to what it has clipped is to throw it away."""
    for event in behind(graph.events(where=loop), clip.number):
        if event.number in effects.of:
            cleared = all(effect.sure and effect.action is gradient.Action.CLEAR for effect in effects.of[event.number])
            return cleared and innermost(event) is loop and guard_keys(event, loop) <= guard_keys(clip, loop)
    return False


def _is_cleared_next(graph: FlowGraph, effects: Effects, slip: Slip) -> bool:
    """Whether what a clip leaves is thrown away in the end, not added to, nor stepped on once more before that."""
    if not any(effect.action is gradient.Action.CLEAR for made in effects.of.values() for effect in made):
        return False
    loop = innermost(slip.at)
    steps = [step for step in graph.events(Kind.STEP, where=loop) if step.target is effects.subject.optimizer]
    return all(event.number < slip.at.number or event.guards != slip.at.guards for event in steps)


def _misplaced(file: File, effects: Effects, slip: Slip) -> Case | None:
    told, iterations = along(slip, (Kind.BACKWARD, Kind.STEP, Kind.CLEAR))
    step = evidence.short(slip.begins.text) if slip.begins.kind is Kind.STEP else ""
    notes = {Kind.CLIP: "clipped, to no effect", Kind.STEP: "gradients used"}
    return case_of(
        file,
        slip.mistake,
        effects.subject.name,
        slip.at,
        told,
        loop=innermost(slip.at),
        notes=notes,
        iterations=iterations,
        facts={"step": step},
    )


def _is_plain(target: Value | None) -> bool:
    """Whether what is clipped are the parameters of networks, as they are: not what somebody has picked from them."""
    items = list(leaves(target)) if isinstance(target, Group) else [target]
    return bool(items) and all(
        isinstance(item, Params) and item.complete and all(thing.role is Role.MODULE for thing in item.of)
        for item in items
    )


def _holds(optimizer: object, clipped: Value | None) -> bool:
    """Whether what is clipped may be what an optimizer steps."""
    if not isinstance(optimizer, Thing) or optimizer.holds is None:
        return False
    return any(touches(clipped, optimizer, part) is not Relation.OTHER for part in optimizer.holds)


def _elsewhere(file: File, graph: FlowGraph, clip: Happening, held: dict[object, bool]) -> Iterator[Case]:
    """The case of a clip of parameters that no optimizer steps.

    `held` says of loops and optimizers that step in them whether these hold anything that is clipped there.
    """
    loop = innermost(clip)
    nearby = behind(graph.events(Kind.STEP, where=clip.loops), clip.number)
    if loop is None or not nearby or not _is_plain(clip.target):
        return
    for optimizer in dict.fromkeys(event.target for event in nearby):
        if (loop, optimizer) not in held:
            held[loop, optimizer] = any(_holds(optimizer, other.target) for other in clips_of(graph, loop))
        if held[loop, optimizer]:
            return  # what is stepped is clipped, too
    for optimizer in graph.targets(Kind.STEP):
        if not isinstance(optimizer, Thing) or optimizer.role is not Role.OPTIMIZER or optimizer.holds is None:
            return
        if any(touches(clip.target, optimizer, part) is not Relation.OTHER for part in optimizer.holds):
            return
    case = case_of(
        file,
        Mistake.WRONG_PARAMETERS,
        nearby[0].target.label if isinstance(nearby[0].target, Thing) else "",
        clip,
        [clip, nearby[0]],
        loop=loop,
        notes={Kind.CLIP: "these are clipped", Kind.STEP: "others are stepped"},
    )
    if case is not None:
        yield case
