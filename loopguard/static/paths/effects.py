"""What each event on a graph means to the gradients of one optimizer: an action of the lifecycle, sure or not."""

from __future__ import annotations

import re
from collections.abc import Sequence
from weakref import WeakKeyDictionary

from loopguard.events import Kind, Relation
from loopguard.lifecycles.gradient import Action
from loopguard.static.paths.automaton import ANYTHING, GRADIENT, Automaton, Effect
from loopguard.static.paths.graph import Condition, FlowGraph, Happening
from loopguard.static.paths.relations import feeds, reaches, touches
from loopguard.static.paths.ways import Ways, ways_of
from loopguard.static.records import record
from loopguard.static.values import Role, Thing, things_in

_MANY = 48

_effects: WeakKeyDictionary[FlowGraph, list[Effects]] = WeakKeyDictionary()

USED = Effect(Action.USE, sure=False)
"""Code takes the gradients as they are, so that discarding them afterwards is no loss."""


@record
class Subject:
    """An optimizer, or the part of its parameters that belongs to one of the modules it holds."""

    optimizer: Thing
    part: Thing | None

    @property
    def name(self) -> str:
        """The optimizer as the user wrote it."""
        return self.optimizer.label or "optimizer"


def subjects_of(graph: FlowGraph) -> list[Subject]:
    """The subjects that the graph has events about."""
    if graph.kinds.isdisjoint((Kind.STEP, Kind.CLEAR)):
        return []
    optimizers: dict[Thing, None] = {}
    for event in graph.events():
        if event.kind in (Kind.STEP, Kind.CLEAR):
            for thing in things_in(event.target):
                if thing.role is Role.OPTIMIZER:
                    optimizers[thing] = None
    if len(optimizers) > _MANY:
        return []  # no training loop; the cost would grow with the cube
    return [
        Subject(optimizer, part)
        for optimizer in optimizers
        for part in (optimizer.holds if optimizer.holds is not None else (None,))
    ]


class Course:
    """What the events of a graph mean to one subject of one lifecycle: `of` an event's number, its effects."""

    def __init__(self, graph: FlowGraph, automaton: Automaton, of: dict[int, tuple[Effect, ...]]) -> None:
        self.automaton = automaton
        self.of = of
        self._concerned = [event for event in graph.events() if event.number in of]
        self._ways: Ways | None = None

    def ways(self, graph: FlowGraph) -> Ways:
        """The ways between events, where paths are kept apart by what matters to this subject."""
        if self._ways is None:
            self._ways = ways_of(graph, self.worth)
        return self._ways

    def worth(self, tested: Sequence[Condition]) -> tuple[int, ...]:
        """The conditions that stand over events about the subject in two places: only those correlate anything."""
        places: dict[str, set[int]] = {}
        for guard in {id(guard): guard for event in self._concerned for guard in event.guards}.values():
            for name in _named_in(guard.condition.text):
                places.setdefault(name, set()).add(id(guard))
        often = {name for name, guards in places.items() if len(guards) > 1}
        return (
            tuple(
                number
                for number, condition in enumerate(tested)
                if any(key and key.split("@")[0] in often for key in (condition.key, condition.subject))
            )
            if often
            else ()
        )


class Effects(Course):
    """What the events of a graph do to the gradients of one subject."""

    def __init__(self, graph: FlowGraph, subject: Subject) -> None:
        self.subject = subject
        self._events = graph.events()
        found = {event.number: self._effects(event) for event in self._events}
        super().__init__(graph, GRADIENT, {number: effects for number, effects in found.items() if effects})

    def relation(self, event: Happening) -> Relation:
        """How much of the subject a clear or step touches."""
        return touches(event.target, self.subject.optimizer, self.subject.part)

    def relation_to_all(self, event: Happening) -> Relation:
        """How much of everything that the optimizer holds a clear or step touches."""
        optimizer = self.subject.optimizer
        found = {touches(event.target, optimizer, part) for part in optimizer.holds or (None,)}
        if len(found) == 1:
            return found.pop()
        if found <= {Relation.WHOLE, Relation.PART, Relation.OTHER}:
            return Relation.PART
        return Relation.UNKNOWN

    def _effects(self, event: Happening) -> tuple[Effect, ...]:
        optimizer, part = self.subject.optimizer, self.subject.part
        if event.kind is Kind.CLEAR:
            relation = self.relation(event)
            if relation is Relation.PART and part is not None and _has_more(part, event):
                return ()  # the other parameters stay as they are
            return _when(relation, Action.CLEAR, event.maybe)
        if event.kind is Kind.BACKWARD:
            return self._backward(event)
        if event.kind is Kind.STEP:
            if event.target is optimizer:
                step = Effect(Action.STEP, sure=not event.maybe)
                return (step, Effect(Action.CLEAR)) if event.clears_itself else (step,)
            relation = self.relation(event)
            if relation is Relation.UNKNOWN:
                return (ANYTHING,)
            return (Effect(Action.OTHER_STEP),) if self._shares_backward(event) else ()
        if event.kind is Kind.UNKNOWN:
            things = list(things_in(event.target))
            if event.target is None or any(reaches(thing, optimizer, part) for thing in things):
                return (ANYTHING,)
            return ()
        if event.kind is Kind.ASSIGN:
            relation = self.relation(event)
            if relation is Relation.OTHER:
                return ()
            return (Effect(Action.ASSIGN),) if relation is Relation.WHOLE else (ANYTHING,)
        if event.kind is Kind.READ and self.relation(event) is not Relation.OTHER:
            return (USED,)
        return ()

    def _backward(self, event: Happening) -> tuple[Effect, ...]:
        assert event.loss is not None
        part = self.subject.part
        relation = feeds(event.loss, part)
        if relation is Relation.OTHER:
            return ()
        if relation is Relation.WHOLE and part is not None and not part.toggled:
            return (Effect(Action.BACKWARD),)
        alone = self._rivals(event) == 0
        return (Effect(Action.BACKWARD, sure=alone and not event.maybe),)

    def _rivals(self, event: Happening) -> int:
        """How many other optimizers step in the loop of a backward pass, so that it may be theirs."""
        loop = event.loops[-1] if event.loops else None
        steppers = {
            thing
            for other in self._events
            if other.kind in (Kind.STEP, Kind.CLEAR) and (loop is None or loop in other.loops)
            for thing in things_in(other.target)
            if thing.role is Role.OPTIMIZER
        }
        return len(steppers - {self.subject.optimizer})

    def _shares_backward(self, step: Happening) -> bool:
        """Whether some backward pass surely deposits both into the subject and into what `step` updates."""
        part = self.subject.part
        others = [held for thing in things_in(step.target) for held in thing.holds or ()]
        if part is None or part.toggled or not others:
            return False
        return any(
            event.loss is not None
            and feeds(event.loss, part) is Relation.WHOLE
            and any(feeds(event.loss, other) is Relation.WHOLE for other in others)
            for event in self._events
            if event.kind is Kind.BACKWARD
        )


def effects_of(graph: FlowGraph) -> list[Effects]:
    """The effects on each subject that a graph, which is complete, has events about. Every verdict asks for them."""
    if graph not in _effects:
        _effects.clear()  # graphs are judged one after the other, and some files have many
        _effects[graph] = [Effects(graph, subject) for subject in subjects_of(graph)]
    return _effects[graph]


def _has_more(part: Thing, event: Happening) -> bool:
    """Whether a module surely has parameters beside those of the submodule that is cleared."""
    children = [thing for value in part.attrs.values() for thing in things_in(value) if thing.role is Role.MODULE]
    cleared = [thing for thing in things_in(event.target) if part in thing.owners() or thing in part.parts()]
    if not cleared:
        return False
    declared = _SUBMODULE.findall(part.cls.file.tree.source(part.cls.node)) if part.cls is not None else []
    return bool(set(children) - set(cleared)) or len(part.captured) > 1 or len(declared) > 1


def _when(relation: Relation, action: Action, maybe: bool) -> tuple[Effect, ...]:
    if relation is Relation.OTHER:
        return ()
    return (Effect(action, sure=relation is Relation.WHOLE and not maybe),)


_SUBMODULE = re.compile(r"self\.\w+\s*=\s*(?:torch\.)?nn\.\w+\(")
_ATOM = re.compile(r" (?:and|or) ")
_COMPARED = re.compile(r" (?:==|is|in|<|>|!=|is not|not in|<=|>=) ")


def _named_in(text: str) -> set[str]:
    """A condition, what it is put together from, and what is compared in it."""
    atoms = [text, *_ATOM.split(text)]
    names = {name for atom in atoms for name in (atom, atom.strip("() ").removeprefix("not "))}
    return names | {_COMPARED.split(name)[0] for name in names}
