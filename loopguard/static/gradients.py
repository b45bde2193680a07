"""Violations of the gradient lifecycle to cases: which of them are beyond doubt, and what bears on each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from loopguard.case import Case
from loopguard.events import Kind, Related, Relation
from loopguard.lifecycles import gradient, window
from loopguard.lifecycles.gradient import State
from loopguard.static import evidence
from loopguard.static.effects import Effects, Subject, subjects_of
from loopguard.static.graph import Assumption, FlowGraph, Happening, Loop
from loopguard.static.recognise import SYNC
from loopguard.static.scope import File
from loopguard.static.solve import UNKNOWN, Fact, Solution, Violation, solve
from loopguard.static.values import Thing, things_in


def gradient_cases(file: File, graph: FlowGraph) -> Iterator[Case]:
    """The cases that the gradient lifecycle of each optimizer on `graph` gives."""
    for subject in subjects_of(graph):
        yield from _Judge(file, graph, subject).cases()


class _Judge:
    """Judges the violations of one subject."""

    def __init__(self, file: File, graph: FlowGraph, subject: Subject) -> None:
        self.file = file
        self.graph = graph
        self.subject = subject
        self.effects = Effects(graph, subject)
        self.events = graph.events()
        self.solution: Solution | None = None

    def cases(self) -> Iterator[Case]:
        if not any(effect.action is not None for effects in self.effects.of.values() for effect in effects):
            return
        self.solution = solve(self.graph, self.effects)
        judges = {
            gradient.Mistake.STALE_STEP: self._stale,
            gradient.Mistake.REPEATED_STEP: self._repeated,
            gradient.Mistake.EMPTY_STEP: self._empty,
            gradient.Mistake.MIXED_STEP: self._mixed,
            gradient.Mistake.UNUSED: self._unused,
        }
        done: set[tuple[int, object]] = set()
        for violation in self.solution.violations:
            if (violation.fact.node, violation.mistake) in done:
                continue
            case = judges[violation.mistake](violation)
            if case is not None:
                done.add((violation.fact.node, violation.mistake))
                yield case

    # Each judge returns a case, or None where the path proves too little.

    def _stale(self, violation: Violation) -> Case | None:
        path, event = violation.fact.path(), self._event(violation.fact)
        first = self._last(path[:-1], Kind.STEP)
        if first is None:
            return None
        between = path[first:]
        steps = [self._event(path[first]), event]
        common = _common_loops(steps)
        loop = evidence.last_loop_crossed(self.graph, between, common)
        backwards = [self._event(fact) for fact in between if self._is(fact, Kind.BACKWARD)]
        clears = [
            item
            for item in self.events
            if item.kind is Kind.CLEAR and self.effects.relation(item) is Relation.WHOLE
        ]
        if loop is None:
            # Two steps of one iteration: only where neither depends on anything that the other does not.
            if not _nested(_guard_keys(steps[0], None), _guard_keys(steps[1], None)):
                return None
            return self._case(violation, event, path[self._beginning(path, first) :], None, {})
        inside = [item for item in clears if loop in item.loops]
        skipped = {guard for item in inside for guard in item.guards[loop.depth :]}
        if inside and not self._skips(skipped, [*steps, *backwards], loop):
            return None
        facts = {"loop": loop.text}
        if inside:
            taken = [guard for guard in skipped if Assumption(guard.condition, not guard.truth)]
            facts["path"] = ", ".join(
                sorted(str(Assumption(guard.condition, not guard.truth)) for guard in taken)
            )
        wrong = self._wrong_target(loop)
        if wrong is not None:
            facts["wrong_target"] = wrong
        return self._case(violation, event, path[self._beginning(path, first) :], loop, facts)

    def _skips(self, skipped: set[Assumption], others: Sequence[Happening], loop: Loop) -> bool:
        """Whether iterations surely exist that skip the clear but not the rest.

        They do where the clear hangs on a setting, or on a counter's remainder, on which nothing else depends.
        """
        if not skipped:
            return False
        keys = {guard.condition.key for guard in skipped}
        for guard in skipped:
            condition = guard.condition
            stable = condition.names.isdisjoint(loop.assigned) and not condition.volatile
            if not stable and condition.gate is None:
                return False
        return all(_guard_keys(item, loop) <= keys for item in others)

    def _wrong_target(self, loop: Loop) -> str | None:
        """A clear in the loop that looks like the missing one, but clears something else: its text."""
        stepped = {
            thing
            for item in self.events
            if item.kind is Kind.STEP and loop in item.loops
            for thing in things_in(item.target)
        }
        held = {part for thing in stepped for part in thing.holds or ()}
        for item in self.events:
            if item.kind is not Kind.CLEAR or loop not in item.loops:
                continue
            relation = self.effects.relation(item)
            if relation is Relation.PART:
                return evidence.short(item.text)
            if relation is Relation.OTHER and not any(
                thing in stepped or thing in held or any(part in held for part in thing.parts())
                for thing in things_in(item.target)
            ):
                return evidence.short(item.text)
        return None

    def _repeated(self, violation: Violation) -> Case | None:
        path, event = violation.fact.path(), self._event(violation.fact)
        first = self._last(path[:-1], Kind.STEP)
        if first is None:
            return None
        earlier = self._event(path[first])
        if evidence.last_loop_crossed(self.graph, path[first:], tuple(self.graph.loops)) is not None:
            return None
        if earlier.loops != event.loops or not _nested(_guard_keys(earlier, None), _guard_keys(event, None)):
            return None
        if earlier.site.node is event.site.node or not self._is_fed(path[: first + 1]):
            return None
        loop = event.loops[-1] if event.loops else None
        return self._case(violation, event, path[self._beginning(path, first) :], loop, {})

    def _is_fed(self, path: list[Fact]) -> bool:
        return any(self._is(fact, Kind.BACKWARD) or self._is(fact, Kind.ASSIGN) for fact in path)

    def _empty(self, violation: Violation) -> Case | None:
        assert self.solution is not None
        path, event = violation.fact.path(), self._event(violation.fact)
        beliefs = self.solution.beliefs[violation.fact.node] - {UNKNOWN}
        if any(belief != {State.CLEAN} for belief in beliefs):
            return None
        cleared = self._last(path[:-1], Kind.CLEAR)
        if cleared is None:
            return None
        clear = self._event(path[cleared])
        before = path[: cleared + 1]
        fed = self._last(before, Kind.BACKWARD)
        if (
            fed is not None
            and self._last(path[fed:cleared], Kind.STEP) is None
            and self._discards(path[cleared])
        ):
            backward = self._event(path[fed])
            around = evidence.last_loop_crossed(self.graph, path[fed:], tuple(self.graph.loops))
            if around is None:
                if (
                    not _nested(_guard_keys(clear, None), _guard_keys(event, None))
                    or clear.loops != event.loops
                ):
                    return None
                return self._case(
                    violation, clear, path[fed:], _innermost(event), {"order": "cleared after backward"}
                )
        loop = _innermost(event)
        if loop is None:
            return None
        backwards = [
            item for item in self.events if item.kind is Kind.BACKWARD and item.number in self.effects.of
        ]
        inside = [item for item in backwards if loop in item.loops]
        later = [item for item in inside if item.number > event.number]
        if any(item.number < event.number for item in inside):
            return None
        trail = path[cleared:]
        if later:
            if clear.number > event.number and loop not in clear.loops:
                return None
            return self._case(
                violation, event, trail, loop, {"order": "step before backward", "backward": later[0].text}
            )
        if loop not in clear.loops or self._hides_backward(loop):
            return None
        outside = [item for item in backwards if item.number > event.number]
        if outside and outside[0].loops == event.loops[: len(event.loops) - 1]:
            return self._case(
                violation, event, trail, loop, {"order": "backward after loop", "backward": outside[0].text}
            )
        if backwards:
            return None
        return self._case(violation, event, trail, loop, {"order": "no backward"})

    def _discards(self, fact: Fact) -> bool:
        return fact.belief <= {State.FRESH, State.STALE, State.SHARED, State.MIXED}

    def _hides_backward(self, loop: Loop) -> bool:
        """Whether the loop holds something that may deposit gradients unseen."""
        return any(
            item.kind in (Kind.UNKNOWN, Kind.ASSIGN, Kind.READ)
            and loop in item.loops
            and item.number in self.effects.of
            for item in self.events
        )

    def _mixed(self, violation: Violation) -> Case | None:
        path, event = violation.fact.path(), self._event(violation.fact)
        own = self._last(path[:-1], Kind.BACKWARD)
        other = self._last(path[:own], Kind.STEP, mine=False) if own is not None else None
        foreign = self._last(path[:other], Kind.BACKWARD) if other is not None else None
        if own is None or other is None or foreign is None:
            return None
        names = [thing.label for thing in things_in(self._event(path[other]).target)]
        facts = {
            "foreign": evidence.short(self._event(path[foreign]).text),
            "other": names[0] if names else "another",
        }
        loop = _innermost(event)
        return self._case(violation, event, path[self._beginning(path, foreign) :], loop, facts)

    def _unused(self, violation: Violation) -> Case | None:
        path, clear = violation.fact.path(), self._event(violation.fact)
        fed = self._last(path[:-1], Kind.BACKWARD)
        if fed is None:
            return None
        backward = self._event(path[fed])
        loop = evidence.last_loop_crossed(self.graph, path[fed:], _common_loops([backward, clear]))
        if loop is None:
            return None
        steps = [item for item in self.events if item.kind is Kind.STEP and self._may_step(item)]
        inside = [item for item in steps if loop in item.loops]
        if any(
            item.kind in (Kind.READ, Kind.ASSIGN) and loop in item.loops and item.number in self.effects.of
            for item in self.events
        ):
            return None
        if inside:
            return self._window(violation, clear, backward, inside, path[fed:], loop)
        if clear.target is not self.subject.optimizer and not steps:
            return None  # a module's gradients may be wanted for something else than a step
        if not steps and self._stepped_elsewhere():
            return None
        if _guard_keys(backward, loop) or not _guard_keys(clear, loop) <= _guard_keys(backward, loop):
            return None
        if steps and not any(item.number > backward.number for item in steps):
            return None
        case = self._case(violation, backward, path[fed:], loop, {"loop": loop.text})
        return case

    def _may_step(self, item: Happening) -> bool:
        return any(thing is self.subject.optimizer for thing in things_in(item.target)) or (
            self.effects.relation(item) is Relation.UNKNOWN
        )

    def _stepped_elsewhere(self) -> bool:
        """Whether the text of the file names a step of this optimizer that the graph does not hold."""
        optimizer = self.subject.optimizer
        if "." not in optimizer.label and not self._is_global(optimizer):
            return False
        name = optimizer.label.rsplit(".", 1)[-1]
        text = self.file.source.text
        return f"{name}.step" in text or f".step({name}" in text or f".step(self.{name}" in text

    def _is_global(self, optimizer: Thing) -> bool:
        return any(value is optimizer for value in self.file.env.variables.values())

    def _window(
        self,
        violation: Violation,
        clear: Happening,
        backward: Happening,
        steps: list[Happening],
        path: list[Fact],
        loop: Loop,
    ) -> Case | None:
        """A clear that empties the window before its step: the step is gated, the clear is not."""
        gates = [_window_gate(item, loop) for item in steps]
        if any(gate is None for gate in gates) or _guard_keys(backward, loop):
            return None
        gate = gates[0]
        assert gate is not None
        own = [guard for guard in clear.guards[loop.depth :] if guard.condition.key != SYNC]
        if own or (
            gate.condition.key == SYNC and clear.number > steps[-1].number and _window_gate(clear, loop)
        ):
            return None
        found = gate.condition.gate
        facts = {
            "window": gate.condition.text,
            "size": found.size if found is not None else "",
            "loop": loop.text,
        }
        fed_trail = evidence.trail(self.graph, self.effects, path, loop, self.subject.name)
        return Case(
            window.Mistake.CLEARED,
            self.subject.name,
            evidence.event_of(clear, self.subject.name, evidence.place_in(self.file, clear.site)),
            fed_trail,
            self._related(loop),
            facts,
        )

    def _event(self, fact: Fact) -> Happening:
        event = self.graph.nodes[fact.node].event
        assert event is not None
        return event

    def _is(self, fact: Fact, kind: Kind, mine: bool = True) -> bool:
        event = self.graph.nodes[fact.node].event
        if event is None or event.kind is not kind or fact.node not in self.effects.of:
            return False
        return kind is not Kind.STEP or (event.target is self.subject.optimizer) is mine

    def _last(self, path: list[Fact], kind: Kind, *, mine: bool = True) -> int | None:
        """The position on `path` of the last event of `kind` about the subject."""
        for position in range(len(path) - 1, -1, -1):
            if self._is(path[position], kind, mine):
                return position
        return None

    def _beginning(self, path: list[Fact], position: int) -> int:
        """Where the story of `position` begins: at the clear or backward pass before it."""
        found = self._last(path[:position], Kind.BACKWARD)
        return found if found is not None else position

    def _related(self, loop: Loop | None) -> tuple[Related, ...]:
        found = evidence.related(self.effects, self.events, loop, self.subject.name)
        if loop is None:
            # Without a loop of its own, a case is about two calls in a row: what lies around is another story.
            return tuple(item for item in found if item.event.kind is not Kind.CLEAR)
        return found

    def _case(
        self, violation: Violation, at: Happening, path: list[Fact], loop: Loop | None, facts: dict[str, str]
    ) -> Case:
        if loop is not None:
            facts = {"loop": loop.text, **facts}
        return Case(
            violation.mistake,
            self.subject.name,
            evidence.event_of(at, self.subject.name, evidence.place_in(self.file, at.site)),
            evidence.trail(self.graph, self.effects, path, loop, self.subject.name),
            self._related(loop),
            facts,
        )


def _innermost(event: Happening) -> Loop | None:
    return event.loops[-1] if event.loops else None


def _common_loops(events: Sequence[Happening]) -> tuple[Loop, ...]:
    common = []
    for loop in events[0].loops:
        if all(loop in event.loops for event in events):
            common.append(loop)
    return tuple(common)


def _guard_keys(event: Happening, loop: Loop | None) -> set[str]:
    """The conditions that an event depends on within `loop`."""
    return {guard.condition.key for guard in event.guards[loop.depth if loop is not None else 0 :]}


def _nested(first: set[str], second: set[str]) -> bool:
    return first <= second or second <= first


def _window_gate(event: Happening, loop: Loop) -> Assumption | None:
    """The accumulation gate that an event stands behind within `loop`."""
    for guard in event.guards[loop.depth :]:
        gate = guard.condition.gate
        if guard.condition.key == SYNC and guard.truth:
            return guard
        if gate is not None and guard.truth is not gate.inverted:
            return guard
    return None
