"""Violations of the gradient lifecycle to cases: which of them are beyond doubt, and what bears on each."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from loopguard.case import Case
from loopguard.events import Kind, Relation
from loopguard.lifecycles import gradient, window
from loopguard.lifecycles.gradient import Action, State
from loopguard.static import evidence
from loopguard.static.effects import Effects, Subject, subjects_of
from loopguard.static.graph import Assumption, FlowGraph, Happening, Loop
from loopguard.static.recognise import SYNC
from loopguard.static.scope import File
from loopguard.static.solve import Belief, Fact, Story, Violation, tell
from loopguard.static.values import Thing, things_in


def gradient_cases(file: File, graph: FlowGraph) -> Iterator[Case]:
    """The cases that the gradient lifecycle of each optimizer on `graph` gives."""
    by_optimizer: dict[Thing, list[list[Case]]] = {}
    for subject in subjects_of(graph):
        cases = list(_Judge(file, graph, subject).cases())
        by_optimizer.setdefault(subject.optimizer, []).append(cases)
    for parts in by_optimizer.values():
        for cases in parts:
            # A step finds gradients if any of the parameters that it updates has some.
            yield from (
                case for case in cases if not _is_partial(case) or all(_tells(other, case) for other in parts)
            )


def _is_partial(case: Case) -> bool:
    return case.mistake is gradient.Mistake.EMPTY_STEP


def _tells(cases: list[Case], case: Case) -> bool:
    return any(other.mistake is case.mistake and other.at.place == case.at.place for other in cases)


_DATA = re.compile(r"\.item\(|isnan|isfinite|isinf")
"""Conditions on the numbers of a batch: they may come out either way in any iteration."""


class _Judge:
    """Judges what the stories of one subject's events tell."""

    def __init__(self, file: File, graph: FlowGraph, subject: Subject) -> None:
        self.file = file
        self.graph = graph
        self.subject = subject
        self.effects = Effects(graph, subject)
        self.events = graph.events()
        self.stories: list[Story] = []

    def cases(self) -> Iterator[Case]:
        for event in self.events:
            belief = self._found_by(event)
            if belief is not None:
                self.stories.append(tell(self.graph, self.effects, event.number, belief))
        judges = {
            gradient.Mistake.STALE_STEP: self._stale,
            gradient.Mistake.REPEATED_STEP: self._repeated,
            gradient.Mistake.EMPTY_STEP: self._empty,
            gradient.Mistake.MIXED_STEP: self._mixed,
            gradient.Mistake.UNUSED: self._unused,
        }
        found: dict[tuple[int, gradient.Mistake], Case] = {}
        for violation in self._violations():
            key = violation.fact.node, violation.mistake
            case = judges[violation.mistake](violation) if key not in found else None
            if case is not None:
                found[key] = case
        for (node, mistake), case in found.items():
            # Gradients of an earlier step outweigh those of another loss.
            if mistake is not gradient.Mistake.MIXED_STEP or (node, gradient.Mistake.STALE_STEP) not in found:
                yield case

    def _found_by(self, event: Happening) -> Belief | None:
        """In which state the event finds the subject when it begins a story; None if it begins none."""
        effects = self.effects.of.get(event.number, ())
        if not effects or not effects[0].sure:
            return None
        found = {Action.STEP: State.FRESH, Action.BACKWARD: State.CLEAN, Action.CLEAR: State.SPENT}
        state = found.get(effects[0].action) if effects[0].action is not None else None
        return frozenset({state}) if state is not None else None

    def _violations(self) -> list[Violation]:
        """Every violation: first those between an event and its own next occurrence, which tell most about a loop."""
        found = [(story, violation) for story in self.stories for violation in story.violations]
        found.sort(key=lambda pair: pair[0].start != pair[1].fact.node)
        return [violation for _, violation in found]

    # Each judge returns a case, or None where the path proves too little.

    def _stale(self, violation: Violation) -> Case | None:
        path, event = violation.fact.path(), self._event(violation.fact)
        first = self._event(path[0])
        if first.kind is not Kind.STEP:
            return None
        steps = [first, event]
        loop = evidence.last_loop_crossed(self.graph, path, _common_loops(steps))
        clears = [
            item
            for item in self.events
            if item.kind is Kind.CLEAR and self.effects.relation(item) is Relation.WHOLE
        ]
        if loop is None:
            return self._stale_within_iteration(violation, path, steps, clears)
        backwards = [self._event(fact) for fact in path if self._is(fact, Kind.BACKWARD)]
        inside = [item for item in clears if loop in item.loops]
        skipped = {guard for item in inside for guard in item.guards[loop.depth :]}
        if inside and not self._skips(skipped, [*steps, *backwards], loop):
            return None
        facts = {"loop": loop.text}
        gates = [_window_gate(item, loop) for item in inside]
        outside = [item for item in steps if not _guard_keys(item, loop)]
        if inside and outside and all(_is_configured(gate) for gate in gates):
            return self._step_outside(path, outside[-1], loop, gates[0])
        if inside:
            facts["path"] = ", ".join(
                sorted(
                    str(Assumption(guard.condition, not guard.truth))
                    for guard in skipped
                    if guard not in event.guards
                )
            )
        wrong = self._wrong_target(loop)
        if wrong is not None:
            facts["wrong_target"] = wrong
        return self._case(violation, event, path, loop, facts)

    def _step_outside(
        self, path: list[Fact], step: Happening, loop: Loop, gate: Assumption | None
    ) -> Case | None:
        """A window whose clear is gated, and whose step is not."""
        assert gate is not None
        if gate.condition.gate is None:
            return None
        return Case(
            window.Mistake.STEP_OUTSIDE,
            self.subject.name,
            evidence.event_of(step, self.subject.name, evidence.place_in(self.file, step.site)),
            evidence.trail(self.graph, self.effects, path, loop, self.subject.name),
            evidence.related(self.effects, self.events, loop, self.subject.name),
            {"loop": loop.text, "window": gate.condition.text, "size": gate.condition.gate.size},
        )

    def _stale_within_iteration(
        self, violation: Violation, path: list[Fact], steps: list[Happening], clears: list[Happening]
    ) -> Case | None:
        """Two steps of one iteration: a mistake only where neither depends on anything that the other does not."""
        first, second = steps
        loop = _innermost(second)
        if loop is None or loop not in first.loops or first.loops != second.loops:
            return None
        if not _nested(_guard_keys(first, None), _guard_keys(second, None)):
            return None
        facts = {"loop": loop.text}
        if any(loop in item.loops for item in clears):
            facts["path"] = "it is the second step of an iteration"
        return self._case(violation, second, path, loop, facts)

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
            if not stable and condition.gate is None and not _DATA.search(condition.text):
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
            relation = self.effects.relation_to_all(item)
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
        earlier = self._event(path[0])
        if earlier.kind is not Kind.STEP or not self._is_fed(event):
            return None
        if not self._crosses_nothing(path):
            return None  # a loop around steps alone is how steps are timed
        if earlier.loops != event.loops or not _nested(_guard_keys(earlier, None), _guard_keys(event, None)):
            return None
        return self._case(violation, event, path, _innermost(event), {})

    def _is_fed(self, step: Happening) -> bool:
        """Whether a backward pass or an assignment surely comes before a step."""
        return any(
            item.kind in (Kind.BACKWARD, Kind.ASSIGN)
            and item.number < step.number
            and self.effects.of[item.number][0].sure
            for item in self.events
            if item.number in self.effects.of
        )

    def _empty(self, violation: Violation) -> Case | None:
        path, event = violation.fact.path(), self._event(violation.fact)
        clear = self._event(path[0])
        if clear.kind is not Kind.CLEAR:
            return None
        arrivals = {belief for story in self.stories for belief in story.arrivals.get(event.number, ())}
        if any(belief != {State.CLEAN} for belief in arrivals):
            return None
        loop = _innermost(event)
        discarded = self._discarded_by(clear)
        if discarded is not None and _nested(_guard_keys(clear, None), _guard_keys(event, None)):
            if clear.loops == event.loops and self._crosses_nothing(path):
                return self._case(
                    violation, clear, [*discarded[:-1], *path], loop, {"order": "cleared after backward"}
                )
        if loop is None:
            return None
        backwards = [
            item for item in self.events if item.kind is Kind.BACKWARD and item.number in self.effects.of
        ]
        inside = [item for item in backwards if loop in item.loops]
        if any(item.number < event.number for item in inside):
            return None
        if inside:
            if not self.effects.of[inside[0].number][0].sure or _guard_keys(event, loop) - _guard_keys(
                inside[0], loop
            ):
                return None
            facts = {"order": "step before backward", "backward": evidence.short(inside[0].text)}
            return self._case(violation, event, path, loop, facts)
        if loop not in clear.loops or self._hides_backward(loop):
            return None
        outside = [item for item in backwards if item.number > event.number]
        if outside and outside[0].loops == event.loops[:-1]:
            facts = {"order": "backward after loop", "backward": evidence.short(outside[0].text)}
            return self._case(violation, event, path, loop, facts)
        if backwards:
            return None
        return self._case(violation, event, path, loop, {"order": "no backward"})

    def _discarded_by(self, clear: Happening) -> list[Fact] | None:
        """The path of one iteration from a backward pass to a clear that throws its gradients away."""
        for story in self.stories:
            for violation in story.violations:
                if violation.mistake is gradient.Mistake.UNUSED and violation.fact.node == clear.number:
                    path = violation.fact.path()
                    backward = self._event(path[0])
                    if (
                        self._crosses_nothing(path)
                        and backward.kind is Kind.BACKWARD
                        and backward.loops == clear.loops
                    ):
                        return path
        return None

    def _crosses_nothing(self, path: list[Fact]) -> bool:
        return all(self.graph.nodes[fact.node].again is None for fact in path)

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
        foreign = self._event(path[0])
        other = next((self._event(fact) for fact in path if self._is(fact, Kind.STEP, mine=False)), None)
        if foreign.kind is not Kind.BACKWARD or other is None:
            return None
        names = [thing.label for thing in things_in(other.target)]
        facts = {"foreign": evidence.short(foreign.text), "other": names[0] if names else "another"}
        return self._case(violation, event, path, _innermost(event), facts)

    def _unused(self, violation: Violation) -> Case | None:
        path, clear = violation.fact.path(), self._event(violation.fact)
        backward = self._event(path[0])
        if backward.kind is not Kind.BACKWARD:
            return None
        common = _common_loops([backward, clear])
        loop = evidence.last_loop_crossed(self.graph, path, common) or (common[-1] if common else None)
        if loop is None or self._uses_gradients(loop):
            return None
        # Steps of other loops beside this one are another story.
        steps = [
            item
            for item in self.events
            if item.kind is Kind.STEP
            and self._may_step(item)
            and (loop in item.loops or item.loops == backward.loops[: len(item.loops)])
        ]
        inside = [item for item in steps if loop in item.loops]
        if inside:
            return self._window(violation, clear, backward, inside, path, loop)
        if clear.target is not self.subject.optimizer and not steps:
            return None  # a module's gradients may be wanted for something else than a step
        if not steps and (self._stepped_elsewhere() or self._escapes()):
            return None
        if not _guard_keys(clear, loop) <= _guard_keys(backward, loop):
            return None
        later = [item for item in steps if item.number > backward.number]
        if steps and not later:
            return None
        told = [item for item in self.events if item.kind is not Kind.STEP or item in steps]
        return self._case(violation, backward, path, loop, {"loop": loop.text}, told)

    def _uses_gradients(self, loop: Loop) -> bool:
        """Whether the loop reads or sets gradients by hand, so that they serve without a step."""
        return any(
            item.kind in (Kind.READ, Kind.ASSIGN) and loop in item.loops and item.number in self.effects.of
            for item in self.events
        )

    def _may_step(self, item: Happening) -> bool:
        return any(thing is self.subject.optimizer for thing in things_in(item.target)) or (
            self.effects.relation(item) is Relation.UNKNOWN
        )

    def _escapes(self) -> bool:
        """Whether code that cannot be read gets the optimizer, and may step it."""
        return any(
            item.kind is Kind.UNKNOWN and item.target is not None and item.number in self.effects.of
            for item in self.events
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
        if any(gate is None for gate in gates) or clear.loops != steps[0].loops:
            return None
        gate = gates[0]
        assert gate is not None
        fed = _guard_keys(backward, loop)
        own = _guard_keys(clear, loop) - {SYNC} - fed
        if own or gate.condition.key in fed or self._is_rarer_loss(gate, loop):
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
            evidence.related(self.effects, self.events, loop, self.subject.name),
            facts,
        )

    def _is_rarer_loss(self, gate: Assumption, loop: Loop) -> bool:
        """Whether the step has a backward pass of its own behind its gate, so that it is rarer, not accumulating."""
        return any(
            item.kind is Kind.BACKWARD
            and item.number in self.effects.of
            and gate.condition.key in _guard_keys(item, loop)
            for item in self.events
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

    def _case(
        self,
        violation: Violation,
        at: Happening,
        path: list[Fact],
        loop: Loop | None,
        facts: dict[str, str],
        told: Sequence[Happening] | None = None,
    ) -> Case:
        if loop is not None:
            facts = {"loop": loop.text, **facts}
        return Case(
            violation.mistake,
            self.subject.name,
            evidence.event_of(at, self.subject.name, evidence.place_in(self.file, at.site)),
            evidence.trail(self.graph, self.effects, path, loop, self.subject.name),
            evidence.related(
                self.effects, told if told is not None else self.events, loop, self.subject.name
            ),
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


def _is_configured(guard: Assumption | None) -> bool:
    """Whether a guard is a gate whose window has a size that somebody may set: not `i % 100`, as for a log line."""
    gate = guard.condition.gate if guard is not None else None
    return gate is not None and not gate.size.isdecimal()
