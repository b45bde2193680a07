"""Loss scaling: what scale an optimizer's gradients are in, and at which stage its scaler is.

    scale      meaning                                    stage      meaning
    clean      no gradients                               ready      nothing done since the last update
    plain      of a loss as it is                         unscaled   the gradients have been unscaled
    scaled     of a loss times the scale                  stepped    the step has been taken, an update is due
    unscaled   divided by the scale again

A scaler multiplies the loss, divides the gradients before the step, and changes the scale afterwards:
https://docs.pytorch.org/docs/stable/notes/amp_examples.html and
https://docs.pytorch.org/docs/stable/amp.html#gradient-scaling
"""

from __future__ import annotations

from enum import Enum


class Scale(Enum):
    """What an optimizer's gradients have been multiplied with."""

    __hash__ = object.__hash__  # a run looks them up at every event, and the one of Enum is slow

    CLEAN = "clean"
    PLAIN = "plain"
    SCALED = "scaled"
    UNSCALED = "unscaled"


class Stage(Enum):
    """How far a scaler has got with one optimizer, in the words of `torch.amp.GradScaler`."""

    __hash__ = object.__hash__

    READY = "ready"
    UNSCALED = "unscaled"
    STEPPED = "stepped"


class Action(Enum):
    """What an event means to gradients that a scaler may have scaled, or to the scaler itself."""

    __hash__ = object.__hash__

    BACKWARD = "backward of a plain loss"
    SCALED_BACKWARD = "backward of a scaled loss"
    UNSCALE = "unscale"
    CLIP = "clip"
    STEP = "step without the scaler"
    SCALER_STEP = "step through the scaler"
    UPDATE = "update of the scale"
    CLEAR = "clear"


class Mistake(Enum):
    """A transition that no correct use of a scaler makes, if the state is certain."""

    NO_UPDATE = "a second step without an update of the scale"
    BYPASSED = "a step on scaled gradients without the scaler"
    UNSCALED_LOSS = "a step through the scaler on gradients that were never scaled"
    CLIPPED_SCALED = "gradients clipped while they are scaled"
    UNSCALED_TWICE = "gradients unscaled twice before an update"
    UNSCALED_LATE = "gradients unscaled after their step"


_S, _T, _A, _M = Scale, Stage, Action, Mistake

SCALES: dict[tuple[Scale, Action], tuple[Scale, Mistake | None]] = {
    **{(scale, action): (scale, None) for scale in Scale for action in Action},
    **{(scale, _A.BACKWARD): (_S.PLAIN, None) for scale in (_S.CLEAN, _S.PLAIN, _S.UNSCALED)},
    **{(scale, _A.SCALED_BACKWARD): (_S.SCALED, None) for scale in Scale},
    (_S.SCALED, _A.UNSCALE): (_S.UNSCALED, None),
    (_S.SCALED, _A.CLIP): (_S.SCALED, _M.CLIPPED_SCALED),
    (_S.SCALED, _A.STEP): (_S.SCALED, _M.BYPASSED),
    (_S.SCALED, _A.SCALER_STEP): (_S.UNSCALED, None),
    (_S.PLAIN, _A.SCALER_STEP): (_S.PLAIN, _M.UNSCALED_LOSS),
    **{(scale, _A.CLEAR): (_S.CLEAN, None) for scale in Scale},
}
"""What each action does to the scale of an optimizer's gradients. Total."""

STAGES: dict[tuple[Stage, Action], tuple[Stage, Mistake | None]] = {
    **{(stage, action): (stage, None) for stage in Stage for action in Action},
    (_T.READY, _A.UNSCALE): (_T.UNSCALED, None),
    (_T.UNSCALED, _A.UNSCALE): (_T.UNSCALED, _M.UNSCALED_TWICE),
    (_T.STEPPED, _A.UNSCALE): (_T.STEPPED, _M.UNSCALED_LATE),
    (_T.READY, _A.SCALER_STEP): (_T.STEPPED, None),
    (_T.UNSCALED, _A.SCALER_STEP): (_T.STEPPED, None),
    (_T.STEPPED, _A.SCALER_STEP): (_T.STEPPED, _M.NO_UPDATE),
    **{(stage, _A.UPDATE): (_T.READY, None) for stage in Stage},
}
"""What each action does to the stage of a scaler with one optimizer. Total."""
