"""Learning-rate schedules: built over an optimizer, moved on once per period, after the optimizer's step.

    state     meaning
    built     no step of the optimizer yet
    running   the optimizer has stepped

https://docs.pytorch.org/docs/stable/optim.html#how-to-adjust-learning-rate
"""

from __future__ import annotations

from enum import Enum


class State(Enum):
    """How far a schedule has got."""

    BUILT = "built"
    RUNNING = "running"


class Action(Enum):
    """What an event means to a schedule."""

    BUILD = "the schedule is built"
    STEP = "step of the optimizer"
    SCHEDULE = "the schedule moves on"


class Mistake(Enum):
    """How a schedule misses the steps that it is meant for."""

    BEFORE_OPTIMIZER = "the schedule moves before the optimizer's first step"
    NEVER_STEPPED = "a schedule that never moves"
    PER_EPOCH = "a schedule counted in batches moves once per epoch"
    PER_BATCH = "a schedule counted in epochs moves once per batch"
    NO_METRIC = "a plateau schedule that is told no metric"


TRANSITIONS: dict[tuple[State, Action], tuple[State, Mistake | None]] = {
    **{(state, Action.BUILD): (State.BUILT, None) for state in State},
    (State.BUILT, Action.STEP): (State.RUNNING, None),
    (State.RUNNING, Action.STEP): (State.RUNNING, None),
    (State.BUILT, Action.SCHEDULE): (State.BUILT, Mistake.BEFORE_OPTIMIZER),
    (State.RUNNING, Action.SCHEDULE): (State.RUNNING, None),
}
"""What each action does to each state, and the mistake it makes if the state is certain. Total."""

PER_BATCH = frozenset({"OneCycleLR", "CyclicLR"})
"""Schedules that are made to move after every batch."""
