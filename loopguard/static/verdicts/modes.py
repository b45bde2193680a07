"""Modes on a graph: training that goes on in evaluation mode, validation that runs in training mode."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import libcst as cst

from loopguard.case import Case
from loopguard.events import Kind, Relation
from loopguard.lifecycles.mode import TRANSITIONS, Action, Mistake, State
from loopguard.static.paths.automaton import ANYTHING, Automaton, Effect
from loopguard.static.paths.effects import Course
from loopguard.static.paths.graph import FlowGraph, Happening, Loop
from loopguard.static.paths.guards import innermost
from loopguard.static.paths.relations import covers, touches
from loopguard.static.scope import File
from loopguard.static.syntax import descendants
from loopguard.static.values import Role, Thing, things_in
from loopguard.static.verdicts import evidence
from loopguard.static.verdicts.courses import Slip, along, case_of, slips
from loopguard.static.verdicts.modeless import is_modeless, is_unreadable

_MODE = Automaton(
    TRANSITIONS,
    found={Action.TRAIN: State.EVAL, Action.EVAL: State.TRAIN},
    ends=frozenset({Action.TRAIN, Action.EVAL}),
)
_RESTORES = re.compile(r"train|mode|\bwas\b|was_|prev|\bold|before", re.IGNORECASE)
_TAKES_GRADIENTS = re.compile(r"(?<!zero_)(?<!no_)grad\(|requires_grad_\(\)|set_grad_enabled|retain_grad|enable_grad")


def mode_cases(file: File, graph: FlowGraph) -> Iterator[Case]:
    """The cases about the modes of modules on `graph`."""
    if Kind.FORWARD not in graph.kinds:
        return
    events = graph.events()
    switched = {thing for event in events if event.kind in (Kind.EVAL, Kind.TRAIN) for thing in things_in(event.target)}
    learning = {event for event in events if event.kind is Kind.FORWARD and _is_learning(graph, event)}
    trains = any(event.kind is Kind.BACKWARD and event.loops for event in events)
    told: set[Happening] = set()
    for module in sorted(switched, key=lambda thing: thing.number):
        yield from _recording(file, graph, module, learning)
        if not trains:
            continue  # what follows is about training that goes on
        if is_modeless(module) or (is_unreadable(module) and not _is_switched_back(events, module)):
            continue
        course = Course(graph, _MODE, _effects(graph, module, learning))
        for slip in slips(graph, course):
            case = _VERDICTS[Mistake(slip.mistake)](file, graph, module, slip)
            key = slip.begins if slip.mistake is Mistake.NOT_RESTORED else slip.at
            if case is not None and key not in told:
                told.add(key)
                yield case


def _is_switched_back(events: Sequence[Happening], module: Thing) -> bool:
    """Whether some loop switches a module to training: whoever wrote that wants its mode to change."""
    return any(event.kind is Kind.TRAIN and event.target is module and event.loops for event in events)


def _effects(graph: FlowGraph, module: Thing, learning: set[Happening]) -> dict[int, tuple[Effect, ...]]:
    """What each event does to the mode of a module, or asks of it."""
    found: dict[int, tuple[Effect, ...]] = {}
    for event in graph.events():
        effect = None
        if event.kind in (Kind.EVAL, Kind.TRAIN):
            effect = _switch(event, module)
        elif event.kind is Kind.FORWARD and event.target is module:
            if event in learning:
                effect = Effect(Action.LEARN)
            elif _is_validation(graph, event):
                effect = Effect(Action.VALIDATE)
        elif event.kind is Kind.UNKNOWN:
            reached = {covers(thing, module) for thing in things_in(event.target)}
            effect = ANYTHING if event.target is None or not reached <= {Relation.OTHER} else None
        if effect is not None:
            found[event.number] = (effect,)
    return found


def _switch(event: Happening, module: Thing) -> Effect | None:
    action = Action.EVAL if event.kind is Kind.EVAL else Action.TRAIN
    relations = {covers(thing, module) for thing in things_in(event.target)}
    if relations <= {Relation.OTHER}:
        return None
    if event.target is module or any(thing in module.owners() for thing in things_in(event.target)):
        return ANYTHING if event.maybe or _restores(event) else Effect(action)
    return ANYTHING if Relation.UNKNOWN in relations or Relation.WHOLE in relations else None


def _restores(event: Happening) -> bool:
    """Whether a switch brings back the mode that was there before: `if was_training: model.train()`."""
    return event.kind is Kind.TRAIN and any(_RESTORES.search(guard.condition.text) for guard in event.guards)


def _is_learning(graph: FlowGraph, forward: Happening) -> bool:
    """Whether a forward pass is one of training: its loop runs backward and steps the module's parameters."""
    loop = innermost(forward)
    if loop is None or forward.grad_off:
        return False
    inside = [event for event in graph.events() if innermost(event) is loop]
    if not any(event.kind is Kind.BACKWARD and event.number > forward.number for event in inside):
        return False
    return any(event.kind is Kind.STEP and _may_hold(event.target, forward.target) for event in inside)


def _may_hold(optimizer: object, module: object) -> bool:
    if not isinstance(optimizer, Thing) or not isinstance(module, Thing):
        return False
    if optimizer.holds is None:
        return optimizer.role is Role.OPTIMIZER
    return any(touches(module, optimizer, part) in (Relation.WHOLE, Relation.PART) for part in optimizer.holds)


def _is_validation(graph: FlowGraph, forward: Happening) -> bool:
    """Whether a forward pass is one of a pass over data that trains nothing and records nothing."""
    loop = innermost(forward)
    if loop is None or not loop.batches or not forward.grad_off or _is_bare(forward, loop):
        return False
    return not any(event.kind in (Kind.BACKWARD, Kind.STEP) and loop in event.loops for event in graph.events())


def _is_bare(forward: Happening, loop: Loop) -> bool:
    """Whether nobody takes the result of a forward pass, which is there for the running statistics then."""
    nodes = list(descendants(loop.node)) if loop.node is not None else []
    for node in nodes:
        if isinstance(node, cst.Expr) and node.value is forward.site.node:
            return True
        if isinstance(node, cst.Assign) and node.value is forward.site.node:
            targets = [item.target for item in node.targets]
            names = {target.value for target in targets if isinstance(target, cst.Name)}
            uses = [item for item in nodes if isinstance(item, cst.Name) and item.value in names]
            return len(uses) == len(targets) == len(names)
    return False


def _is_near(event: Happening, other: Happening) -> bool:
    """Whether two events stand in one call of a function."""
    return event.site.calls == other.site.calls


def _has_nothing_to_do(slip: Slip, events: Sequence[Happening]) -> bool:
    """Whether an evaluation that switches back at its end is left before it has evaluated anything."""
    switches_back = any(
        event.kind is Kind.TRAIN and event.number > slip.begins.number and _is_near(event, slip.begins)
        for event in events
    )
    passed = (slip.graph.nodes[fact.node].event for fact in slip.path[1:])
    return (
        bool(slip.begins.site.calls)
        and switches_back
        and not any(event is not None and _is_near(event, slip.begins) for event in passed)
    )


def _not_restored(file: File, graph: FlowGraph, module: Thing, slip: Slip) -> Case | None:
    """Training that goes on, an iteration later, in the mode that an evaluation has left behind."""
    loop, events = slip.goes_round, graph.events()
    if loop is None or slip.begins.kind is not Kind.EVAL:
        return None  # in evaluation mode right from the start of an iteration: somebody wants it so
    if _has_nothing_to_do(slip, events):
        return None
    if any(_restores(event) and _is_near(event, slip.begins) and event.number > slip.begins.number for event in events):
        return None
    told, iterations = along(slip, ())
    learns = next(
        event
        for event in events
        if event.kind is Kind.BACKWARD and innermost(event) is innermost(slip.at) and event.number > slip.at.number
    )
    return case_of(
        file,
        Mistake.NOT_RESTORED,
        module.label,
        slip.begins,
        [*told, learns],
        loop=loop,
        notes={Kind.FORWARD: "training goes on in evaluation mode"},
        iterations=[*iterations, iterations[-1]],
        facts={"learn": evidence.short(learns.text)},
    )


def _not_eval(file: File, graph: FlowGraph, module: Thing, slip: Slip) -> Case | None:
    """A validation pass in the mode in which the module was trained."""
    events = graph.events()
    trained = any(event.kind is Kind.BACKWARD and event.loops for event in events)
    if slip.begins.kind is not Kind.TRAIN or not trained or _is_adversary(events, module):
        return None
    between = range(slip.begins.number, slip.at.number)
    if any(event.kind is Kind.EVAL and event.number in between and _is_near(event, slip.at) for event in events):
        return None  # under a condition of which nobody knows whether it can fail (`isinstance(net, nn.Module)`)
    told, _ = along(slip, (Kind.TRAIN,))
    return case_of(
        file,
        Mistake.NOT_EVAL,
        module.label,
        slip.at,
        told,
        loop=innermost(slip.at),
        notes={Kind.FORWARD: "validation, still in training mode"},
    )


def _is_adversary(events: Sequence[Happening], module: Thing) -> bool:
    """Whether a module is trained through another one, which another optimizer steps: a generator, say.

    Those are commonly sampled in training mode, with the statistics of the batch.
    """
    steppers = [thing for event in events if event.kind is Kind.STEP for thing in things_in(event.target)]
    others = {held for stepper in steppers if not _may_hold(stepper, module) for held in stepper.holds or ()}
    return any(
        event.loss is not None and module in event.loss.sources and not others.isdisjoint(event.loss.sources)
        for event in events
        if event.kind is Kind.BACKWARD
    )


_VERDICTS = {Mistake.NOT_RESTORED: _not_restored, Mistake.NOT_EVAL: _not_eval}


def _recording(file: File, graph: FlowGraph, module: Thing, learning: set[Happening]) -> Iterator[Case]:
    """The cases of passes over data in evaluation mode that record a graph for nobody."""
    for switch in graph.events():
        if switch.kind is not Kind.EVAL or switch.target is not module:
            continue
        for forward in graph.events():
            loop = innermost(forward)
            if forward.kind is not Kind.FORWARD or forward.target is not module or forward in learning or loop is None:
                continue
            if ".generate(" in forward.text:
                continue  # which records nothing, as transformers has it
            near = forward.site.calls == switch.site.calls and forward.number > switch.number
            if near and forward.loops[:-1] == switch.loops and not forward.grad_off and _uses_no_graph(graph, loop):
                case = case_of(
                    file,
                    Mistake.BUILDS_GRAPH,
                    module.label,
                    forward,
                    [switch, forward],
                    loop=loop,
                    notes={Kind.FORWARD: "a graph is recorded for nobody"},
                )
                if case is not None:
                    yield case


def _uses_no_graph(graph: FlowGraph, loop: Loop) -> bool:
    """Whether a pass over data surely needs no gradient."""
    busy = (Kind.BACKWARD, Kind.STEP, Kind.ASSIGN, Kind.READ, Kind.UNKNOWN, Kind.TRAIN)
    if not loop.batches or any(event.kind in busy and loop in event.loops for event in graph.events()):
        return False
    return loop.file is not None and _TAKES_GRADIENTS.search(loop.file.source.text) is None
