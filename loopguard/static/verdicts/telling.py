"""What the stories of one subject's events tell, and the questions that every verdict asks of them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import Enum
from functools import cached_property

from loopguard.case import Case
from loopguard.events import Kind
from loopguard.lifecycles.gradient import Mistake, State
from loopguard.static.lowering.constructors import NEW
from loopguard.static.paths.automaton import GRADIENT, Belief
from loopguard.static.paths.effects import Effects
from loopguard.static.paths.graph import FlowGraph, Happening, Loop, Where
from loopguard.static.paths.guards import common_loops
from loopguard.static.paths.solve import Fact, Story, Violation, tell
from loopguard.static.scope import File
from loopguard.static.values import things_in
from loopguard.static.verdicts import evidence


class Telling:
    """The stories of every event about one subject, and the beliefs that they bring to each node."""

    def __init__(self, file: File, graph: FlowGraph, effects: Effects) -> None:
        self.file = file
        self.graph = graph
        self.subject = effects.subject
        self.effects = effects
        self.stories: list[Story] = []
        self.arrivals: dict[int, set[Belief]] = {}
        self._bearing = evidence.Bearing(graph, effects)
        reached = effects.ways(graph).reached
        # What steps find is told by the stories before them, so these come last.
        for event in sorted(map(self._event_at, effects.of), key=lambda event: event.kind is Kind.STEP):
            belief = self._found_by(event)
            if belief is not None and event.number in reached and not self._is_empty(event):
                story = tell(graph, self.effects, event.number, belief, reached[event.number])
                self.stories.append(story)
                for number, beliefs in story.arrivals.items():
                    self.arrivals.setdefault(number, set()).update(beliefs)

    def _is_empty(self, event: Happening) -> bool:
        """Whether a step surely finds no gradients, and so uses none."""
        return event.kind is Kind.STEP and self.arrivals.get(event.number) == {frozenset({State.CLEAN})}

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

    @cached_property
    def deepest_guards(self) -> dict[str, int]:
        """The conditions over backward passes, by their keys, and how many others stand around each at most."""
        found: dict[str, int] = {}
        for event in self.among(Kind.BACKWARD):
            for depth, guard in enumerate(event.guards):
                found[guard.condition.key] = max(depth, found.get(guard.condition.key, 0))
        return found

    @cached_property
    def throwing_away(self) -> dict[int, list[tuple[int, int]]]:
        """The clears that throw gradients away, by their numbers: at which places of which stories they do."""
        found: dict[int, list[tuple[int, int]]] = {}
        for place, story in enumerate(self.stories):
            for number, violation in enumerate(story.violations):
                if violation.mistake is Mistake.UNUSED:
                    found.setdefault(violation.fact.node, []).append((place, number))
        return found

    # Each judge returns a case, or None where the path proves too little.

    def event(self, fact: Fact) -> Happening:
        """The event at whose node a fact holds."""
        return self._event_at(fact.node)

    def _event_at(self, number: int) -> Happening:
        event = self.graph.nodes[number].event
        assert event is not None
        return event

    def concerns(self, fact: Fact, kind: Kind, mine: bool = True) -> bool:
        """Whether the event of a fact is of `kind` and about the subject; a step, of its own optimizer if `mine`."""
        event = self.graph.nodes[fact.node].event
        if event is None or event.kind is not kind or fact.node not in self.effects.of:
            return False
        return kind is not Kind.STEP or (event.target is self.subject.optimizer) is mine

    def among(self, *kinds: Kind, where: Where = None) -> list[Happening]:
        """The events of these kinds that bear on the subject, all or those of a place."""
        return [item for item in self.graph.events(*kinds, where=where) if item.number in self.effects.of]

    def within_iteration(self, path: list[Fact]) -> bool:
        """Whether a path goes round none of the loops that both of its ends stand in."""
        common = common_loops([self.event(path[0]), self.event(path[-1])])
        return all(self.graph.nodes[fact.node].again not in common for fact in path)

    @cached_property
    def escapes(self) -> bool:
        """Whether code that cannot be read gets the optimizer, and may step it."""
        optimizer = self.subject.optimizer
        return any(
            thing is optimizer or thing in optimizer.owners()
            for item in self.among(Kind.UNKNOWN)
            if item.via != NEW
            for thing in things_in(item.target)
        )

    @cached_property
    def is_stepped_elsewhere(self) -> bool:
        """Whether the text of the file names a step of this optimizer that the graph does not hold."""
        optimizer = self.subject.optimizer
        if "." not in optimizer.label and (self.graph.is_script or not self._is_global):
            return False
        name = re.escape(optimizer.label.rsplit(".", 1)[-1])
        named = re.findall(rf"\b{name}\.step\b|\.step\((?:self\.)?{name}\b", self.file.source.text)
        seen = {item.site.node for item in self.among(Kind.STEP) if item.target is optimizer}
        return len(named) > len(seen)

    @property
    def _is_global(self) -> bool:
        return any(value is self.subject.optimizer for value in self.file.env.variables.values())

    def case(
        self,
        mistake: Enum,
        at: Happening,
        path: list[Fact],
        loop: Loop | None,
        facts: dict[str, str],
        steps: Sequence[Happening] | None = None,
    ) -> Case | None:
        """The case of `mistake` at an event, with `path` as evidence; `steps` are those that bear on it, if not all.

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
            self._bearing.on(loop, name, steps),
            {"loop": loop.text, **facts} if loop is not None else facts,
        )
