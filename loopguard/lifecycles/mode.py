"""Modes: a module trains or evaluates, and autograd records or does not.

    state   meaning
    train   dropout drops, batch normalisation uses and updates batch statistics
    eval    neither

`module.eval()` lasts until `module.train()`; it has nothing to do with recording a graph, which `torch.no_grad()`
switches off: https://docs.pytorch.org/docs/stable/notes/autograd.html#locally-disabling-gradient-computation
"""

from __future__ import annotations

import re
from enum import Enum


class State(Enum):
    """The mode of a module."""

    TRAIN = "train"
    EVAL = "eval"


class Action(Enum):
    """What an event means to the mode of a module, or asks of it."""

    TRAIN = "switched to training"
    EVAL = "switched to evaluation"
    LEARN = "a training step through the module"
    VALIDATE = "a validation pass through the module"


class Mistake(Enum):
    """Work done in the wrong mode."""

    NOT_RESTORED = "training goes on in evaluation mode"
    NOT_EVAL = "validation in training mode"
    BUILDS_GRAPH = "a validation pass records a graph that nobody uses"
    GRAD_OFF = "training while autograd records nothing"


TRANSITIONS: dict[tuple[State, Action], tuple[State, Mistake | None]] = {
    **{(state, Action.TRAIN): (State.TRAIN, None) for state in State},
    **{(state, Action.EVAL): (State.EVAL, None) for state in State},
    (State.TRAIN, Action.LEARN): (State.TRAIN, None),
    (State.EVAL, Action.LEARN): (State.EVAL, Mistake.NOT_RESTORED),
    (State.TRAIN, Action.VALIDATE): (State.TRAIN, Mistake.NOT_EVAL),
    (State.EVAL, Action.VALIDATE): (State.EVAL, None),
}
"""What each action does to each state, and the mistake it makes if the state is certain. Total."""

DEPENDS_ON_MODE = re.compile(r"Dropout|BatchNorm|InstanceNorm|RReLU|StochasticDepth|DropPath", re.IGNORECASE)
"""What the layers are called that compute something else in training than in evaluation."""
