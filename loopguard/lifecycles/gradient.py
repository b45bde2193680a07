"""The gradient lifecycle: what an optimizer's `.grad` fields are made of, from one clear to the next.

    state     meaning
    clean     nothing deposited since the last clear
    fresh     deposited since the last clear, not yet used by a step
    spent     already used by a step, not cleared since
    stale     new gradients added on top of spent ones
    shared    fresh, and another optimizer has stepped on the same backward pass
    mixed     shared, and a later backward pass has added its gradients on top

PyTorch adds into `.grad` and never clears it by itself:
https://docs.pytorch.org/docs/stable/notes/autograd.html and
https://docs.pytorch.org/docs/stable/generated/torch.optim.Optimizer.zero_grad.html
"""

from __future__ import annotations

from enum import Enum


class State(Enum):
    """What the gradients of one optimizer are, at one point of one path."""

    CLEAN = "clean"
    FRESH = "fresh"
    SPENT = "spent"
    STALE = "stale"
    SHARED = "shared"
    MIXED = "mixed"


class Action(Enum):
    """What an event means to one optimizer's gradients."""

    BACKWARD = "backward"
    CLEAR = "clear"
    STEP = "step"
    OTHER_STEP = "another optimizer steps on the same backward"
    ASSIGN = "gradients are assigned by hand"
    USE = "gradients are read, and serve somebody else"


class Mistake(Enum):
    """A transition that no correct training loop makes, if the state is certain."""

    STALE_STEP = "stale step"
    REPEATED_STEP = "step repeated on the same gradients"
    EMPTY_STEP = "step without gradients"
    MIXED_STEP = "step on gradients of somebody else's loss"
    UNUSED = "gradients discarded before any step used them"


_S, _A, _M = State, Action, Mistake

TRANSITIONS: dict[tuple[State, Action], tuple[State, Mistake | None]] = {
    (_S.CLEAN, _A.BACKWARD): (_S.FRESH, None),
    (_S.FRESH, _A.BACKWARD): (_S.FRESH, None),
    (_S.SPENT, _A.BACKWARD): (_S.STALE, None),
    (_S.STALE, _A.BACKWARD): (_S.STALE, None),
    (_S.SHARED, _A.BACKWARD): (_S.MIXED, None),
    (_S.MIXED, _A.BACKWARD): (_S.MIXED, None),
    (_S.CLEAN, _A.CLEAR): (_S.CLEAN, None),
    (_S.FRESH, _A.CLEAR): (_S.CLEAN, _M.UNUSED),
    (_S.SPENT, _A.CLEAR): (_S.CLEAN, None),
    (_S.STALE, _A.CLEAR): (_S.CLEAN, None),
    (_S.SHARED, _A.CLEAR): (_S.CLEAN, _M.UNUSED),
    (_S.MIXED, _A.CLEAR): (_S.CLEAN, None),
    (_S.CLEAN, _A.STEP): (_S.CLEAN, _M.EMPTY_STEP),
    (_S.FRESH, _A.STEP): (_S.SPENT, None),
    (_S.SPENT, _A.STEP): (_S.SPENT, _M.REPEATED_STEP),
    (_S.STALE, _A.STEP): (_S.SPENT, _M.STALE_STEP),
    (_S.SHARED, _A.STEP): (_S.SPENT, None),
    (_S.MIXED, _A.STEP): (_S.SPENT, _M.MIXED_STEP),
    (_S.FRESH, _A.OTHER_STEP): (_S.SHARED, None),
    **{(state, _A.OTHER_STEP): (state, None) for state in State if state is not _S.FRESH},
    **{(state, _A.ASSIGN): (_S.FRESH, None) for state in State},
    **{(state, _A.USE): (state, None) for state in State},
    (_S.FRESH, _A.USE): (_S.SPENT, None),
    (_S.STALE, _A.USE): (_S.SPENT, None),
}
"""What each action does to each state, and the mistake it makes if the state is certain. Total."""
