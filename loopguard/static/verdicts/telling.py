"""What the stories of one subject's events tell, and the questions that every verdict asks of them."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

from loopguard.case import Case
from loopguard.events import Kind
from loopguard.lifecycles.gradient import State
from loopguard.static.paths.automaton import GRADIENT, Belief
from loopguard.static.paths.effects import Effects
from loopguard.static.paths.graph import FlowGraph, Happening, Loop
from loopguard.static.paths.guards import common_loops
from loopguard.static.paths.solve import Fact, Story, Violation, tell
from loopguard.static.scope import File
from loopguard.static.verdicts import evidence


class Telling:
    """The stories of every event about one subject."""

    def __init__(self, file: File, graph: FlowGraph, effects: Effects) -> None:
        self.file = file
        self.graph = graph
        self.subject = effects.subject
        self.effects = effects
        self.events = graph.events()
        self.stories: list[Story] = []
        reached = effects.ways(graph).reached
        # What steps find is told by the stories before them, so these come last.
        for event in sorted(self.events, key=lambda event: event.kind is Kind.STEP):
            belief = self._found_by(event)
            if belief is not None and event.number in reached and not self._is_empty(event):
                self.stories.append(tell(graph, self.effects, event.number, belief, reached[event.number]))

    def _is_empty(self, event: Happening) -> bool:
        """Whether a step surely finds no gradients, and so uses none."""
        arrivals = {belief for story in self.stories for belief in story.arrivals.get(event.number, ())}
        return event.kind is Kind.STEP and arrivals == {frozenset({State.CLEAN})}

    def _found_by(self, event: Happening) -> Belief | None:
        """In which state the event finds the subject when it begins a story; None if it begins none."""
        effects = self.effects.of.get(event.number, ())
        if not effects or not effects[0].sure:
            return None
        state = GRADIENT.found.get(effects[0].action) if effects[0].action is not None else None
        return frozenset({state}) if state is not None else None

    def violations(self) -> list[Violation]:
        """Every violation: first those between an event and its own next occurrence, which tell most about a loop."""
        found = [(story, violation) for story in self.stories for violation in story.violations]
        found.sort(key=lambda pair: pair[0].start != pair[1].fact.node)
        return [violation for _, violation in found]

    # Each judge returns a case, or None where the path proves too little.

    def event(self, fact: Fact) -> Happening:
        """The event at whose node a fact holds."""
        event = self.graph.nodes[fact.node].event
        assert event is not None
        return event

    def concerns(self, fact: Fact, kind: Kind, mine: bool = True) -> bool:
        """Whether the event of a fact is of `kind` and about the subject; a step, of its own optimizer if `mine`."""
        event = self.graph.nodes[fact.node].event
        if event is None or event.kind is not kind or fact.node not in self.effects.of:
            return False
        return kind is not Kind.STEP or (event.target is self.subject.optimizer) is mine

    def among(self, *kinds: Kind, loop: Loop | None = None) -> list[Happening]:
        """The events of these kinds that bear on the subject, those within `loop` if it is given."""
        return [
            item
            for item in self.events
            if item.kind in kinds and item.number in self.effects.of and (loop is None or loop in item.loops)
        ]

    def within_iteration(self, path: list[Fact]) -> bool:
        """Whether a path goes round none of the loops that both of its ends stand in."""
        common = common_loops([self.event(path[0]), self.event(path[-1])])
        return all(self.graph.nodes[fact.node].again not in common for fact in path)

    def case(
        self,
        mistake: Enum,
        at: Happening,
        path: list[Fact],
        loop: Loop | None,
        facts: dict[str, str],
        told: Sequence[Happening] | None = None,
    ) -> Case | None:
        """The case of `mistake` at an event, with `path` as evidence; `told` are the events that bear on it.

        None if it all happens in another file, which tells it by itself.
        """
        if at.site.file is not self.file and (loop is None or loop.file is not self.file):
            return None
        name = self.subject.name
        return Case(
            mistake,
            name,
            evidence.event_of(at, name, evidence.place_in(self.file, at.site)),
            evidence.trail(self.graph, self.effects, path, loop, name),
            evidence.related(self.effects, told if told is not None else self.events, loop, name),
            {"loop": loop.text, **facts} if loop is not None else facts,
        )
