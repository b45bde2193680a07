"""Modes on a graph: training that goes on in evaluation mode, validation that runs in training mode."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

import libcst as cst

from loopguard.case import Case
from loopguard.events import Kind, Relation
from loopguard.lifecycles.mode import TRANSITIONS, Action, Mistake, State
from loopguard.static.caches import remembered
from loopguard.static.paths.automaton import ANYTHING, Automaton, Effect
from loopguard.static.paths.effects import Course
from loopguard.static.paths.graph import FlowGraph, Happening, Loop
from loopguard.static.paths.guards import behind, between, innermost
from loopguard.static.paths.relations import covers, touches
from loopguard.static.scope import File
from loopguard.static.syntax import descendants
from loopguard.static.values import Role, Thing, things_in
from loopguard.static.verdicts import evidence
from loopguard.static.verdicts.courses import Slip, along, case_of, slips
from loopguard.static.verdicts.modeless import is_modeless, is_unreadable
from loopguard.static.wording import OF_TEXTS, Wording

_MODE = Automaton(
    TRANSITIONS,
    found={Action.TRAIN: State.EVAL, Action.EVAL: State.TRAIN},
    ends=frozenset({Action.TRAIN, Action.EVAL}),
)
_RESTORES = re.compile(r"train|mode|\bwas\b|was_|prev|\bold|before", re.IGNORECASE)
_TAKES_GRADIENTS = Wording(
    r"(?<!zero_)(?<!no_)grad\(|requires_grad_\(\)|set_grad_enabled|retain_grad|enable_grad", size=OF_TEXTS
)


def mode_cases(file: File, graph: FlowGraph) -> Iterator[Case]:
    """The cases about the modes of modules on `graph`."""
    if Kind.FORWARD not in graph.kinds:
        return
    switches = graph.events(Kind.EVAL, Kind.TRAIN)
    switched = {thing for event in switches for thing in things_in(event.target)}
    learning = {event for event in graph.events(Kind.FORWARD) if _is_learning(graph, event)} if switched else set()
    trains = any(event.loops for event in graph.events(Kind.BACKWARD))
    told: set[Happening] = set()
    for module in sorted(switched, key=lambda thing: thing.number):
        yield from _recording(file, graph, module, learning)
        if not trains:
            continue  # what follows is about training that goes on
        if is_modeless(module) or (is_unreadable(module) and not _is_switched_back(graph, module)):
            continue
        course = Course(graph, _MODE, _effects(graph, module, learning))
        for slip in slips(graph, course):
            case = _VERDICTS[Mistake(slip.mistake)](file, graph, module, slip)
            key = slip.begins if slip.mistake is Mistake.NOT_RESTORED else slip.at
            if case is not None and key not in told:
                told.add(key)
                yield case


def _is_switched_back(graph: FlowGraph, module: Thing) -> bool:
    """Whether some loop switches a module to training: whoever wrote that wants its mode to change."""
    return any(event.loops for event in graph.events(Kind.TRAIN, where=module))


def _effects(graph: FlowGraph, module: Thing, learning: set[Happening]) -> dict[int, tuple[Effect, ...]]:
    """What each event does to the mode of a module, or asks of it."""
    found: dict[int, tuple[Effect, ...]] = {}
    for event in graph.events(Kind.EVAL, Kind.TRAIN, Kind.FORWARD, Kind.UNKNOWN):
        effect = None
        if event.kind in (Kind.EVAL, Kind.TRAIN):
            effect = _switch(event, module)
        elif event.kind is Kind.FORWARD:
            if event.target is not module:
                continue
            if event in learning:
                effect = Effect(Action.LEARN)
            elif _is_validation(graph, event):
                effect = Effect(Action.VALIDATE)
        else:
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
    if not behind(graph.events(Kind.BACKWARD, where=forward.loops), forward.number):
        return False
    steps = graph.events(Kind.STEP, where=forward.loops)
    return any(_may_hold(optimizer, forward.target) for optimizer in dict.fromkeys(event.target for event in steps))


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
    return not graph.events(Kind.BACKWARD, Kind.STEP, where=loop)


def _is_bare(forward: Happening, loop: Loop) -> bool:
    """Whether nobody takes the result of a forward pass, which is there for the running statistics then."""
    return loop.node is not None and forward.site.node in _untaken(loop.node)


@remembered
def _untaken(loop: cst.CSTNode) -> set[cst.CSTNode]:
    """The expressions in a loop of which nobody takes the value: it goes nowhere, or to names that nobody reads."""
    nodes = list(descendants(loop))
    mentions = Counter(node.value for node in nodes if type(node) is cst.Name)
    untaken: set[cst.CSTNode] = set()
    for node in nodes:
        if type(node) is cst.Expr:
            untaken.add(node.value)
        elif type(node) is cst.Assign:
            names = {item.target.value for item in node.targets if isinstance(item.target, cst.Name)}
            if sum(mentions[name] for name in names) == len(node.targets) == len(names):
                untaken.add(node.value)
    return untaken


def _is_near(event: Happening, other: Happening) -> bool:
    """Whether two events stand in one call of a function."""
    return event.site.calls == other.site.calls


def _has_nothing_to_do(graph: FlowGraph, slip: Slip) -> bool:
    """Whether an evaluation that switches back at its end is left before it has evaluated anything."""
    later = behind(graph.events(Kind.TRAIN), slip.begins.number)
    switches_back = any(_is_near(event, slip.begins) for event in later)
    passed = (slip.graph.nodes[fact.node].event for fact in slip.path[1:])
    return (
        bool(slip.begins.site.calls)
        and switches_back
        and not any(event is not None and _is_near(event, slip.begins) for event in passed)
    )


def _not_restored(file: File, graph: FlowGraph, module: Thing, slip: Slip) -> Case | None:
    """Training that goes on, an iteration later, in the mode that an evaluation has left behind."""
    loop = slip.goes_round
    if loop is None or slip.begins.kind is not Kind.EVAL:
        return None  # in evaluation mode right from the start of an iteration: somebody wants it so
    if _has_nothing_to_do(graph, slip):
        return None
    later = behind(graph.events(Kind.TRAIN), slip.begins.number)
    if any(_restores(event) and _is_near(event, slip.begins) for event in later):
        return None
    told, iterations = along(slip, ())
    learns = behind(graph.events(Kind.BACKWARD, where=slip.at.loops), slip.at.number)[0]
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
    trained = any(event.loops for event in graph.events(Kind.BACKWARD))
    if slip.begins.kind is not Kind.TRAIN or not trained or _is_adversary(graph, module):
        return None
    switches = between(graph.events(Kind.EVAL), slip.begins.number, slip.at.number)
    if any(_is_near(event, slip.at) for event in switches):
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


def _is_adversary(graph: FlowGraph, module: Thing) -> bool:
    """Whether a module is trained through another one, which another optimizer steps: a generator, say.

    Those are commonly sampled in training mode, with the statistics of the batch.
    """
    steppers = [thing for target in graph.targets(Kind.STEP) for thing in things_in(target)]
    others = {held for stepper in steppers if not _may_hold(stepper, module) for held in stepper.holds or ()}
    return any(
        event.loss is not None and module in event.loss.sources and not others.isdisjoint(event.loss.sources)
        for event in graph.events(Kind.BACKWARD)
    )


_VERDICTS = {Mistake.NOT_RESTORED: _not_restored, Mistake.NOT_EVAL: _not_eval}


def _recording(file: File, graph: FlowGraph, module: Thing, learning: set[Happening]) -> Iterator[Case]:
    """The cases of passes over data in evaluation mode that record a graph for nobody."""
    first: dict[object, Happening] = {}
    for switch in graph.events(Kind.EVAL, where=module):
        first.setdefault((switch.site.calls, switch.loops), switch)
    for forward in graph.events(Kind.FORWARD, where=module) if first else ():
        loop, near = innermost(forward), first.get((forward.site.calls, forward.loops[:-1]))
        if loop is None or near is None or forward.number < near.number or forward in learning or forward.grad_off:
            continue
        if ".generate(" in forward.text:
            continue  # which records nothing, as transformers has it
        if _uses_no_graph(graph, loop):
            case = case_of(
                file,
                Mistake.BUILDS_GRAPH,
                module.label,
                forward,
                [near, forward],
                loop=loop,
                notes={Kind.FORWARD: "a graph is recorded for nobody"},
            )
            if case is not None:
                yield case


def _uses_no_graph(graph: FlowGraph, loop: Loop) -> bool:
    """Whether a pass over data surely needs no gradient."""
    busy = (Kind.BACKWARD, Kind.STEP, Kind.ASSIGN, Kind.READ, Kind.UNKNOWN, Kind.TRAIN)
    if not loop.batches or graph.events(*busy, where=loop):
        return False
    return loop.file is not None and _TAKES_GRADIENTS.search(loop.file.source.text) is None
