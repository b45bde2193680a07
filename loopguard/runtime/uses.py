"""Uses: in which scale an optimizer's gradients are, what its scaler has done, and whether clips bound anything.

One for each account, which tells it of clears, deposits and steps. What cannot be known is None, and is no mistake.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING
from weakref import ref

from torch.amp import GradScaler

from loopguard.lifecycles import clipping
from loopguard.lifecycles.scaling import SCALES, STAGES, Action, Scale, Stage

if TYPE_CHECKING:
    from loopguard.runtime.entries import Entry

_CLIPPING = {
    Action.BACKWARD: clipping.Action.BACKWARD,
    Action.SCALED_BACKWARD: clipping.Action.BACKWARD,
    Action.CLEAR: clipping.Action.CLEAR,
    Action.STEP: clipping.Action.STEP,
    Action.SCALER_STEP: clipping.Action.STEP,
    Action.CLIP: clipping.Action.CLIP,
}
"""What means something to clips, too."""


@dataclass(slots=True)
class Vain:
    """A clip that has bounded nothing so far, and the step that had used the gradients, if there was one."""

    mistake: Enum
    clip: Entry
    step: Entry | None


class Use:
    """What becomes of the gradients of one optimizer between a backward pass and the next clear."""

    def __init__(self) -> None:
        self.scale: Scale | None = Scale.CLEAN
        self.stage = Stage.READY
        self.clips: clipping.State | None = clipping.State.CLEAN
        self.last: dict[Action, Entry] = {}
        self.vain: Vain | None = None
        self.proved: Vain | None = None
        self._scaler: ref[GradScaler] | None = None

    def is_through(self, scaler: GradScaler) -> bool:
        """Whether this was the scaler that the gradients went through last."""
        return self._scaler is not None and self._scaler() is scaler

    def through(self, scaler: GradScaler) -> None:
        """The gradients go through a scaler. Each has stages of its own."""
        if not self.is_through(scaler):
            self._scaler = ref(scaler)
            self.stage = Stage.READY

    def forget(self) -> None:
        """Somebody has done something to the gradients of which nothing is known."""
        self.scale = self.clips = self.vain = None

    def mistakes(self, action: Action) -> list[Enum]:
        """The mistakes that an action would be."""
        found: list[Enum | None] = [STAGES[self.stage, action][1]]
        if self.scale is not None:
            found.append(SCALES[self.scale, action][1])
        return [mistake for mistake in found if mistake is not None]

    def receives(self, action: Action | None, entry: Entry) -> None:
        """A backward pass has deposited something; of what kind its loss was may not be known."""
        if action is not None:
            self.act(action, entry)
        else:
            self.act(Action.BACKWARD, entry)
            self.scale = None

    def act(self, action: Action, entry: Entry | None = None) -> None:
        """Let an action have its effect."""
        if self.scale is not None or action in (Action.CLEAR, Action.SCALED_BACKWARD):
            self.scale = SCALES[self.scale or Scale.SCALED, action][0]
        self.stage = STAGES[self.stage, action][0]
        meaning = _CLIPPING.get(action)
        if meaning is not None:
            self._clip(meaning, entry)
        if entry is not None:
            self.last[action] = entry

    def _clip(self, action: clipping.Action, entry: Entry | None) -> None:
        mistake = None
        if self.clips is not None or action in (clipping.Action.CLEAR, clipping.Action.BACKWARD):
            self.clips, mistake = clipping.TRANSITIONS[self.clips or clipping.State.CLEAN, action]
        if action is clipping.Action.CLIP:
            steps = [self.last[kind] for kind in (Action.STEP, Action.SCALER_STEP) if kind in self.last]
            step = max(steps, key=lambda entry: entry.number, default=None)
            self.vain = Vain(mistake, entry, step) if mistake is not None and entry is not None else None
        elif self.vain is None:
            return
        elif action is clipping.Action.CLEAR:
            # What was clipped after its step is thrown away.
            if self.vain.mistake is clipping.Mistake.AFTER_STEP:
                self.proved = self.vain
            self.vain = None
        elif action is clipping.Action.BACKWARD and self.vain.mistake is clipping.Mistake.AFTER_STEP:
            self.vain = None  # a part of the sum that is stepped next
        elif action is clipping.Action.STEP:
            # Clipped before there was anything, and not again since.
            is_early = self.vain.mistake is clipping.Mistake.BEFORE_BACKWARD and self.clips is clipping.State.USED
            self.proved = self.vain if is_early else self.proved
            self.vain = None
