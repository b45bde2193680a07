"""Clipping: gradients are bounded after they have been computed and before they are used.

    state    meaning
    clean    no gradients
    fresh    computed, not yet used by a step
    used     already used by a step

https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.clip_grad_norm_.html
"""

from __future__ import annotations

from enum import Enum


class State(Enum):
    """What there is to clip."""

    __hash__ = object.__hash__  # a run looks them up at every event, and the one of Enum is slow

    CLEAN = "clean"
    FRESH = "fresh"
    USED = "used"


class Action(Enum):
    """What an event means to gradients that are to be clipped."""

    __hash__ = object.__hash__

    BACKWARD = "backward"
    CLEAR = "clear"
    STEP = "step"
    CLIP = "clip"


class Mistake(Enum):
    """A clip that bounds nothing that is used."""

    AFTER_STEP = "gradients clipped after the step that used them"
    BEFORE_BACKWARD = "a clip before there are gradients"
    WRONG_PARAMETERS = "what is clipped is not what is stepped"


_S, _A, _M = State, Action, Mistake

TRANSITIONS: dict[tuple[State, Action], tuple[State, Mistake | None]] = {
    **{(state, _A.BACKWARD): (_S.FRESH, None) for state in State},
    **{(state, _A.CLEAR): (_S.CLEAN, None) for state in State},
    (_S.CLEAN, _A.STEP): (_S.CLEAN, None),
    (_S.FRESH, _A.STEP): (_S.USED, None),
    (_S.USED, _A.STEP): (_S.USED, None),
    (_S.CLEAN, _A.CLIP): (_S.CLEAN, _M.BEFORE_BACKWARD),
    (_S.FRESH, _A.CLIP): (_S.FRESH, None),
    (_S.USED, _A.CLIP): (_S.USED, _M.AFTER_STEP),
}
"""What each action does to each state, and the mistake it makes if the state is certain. Total."""
