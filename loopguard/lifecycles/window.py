"""The accumulation window: k backward passes, then one clip, one step, one clear, all behind one gate.

A *gate* is a condition that is true once per window, `(i + 1) % k == 0`. A window is intact when everything
that belongs to the update stands behind its gate and nothing else does, and when the k mean losses are
averaged: https://docs.pytorch.org/docs/stable/notes/amp_examples.html#gradient-accumulation
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Mistake(Enum):
    """What breaks a window."""

    CLEARED = "cleared inside the window"
    UNSCALED = "losses summed, not averaged"
    REMAINDER = "last partial window lost"
    OFF_BY_ONE = "window starts with one batch"
    INVERTED = "gate inverted"
    PARTIAL_GATE = "part of the update outside the gate"
    STEP_OUTSIDE = "step outside the gate that holds the rest of the update"
    DOUBLE = "window inside a window"


@dataclass(frozen=True, slots=True)
class Gate:
    """A condition on a counter: true when `(counter + offset) % size == remainder`, or its negation.

    `start` is the counter's first value in the loop, None where it is not known; `size` is the source text
    of the modulus. `inverted` gates are open except once per window. `flushes` says that the condition also
    opens at the loop's end (`... or i + 1 == len(loader)`).
    """

    text: str
    counter: str
    offset: int
    size: str
    remainder: int | None
    start: int | None
    inverted: bool = False
    flushes: bool = False

    @property
    def opens_first(self) -> bool:
        """Whether the gate is known to be open in the first iteration, before a window is full."""
        if self.start is None or self.remainder is None or self.size == "1":
            return False
        return self.start + self.offset == self.remainder
