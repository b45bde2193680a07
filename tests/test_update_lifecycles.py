"""The lifecycles of scaling, clipping and schedules as tables: total, closed, and never wrong about what is right."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from itertools import product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loopguard.lifecycles import clipping, scaling, schedule
from loopguard.lifecycles.scaling import SCALES, STAGES, Scale, Stage

fixed = settings(derandomize=True, deadline=None, max_examples=200)

Table = Mapping[Any, tuple[Enum, Enum | None]]

A, M = scaling.Action, scaling.Mistake
TABLES: dict[str, tuple[Table, type[Enum], type[Enum], Enum]] = {
    "scales": (SCALES, Scale, A, Scale.CLEAN),
    "stages": (STAGES, Stage, A, Stage.READY),
    "clipping": (clipping.TRANSITIONS, clipping.State, clipping.Action, clipping.State.CLEAN),
    "schedule": (schedule.TRANSITIONS, schedule.State, schedule.Action, schedule.State.BUILT),
}
every_table = pytest.mark.parametrize("name", TABLES)


def run(table: Table, state: Enum, *actions: Enum) -> tuple[Enum, list[Enum]]:
    """The state after some actions, and the mistakes on the way."""
    mistakes = []
    for action in actions:
        state, mistake = table[state, action]
        mistakes += [mistake] if mistake is not None else []
    return state, mistakes


@every_table
def test_every_state_says_what_every_action_does(name: str) -> None:
    table, states, actions, _ = TABLES[name]
    assert table.keys() == set(product(states, actions))


@every_table
def test_every_state_is_reached_from_the_beginning(name: str) -> None:
    table, states, actions, start = TABLES[name]
    reached, fresh = {start}, {start}
    while fresh:
        fresh = {table[state, action][0] for state in fresh for action in actions} - reached
        reached |= fresh
    assert reached == set(states)


@every_table
def test_a_mistake_changes_nothing_but_what_the_action_does_anyway(name: str) -> None:
    """So that one mistake is told once, and not again as another."""
    table, *_ = TABLES[name]
    assert all(after is state for (state, _), (after, mistake) in table.items() if mistake is not None)


def test_every_mistake_about_a_scaler_is_made_by_some_transition() -> None:
    assert {mistake for table in (SCALES, STAGES) for _, mistake in table.values()} == {*M, None}


def test_mistakes_about_clips_and_schedules_that_no_state_can_know_are_seen_by_other_means() -> None:
    known = {mistake for table, *_ in (TABLES["clipping"], TABLES["schedule"]) for _, mistake in table.values()}
    others = {*clipping.Mistake, *schedule.Mistake} - known
    assert others == {
        clipping.Mistake.WRONG_PARAMETERS,
        schedule.Mistake.NEVER_STEPPED,
        schedule.Mistake.PER_EPOCH,
        schedule.Mistake.PER_BATCH,
        schedule.Mistake.NO_METRIC,
    }


@pytest.mark.parametrize(
    ("actions", "mistakes"),
    [
        ([A.SCALED_BACKWARD, A.SCALER_STEP], []),
        ([A.SCALED_BACKWARD, A.UNSCALE, A.CLIP, A.SCALER_STEP], []),
        ([A.SCALED_BACKWARD, A.UNSCALE, A.CLIP, A.STEP], []),
        ([A.SCALED_BACKWARD, A.SCALER_STEP, A.CLIP], []),
        ([A.BACKWARD, A.CLIP, A.STEP], []),
        ([A.SCALED_BACKWARD, A.STEP], [M.BYPASSED]),
        ([A.SCALED_BACKWARD, A.STEP, A.SCALER_STEP], [M.BYPASSED]),
        ([A.SCALED_BACKWARD, A.CLIP, A.SCALER_STEP], [M.CLIPPED_SCALED]),
        ([A.SCALED_BACKWARD, A.UNSCALE, A.SCALED_BACKWARD, A.CLIP], [M.CLIPPED_SCALED]),
        ([A.SCALED_BACKWARD, A.BACKWARD, A.STEP], [M.BYPASSED]),
        ([A.BACKWARD, A.SCALER_STEP], [M.UNSCALED_LOSS]),
        ([A.SCALED_BACKWARD, A.CLEAR, A.BACKWARD, A.STEP], []),
    ],
)
def test_what_has_multiplied_the_gradients_decides_who_may_use_them(actions: list[A], mistakes: list[M]) -> None:
    assert run(SCALES, Scale.CLEAN, *actions)[1] == mistakes


@pytest.mark.parametrize(
    ("actions", "mistakes"),
    [
        ([A.UNSCALE, A.SCALER_STEP, A.UPDATE], []),
        ([A.SCALER_STEP, A.UPDATE, A.SCALER_STEP, A.UPDATE], []),
        ([A.SCALER_STEP, A.SCALER_STEP], [M.NO_UPDATE]),
        ([A.UNSCALE, A.UNSCALE], [M.UNSCALED_TWICE]),
        ([A.UNSCALE, A.UPDATE, A.UNSCALE], []),
        ([A.SCALER_STEP, A.UNSCALE], [M.UNSCALED_LATE]),
        ([A.UNSCALE, A.CLEAR, A.UNSCALE], [M.UNSCALED_TWICE]),
    ],
)
def test_only_an_update_ends_what_a_scaler_does_with_an_optimizer(actions: list[A], mistakes: list[M]) -> None:
    assert run(STAGES, Stage.READY, *actions)[1] == mistakes


HISTORIES = st.lists(st.sampled_from(A), max_size=12)


@fixed
@given(HISTORIES)
def test_after_any_history_a_clear_and_an_update_the_documented_iteration_makes_no_mistake(history: list[A]) -> None:
    iteration = [A.SCALED_BACKWARD, A.UNSCALE, A.CLIP, A.SCALER_STEP, A.UPDATE, A.CLEAR]
    for table, start in ((SCALES, Scale.CLEAN), (STAGES, Stage.READY)):
        state, _ = run(table, start, *history)
        assert run(table, state, A.CLEAR, A.UPDATE, *iteration * 3)[1] == []


@fixed
@given(st.lists(st.sampled_from([action for action in A if action is not A.SCALED_BACKWARD]), max_size=12))
def test_where_no_loss_is_scaled_nothing_goes_past_the_scaler(history: list[A]) -> None:
    _, mistakes = run(SCALES, Scale.CLEAN, *history)
    assert set(mistakes) <= {M.UNSCALED_LOSS}


@fixed
@given(st.lists(st.sampled_from(clipping.Action), max_size=12))
def test_a_clip_is_a_mistake_if_nothing_was_computed_since_the_last_clear_or_step(history: list[Any]) -> None:
    state, _ = run(clipping.TRANSITIONS, clipping.State.CLEAN, *history)
    decisive = [action for action in history if action is not clipping.Action.CLIP]
    last = decisive[-1] if decisive else clipping.Action.CLEAR
    _, mistakes = run(clipping.TRANSITIONS, state, clipping.Action.CLIP)
    assert (mistakes == []) is (last is clipping.Action.BACKWARD)


@fixed
@given(st.lists(st.sampled_from(schedule.Action), max_size=12))
def test_a_schedule_is_early_until_its_optimizer_has_stepped(history: list[Any]) -> None:
    since = (
        history[len(history) - history[::-1].index(schedule.Action.BUILD) :]
        if schedule.Action.BUILD in history
        else history
    )
    state, _ = run(schedule.TRANSITIONS, schedule.State.BUILT, *history)
    _, mistakes = run(schedule.TRANSITIONS, state, schedule.Action.SCHEDULE)
    assert bool(mistakes) is (schedule.Action.STEP not in since)
