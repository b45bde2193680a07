"""A lifecycle as the worklist runs it: what an effect does to a belief, and where a story of it begins and ends.

A *belief* is the set of states that the subject may be in at one point of one path: one state where everything on the
way was sure, several where it was not. A mistake is reported only if every state of the belief makes one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from typing import Any

from loopguard.lifecycles import gradient
from loopguard.static.records import comparable

Belief = frozenset[Enum]


@comparable
class Effect:
    """What an event does to a subject: an action of its lifecycle.

    `sure` effects happen whenever the event does. `anything` stands for code that may do whatever it likes.
    """

    action: Enum | None
    sure: bool = True
    anything: bool = False


ANYTHING = Effect(None, anything=True)


@dataclass(frozen=True, eq=False)
class Automaton:
    """The table of a lifecycle, and where its stories begin and end.

    A sure action of `found` begins a story: it is taken to find the subject in the state given there. Sure actions in
    `ends` decide the state anew, and end the stories of others, unless they are `idle`: an action after which a
    subject in that state is where it was. `outweighs` names the mistake that counts where a belief makes several.
    """

    transitions: Mapping[Any, tuple[Enum, Enum | None]]
    found: Mapping[Any, Enum]
    ends: frozenset[Enum]
    idle: tuple[Enum, Enum] | None = None
    outweighs: Mapping[frozenset[Enum], Enum] = field(default_factory=dict)

    @cached_property
    def unknown(self) -> Belief:
        """The belief of somebody who knows nothing."""
        return frozenset(state for state, _ in self.transitions)

    @cached_property
    def faults(self) -> frozenset[Enum]:
        """The actions that are a mistake in some state."""
        return frozenset(action for (_, action), (_, mistake) in self.transitions.items() if mistake is not None)

    def after(self, belief: Belief, effect: Effect) -> tuple[Belief, Enum | None]:
        """The belief after an effect, and the mistake if the effect is one in every state of the belief."""
        if effect.anything:
            return self.unknown, None
        assert effect.action is not None
        outcomes = [self.transitions[state, effect.action] for state in belief]
        states = frozenset(state for state, _ in outcomes)
        if not effect.sure:
            return belief | states, None
        mistakes = {mistake for _, mistake in outcomes}
        if len(mistakes) == 1:
            return states, mistakes.pop()
        return states, self.outweighs.get(
            frozenset(item for item in mistakes if item)
        ) if None not in mistakes else None

    def settles(self, effect: Effect, belief: Belief) -> bool:
        """Whether an effect decides anew in which state the subject is; `belief` is what is believed after it."""
        if not effect.sure or effect.action not in self.ends:
            return False
        return self.idle is None or (effect.action, belief) != (self.idle[0], frozenset({self.idle[1]}))


_A, _S, _M = gradient.Action, gradient.State, gradient.Mistake

GRADIENT = Automaton(
    gradient.TRANSITIONS,
    found={_A.STEP: _S.FRESH, _A.BACKWARD: _S.CLEAN, _A.CLEAR: _S.SPENT},
    ends=frozenset({_A.STEP, _A.CLEAR}),
    # A step that finds nothing leaves everything as it is.
    idle=(_A.STEP, _S.CLEAN),
    # Used gradients are there in either case; whether new ones came on top decides nothing.
    outweighs={frozenset({_M.STALE_STEP, _M.REPEATED_STEP}): _M.STALE_STEP},
)
"""The gradient lifecycle."""
