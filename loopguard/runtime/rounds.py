"""Rounds: what led to each step, and to each clear of unused gradients, counted by where it happened.

That is what can prove that a mistake was not made where somebody expects it. A cruise counts nothing here: what goes by
in one has gone as before often enough.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from typing import NamedTuple

from loopguard.lifecycles.gradient import Mistake
from loopguard.runtime.sites import Site

_MOST = 256
"""How many kinds of rounds are told apart. Of an optimizer that has more, nothing is proved."""


class Round(NamedTuple):
    """A step: where, the step before it, the clear between them, where the gradients came from, and what was wrong."""

    step: Site
    before: Site | None
    clear: Site | None
    deposits: tuple[Site, ...]
    mistake: Mistake | None


class Rounds:
    """The rounds of one optimizer."""

    def __init__(self) -> None:
        self.steps: Counter[Round] = Counter()
        self.thrown: Counter[tuple[Site | None, tuple[Site, ...]]] = Counter()
        self.clears: Counter[Site] = Counter()
        self.is_whole = True  # nothing was left out

    def stepped(self, made: Round) -> None:
        """A step is over."""
        if self.is_whole:
            self.steps[made] += 1
            self.is_whole = len(self.steps) < _MOST

    def cleared(self, site: Site | None, thrown: Collection[Site]) -> None:
        """Gradients have been cleared, by a call at a site if it was heard of; some that no step had used."""
        if site is not None:
            self.clears[site] += 1
        if thrown and self.is_whole:
            lost = tuple(dict.fromkeys(thrown))
            self.thrown[site, lost] += 1
            self.is_whole = len(self.thrown) < _MOST
