"""The gradient lifecycle as a table: total, closed, and never wrong about a loop that does what it should."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loopguard.lifecycles.gradient import TRANSITIONS, Action, Mistake, State
from loopguard.lifecycles.window import Gate

fixed = settings(derandomize=True, deadline=None, max_examples=200)

STATES = list(State)
ACTIONS = st.sampled_from(Action)
HISTORIES = st.lists(ACTIONS, max_size=12)
OWN = (Action.CLEAR, Action.BACKWARD, Action.STEP)
"""The actions of a loop with one optimizer."""


def run(*actions: Action, start: State = State.CLEAN) -> tuple[State, list[Mistake]]:
    """The state after some actions, and the mistakes on the way."""
    state, mistakes = start, []
    for action in actions:
        state, mistake = TRANSITIONS[state, action]
        mistakes += [mistake] if mistake is not None else []
    return state, mistakes


def test_every_state_says_what_every_action_does() -> None:
    assert TRANSITIONS.keys() == set(product(State, Action))


def test_every_mistake_is_made_by_some_transition() -> None:
    assert {mistake for _, mistake in TRANSITIONS.values()} == {*Mistake, None}


def test_every_state_is_reached_from_a_clean_start() -> None:
    reached, fresh = {State.CLEAN}, {State.CLEAN}
    while fresh:
        fresh = {TRANSITIONS[state, action][0] for state in fresh for action in Action} - reached
        reached |= fresh
    assert reached == set(State)


@pytest.mark.parametrize("state", STATES)
def test_a_clear_leads_to_clean(state: State) -> None:
    assert TRANSITIONS[state, Action.CLEAR][0] is State.CLEAN


@pytest.mark.parametrize("state", STATES)
def test_an_assignment_leads_to_fresh_and_is_no_mistake(state: State) -> None:
    assert TRANSITIONS[state, Action.ASSIGN] == (State.FRESH, None)


@pytest.mark.parametrize("state", STATES)
def test_a_backward_pass_is_never_a_mistake_by_itself(state: State) -> None:
    assert TRANSITIONS[state, Action.BACKWARD][1] is None


@pytest.mark.parametrize("state", STATES)
def test_a_step_leaves_gradients_that_are_used_or_none(state: State) -> None:
    assert TRANSITIONS[state, Action.STEP][0] in (State.SPENT, State.CLEAN)


@pytest.mark.parametrize("state", STATES)
def test_clearing_twice_is_clearing_once(state: State) -> None:
    _, mistake = TRANSITIONS[state, Action.CLEAR]
    assert run(Action.CLEAR, Action.CLEAR, start=state) == (State.CLEAN, [mistake] if mistake else [])


@pytest.mark.parametrize(("state", "action"), [(s, a) for s in State for a in (Action.BACKWARD, Action.CLEAR)])
def test_a_second_backward_or_clear_changes_no_state(state: State, action: Action) -> None:
    once = TRANSITIONS[state, action][0]
    assert TRANSITIONS[once, action][0] is once


@pytest.mark.parametrize(
    ("before", "mistakes"),
    [
        ([], [Mistake.EMPTY_STEP]),
        ([Action.BACKWARD], []),
        ([Action.BACKWARD, Action.BACKWARD], []),
        ([Action.BACKWARD, Action.STEP], [Mistake.REPEATED_STEP]),
        ([Action.BACKWARD, Action.STEP, Action.BACKWARD], [Mistake.STALE_STEP]),
        ([Action.BACKWARD, Action.CLEAR], [Mistake.UNUSED, Mistake.EMPTY_STEP]),
        ([Action.BACKWARD, Action.OTHER_STEP], []),
        ([Action.BACKWARD, Action.OTHER_STEP, Action.BACKWARD], [Mistake.MIXED_STEP]),
        ([Action.OTHER_STEP, Action.BACKWARD], []),
    ],
)
def test_what_a_step_finds_decides_its_mistake(before: list[Action], mistakes: list[Mistake]) -> None:
    assert run(*before, Action.STEP)[1] == mistakes


@fixed
@given(HISTORIES)
def test_after_any_history_the_canonical_iteration_makes_no_mistake(history: list[Action]) -> None:
    state, _ = run(*history, Action.CLEAR)
    assert run(*[Action.BACKWARD, Action.STEP, Action.CLEAR] * 3, start=state) == (State.CLEAN, [])


@fixed
@given(st.lists(st.integers(1, 4), max_size=6))
def test_any_number_of_backward_passes_before_each_step_is_no_mistake(windows: list[int]) -> None:
    for size in windows:
        assert run(Action.CLEAR, *[Action.BACKWARD] * size, Action.STEP, Action.CLEAR)[1] == []


@fixed
@given(st.lists(st.sampled_from(OWN), max_size=10), st.integers(1, 4))
def test_without_a_clear_every_step_after_the_first_is_a_mistake(history: list[Action], more: int) -> None:
    state, _ = run(*(action for action in history if action is not Action.CLEAR), Action.BACKWARD, Action.STEP)
    assert run(*[Action.BACKWARD, Action.STEP] * more, start=state)[1] == [Mistake.STALE_STEP] * more


@fixed
@given(HISTORIES)
def test_gradients_are_stale_only_by_a_use_and_a_backward_pass_since_the_last_clear(history: list[Action]) -> None:
    for end in range(len(history)):
        since = history[:end]
        while Action.CLEAR in since:
            since = since[since.index(Action.CLEAR) + 1 :]
        if run(*history[:end])[0] is State.STALE:
            assert {Action.STEP, Action.USE}.intersection(since) and Action.BACKWARD in since


@fixed
@given(st.lists(st.sampled_from(OWN), max_size=12))
def test_alone_an_optimizer_is_never_told_of_somebody_elses_loss(history: list[Action]) -> None:
    state, mistakes = run(*history)
    assert Mistake.MIXED_STEP not in mistakes
    assert state not in (State.SHARED, State.MIXED)


@pytest.mark.parametrize(
    ("start", "offset", "remainder", "size", "opens"),
    [
        (0, 0, 0, "4", True),  # i % 4 == 0
        (0, 1, 0, "4", False),  # (i + 1) % 4 == 0
        (1, 0, 0, "k", False),  # counted from 1
        (0, 0, 3, "4", False),  # i % 4 == 3
        (1, -1, 0, "k", True),
        (0, 0, 0, "1", False),  # every iteration is a window
        (None, 0, 0, "4", False),
        (0, 0, None, "4", False),
    ],
)
def test_a_gate_opens_first_where_its_remainder_is_met_at_the_start(
    start: int | None, offset: int, remainder: int | None, size: str, opens: bool
) -> None:
    assert Gate("gate", "i", offset, size, remainder, start).opens_first is opens
