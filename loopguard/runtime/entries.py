"""What an account is kept of: events of a run, and what became of the gradients between them."""

from __future__ import annotations

from dataclasses import dataclass

from loopguard.runtime.sites import Site


@dataclass(slots=True, eq=False)
class Entry:
    """One event of the run: where, in which iteration, and its number among all events."""

    site: Site
    iteration: int
    number: int


@dataclass(slots=True)
class Window:
    """What one step has used: the deposits, and the clears since the step before it that threw some away.

    `fresh`: no step had used them before.
    """

    step: Entry
    deposits: tuple[Entry, ...]
    discards: int
    fresh: bool


@dataclass(slots=True)
class Discard:
    """Gradients that were thrown away: their deposits, and the clear that did it (None: it was not seen)."""

    deposits: tuple[Entry, ...]
    clear: Entry | None
