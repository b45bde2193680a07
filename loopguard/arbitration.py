"""One mistake, one finding: where several cases tell of the same mistake, the most specific of them speaks.

A step past the scaler is followed by the scaler's own, which then repeats it; an unscaling in every batch of a window
is also a part of the update outside its gate. Each is one mistake, and mended in one place.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum

from loopguard.case import Case
from loopguard.events import Kind, Place
from loopguard.lifecycles import clipping, gradient, scaling, schedule, window

_ORDER: tuple[Enum, ...] = (
    scaling.Mistake.UNSCALED_TWICE,
    scaling.Mistake.CLIPPED_SCALED,
    clipping.Mistake.AFTER_STEP,
    clipping.Mistake.BEFORE_BACKWARD,
    schedule.Mistake.PER_BATCH,
    window.Mistake.PARTIAL_GATE,
    schedule.Mistake.BEFORE_OPTIMIZER,
)
"""Of these, the first one that tells of a call is the one to tell of it."""

_BYPASSES = (scaling.Mistake.BYPASSED, scaling.Mistake.UNSCALED_LOSS)


def arbitrate(cases: Iterable[Case]) -> list[Case]:
    """The cases without those of which a more specific one tells."""
    found = list(cases)
    ranks: dict[Place, int] = {}
    for case in found:
        if case.mistake in _ORDER:
            rank = _ORDER.index(case.mistake)
            ranks[case.at.place] = min(rank, ranks.get(case.at.place, rank))
    bypasses = {case.at.place for case in found if case.mistake in _BYPASSES}
    return [case for case in found if not _is_told(case, ranks) and not _repeats(case, bypasses)]


def _is_told(case: Case, ranks: dict[Place, int]) -> bool:
    return case.mistake in _ORDER and _ORDER.index(case.mistake) > ranks[case.at.place]


def _repeats(case: Case, bypasses: set[Place]) -> bool:
    """Whether a step is only repeated because the one before it, or itself, goes past the scaler."""
    if case.mistake is not gradient.Mistake.REPEATED_STEP:
        return False
    steps = [moment.event.place for moment in case.trail if moment.event.kind is Kind.STEP]
    return not bypasses.isdisjoint([case.at.place, *steps])


class Arbiter:
    """Arbitrates between cases that come one by one, as a run finds them: the first of a call's is told."""

    def __init__(self) -> None:
        self._told: dict[Place, Enum] = {}
        self._bypasses: set[Place] = set()

    def admits(self, case: Case) -> bool:
        """Whether no other case has told of the same mistake."""
        if _repeats(case, self._bypasses):
            return False
        return case.mistake not in _ORDER or self._told.get(case.at.place, case.mistake) is case.mistake

    def note(self, case: Case) -> None:
        """A case has been told."""
        if case.mistake in _ORDER:
            self._told.setdefault(case.at.place, case.mistake)
        if case.mistake in _BYPASSES:
            self._bypasses.add(case.at.place)
