"""What each event on a graph means to the gradients of one optimizer: an action of the lifecycle, sure or not."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from enum import Enum
from functools import cached_property, lru_cache
from typing import NamedTuple
from weakref import WeakKeyDictionary

from loopguard.events import Kind, Relation
from loopguard.lifecycles.gradient import Action
from loopguard.static.paths.automaton import ANYTHING, GRADIENT, Automaton, Belief, Effect
from loopguard.static.paths.graph import Condition, FlowGraph, Happening, Loop
from loopguard.static.paths.relations import feeds, reaches, touches
from loopguard.static.paths.ways import Ways, ways_of
from loopguard.static.records import record
from loopguard.static.steps import spend
from loopguard.static.values import Class, Role, Tensor, Thing, Value, things_in

_STEPS_OF_AN_EVENT = 4
"""What it takes to find out what one means to a subject."""

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
    for event in graph.events(Kind.STEP, Kind.CLEAR):
        for thing in things_in(event.target):
            if thing.role is Role.OPTIMIZER:
                optimizers[thing] = None
    return [
        Subject(optimizer, part)
        for optimizer in optimizers
        for part in (optimizer.holds if optimizer.holds is not None else (None,))
    ]


class Turn(NamedTuple):
    """What becomes of a belief at a node: what each effect finds, the mistakes, and the belief after it.

    That is `anew` if it does not depend on the one before.
    """

    arrivals: tuple[Belief, ...]
    mistakes: tuple[Enum, ...]
    belief: Belief
    anew: bool


class Course:
    """What the events of a graph mean to one subject of one lifecycle: `of` an event's number, its effects."""

    def __init__(self, graph: FlowGraph, automaton: Automaton, of: dict[int, tuple[Effect, ...]]) -> None:
        self.automaton = automaton
        self.of = of
        self._concerned = [event for number in of if (event := graph.nodes[number].event) is not None]
        self._ways: Ways | None = None
        self._turns: dict[tuple[int, Belief], Turn] = {}

    def turn(self, number: int, belief: Belief) -> Turn:
        """What becomes of a belief at a node. Many paths bring the same one."""
        found = self._turns.get((number, belief))
        if found is None:
            found = self._turns[number, belief] = self._turn(self.of.get(number, ()), belief)
        return found

    def _turn(self, effects: Iterable[Effect], belief: Belief) -> Turn:
        arrivals: list[Belief] = []
        mistakes: list[Enum] = []
        anew = False
        for effect in effects:
            arrivals.append(belief)
            belief, mistake = self.automaton.after(belief, effect)
            if mistake is not None:
                mistakes.append(mistake)
            anew = anew or self.automaton.settles(effect, belief)
        return Turn(tuple(arrivals), tuple(mistakes), belief, anew)

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

    def __init__(self, graph: FlowGraph, subject: Subject, to_all: dict[int, Relation] | None = None) -> None:
        """Find them. The subjects of one optimizer share what is known of relations `to_all` of it."""
        self.subject = subject
        self._graph = graph
        self._to_all = to_all if to_all is not None else {}
        self._rivals: dict[Loop | None, bool] = {}
        self._sharing: dict[Value | None, bool] = {}
        spend(_STEPS_OF_AN_EVENT * len(graph.events()))
        found = {event.number: self._effects(event) for event in graph.events()}
        super().__init__(graph, GRADIENT, {number: effects for number, effects in found.items() if effects})
        del self._graph  # which is remembered for as long as there is the graph

    def relation(self, event: Happening) -> Relation:
        """How much of the subject a clear or step touches."""
        return touches(event.target, self.subject.optimizer, self.subject.part)

    def relation_to_all(self, event: Happening) -> Relation:
        """How much of everything that the optimizer holds a clear or step touches."""
        if event.number not in self._to_all:
            self._to_all[event.number] = self._relation_to_all(event)
        return self._to_all[event.number]

    def _relation_to_all(self, event: Happening) -> Relation:
        optimizer = self.subject.optimizer
        spend(len(optimizer.holds or ()))
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
        return (Effect(Action.BACKWARD, sure=not event.maybe and not self._has_rivals(event)),)

    def _has_rivals(self, event: Happening) -> bool:
        """Whether other optimizers step in the loop of a backward pass, so that it may be theirs."""
        loop = event.loops[-1] if event.loops else None
        if loop not in self._rivals:
            self._rivals[loop] = any(
                thing.role is Role.OPTIMIZER and thing is not self.subject.optimizer
                for other in self._graph.events(Kind.STEP, Kind.CLEAR, where=loop)
                for thing in things_in(other.target)
            )
        return self._rivals[loop]

    def _shares_backward(self, step: Happening) -> bool:
        """Whether some backward pass surely deposits both into the subject and into what `step` updates."""
        if step.target not in self._sharing:
            others = [held for thing in things_in(step.target) for held in thing.holds or ()]
            self._sharing[step.target] = any(
                feeds(loss, other) is Relation.WHOLE
                for loss in (self._own_losses if others else ())
                for other in others
            )
        return self._sharing[step.target]

    @cached_property
    def _own_losses(self) -> list[Tensor]:
        """The losses whose backward passes surely deposit into the subject."""
        part = self.subject.part
        if part is None or part.toggled:
            return []
        losses = (event.loss for event in self._graph.events(Kind.BACKWARD))
        return [loss for loss in losses if loss is not None and feeds(loss, part) is Relation.WHOLE]


def effects_of(graph: FlowGraph) -> list[Effects]:
    """The effects on each subject that a graph, which is complete, has events about. Every verdict asks for them."""
    if graph not in _effects:
        _effects.clear()  # graphs are judged one after the other, and some files have many
        to_all: dict[Thing, dict[int, Relation]] = {}
        _effects[graph] = [
            Effects(graph, subject, to_all.setdefault(subject.optimizer, {})) for subject in subjects_of(graph)
        ]
    return _effects[graph]


def _has_more(part: Thing, event: Happening) -> bool:
    """Whether a module surely has parameters beside those of the submodule that is cleared."""
    children = [thing for value in part.attrs.values() for thing in things_in(value) if thing.role is Role.MODULE]
    cleared = [thing for thing in things_in(event.target) if part in thing.owners() or thing in part.parts()]
    if not cleared:
        return False
    return bool(set(children) - set(cleared)) or len(part.captured) > 1 or _layers_of(part.cls) > 1


def _layers_of(cls: Class | None) -> int:
    """How many layers the text of a class makes for its objects."""
    if cls is None:
        return 0
    if cls.layers is None:
        cls.layers = len(_LAYER.findall(cls.file.tree.source(cls.node)))
    return cls.layers


def _when(relation: Relation, action: Action, maybe: bool) -> tuple[Effect, ...]:
    if relation is Relation.OTHER:
        return ()
    return (Effect(action, sure=relation is Relation.WHOLE and not maybe),)


_LAYER = re.compile(r"self\.\w+\s*=\s*(?:torch\.)?nn\.\w+\(")
_ATOM = re.compile(r" (?:and|or) ")
_COMPARED = re.compile(r" (?:==|is|in|<|>|!=|is not|not in|<=|>=) ")


@lru_cache(maxsize=1 << 10)
def _named_in(text: str) -> set[str]:
    """A condition, what it is put together from, and what is compared in it."""
    atoms = [text, *_ATOM.split(text)]
    names = {name for atom in atoms for name in (atom, atom.strip("() ").removeprefix("not "))}
    return names | {_COMPARED.split(name)[0] for name in names}
