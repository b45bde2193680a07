"""What is due: the events of a known cycle, each linked to the next, as it is compared with the one that comes.

This is what runs at every event of a training. Slots are looked up faster than the items of a list or an attribute
among many, and a link saves the arithmetic.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from types import CodeType, FrameType

from loopguard.runtime.journal import Act, Play

_DEPTH = 3
"""How far up the caller of a hook is from `Due.comes_from_there`."""


def _nothing() -> None:
    """Nobody has stepped whose gradients are to be marked."""


class Due:
    """The event at one place of a cycle. The attribute that is called as it is has the id of who is due, others 0.

    `at` is its place, `mark` is to be called when it is a step that is over.
    """

    __slots__ = (
        *("at", "is_last", "mark", "next", "_callers", "_code", "_depth", "_offset"),
        *("clear", "backward", "backward_end", "step", "step_end", "scaled_step", "scaled_step_end"),
        *("scale", "unscale", "update", "clip"),
    )

    at: int
    is_last: bool
    mark: Callable[[], None]
    next: Due
    clear: int
    backward: int
    backward_end: int
    step: int
    step_end: int
    scaled_step: int
    scaled_step_end: int
    scale: int
    unscale: int
    update: int
    clip: int

    def __init__(self, play: Play | None = None, at: int = 0) -> None:
        self.at = at
        self.is_last = False
        self.mark = _nothing if play is None or play.account is None else play.account.mark
        self.next = self
        self._depth = -1
        self._code: CodeType | None = None
        self._offset = -1
        self._callers: tuple[tuple[CodeType, int], ...] = ()
        self.cancel()
        if play is None:
            return
        setattr(self, play.act.name.lower(), id(play.owner()) if play.owner is not None else 1)
        if play.site is not None:
            self._depth = _DEPTH + play.depth
            (self._code, self._offset), *callers = play.site.frames
            self._callers = tuple(callers)

    def cancel(self) -> None:
        """Nothing is due here any more."""
        for act in Act:
            setattr(self, act.name.lower(), 0)

    def comes_from_there(self) -> bool:
        """Whether an event of the user's comes from the line that it is due from."""
        if self._depth < 0:
            return True  # a part of another event
        try:
            frame: FrameType | None = sys._getframe(self._depth)
        except ValueError:  # the stack is not even that deep
            return False
        if frame is None or frame.f_code is not self._code or frame.f_lasti != self._offset:
            return False
        for code, offset in self._callers:
            frame = frame.f_back
            if frame is None or frame.f_code is not code or frame.f_lasti != offset:
                return False
        return True


NOTHING = Due()
"""What is due outside of a cycle."""


def cycle_of(plays: Sequence[Play]) -> list[Due]:
    """The events of a cycle, as they are due."""
    found = [Due(play, number) for number, play in enumerate(plays)]
    for due, following in zip(found, [*found[1:], found[0]], strict=True):
        due.next = following
    found[-1].is_last = True
    return found
