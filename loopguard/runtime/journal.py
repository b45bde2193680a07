"""The journal: what each event has come to, in the terms of the ledger, so that it can be entered again unseen."""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING, Any
from weakref import ref

if TYPE_CHECKING:
    from loopguard.runtime.ledger import Account
    from loopguard.runtime.sites import Site


class Act(Enum):
    """What the hooks have told."""

    CLEAR = auto()
    BACKWARD = auto()
    BACKWARD_END = auto()
    STEP = auto()
    STEP_END = auto()
    SCALED_STEP = auto()
    SCALED_STEP_END = auto()
    SCALE = auto()
    UNSCALE = auto()
    UPDATE = auto()
    CLIP = auto()


class Operation(Enum):
    """What is done to an account."""

    CLEAR = auto()
    DOUBT = auto()
    DEPOSIT = auto()
    STEP = auto()
    OTHER_STEP = auto()
    UNSCALE = auto()
    SCALED_STEP = auto()
    UPDATE = auto()
    CLIP = auto()
    FORGET = auto()


Done = tuple["Account", Operation, "Site | None"]
"""An operation on an account; of a step, also where it was."""


class Play:
    """One event as it went: who did what, where it was counted, and what it did to which accounts."""

    __slots__ = ("account", "act", "aside", "depth", "done", "iteration", "owner", "site", "subject")

    def __init__(self, act: Act, owner: Any) -> None:
        self.act = act
        self.owner = None if owner is None else ref(owner)
        self.account: Account | None = None
        self.site: Site | None = None
        self.aside: Site | None = None
        self.subject = 0
        self.depth = 0
        self.iteration = 0
        self.done: list[Done] = []

    @property
    def token(self) -> tuple[object, ...]:
        """What the event is, whatever it came to."""
        return self.act, self.owner and id(self.owner), self.site

    def is_like(self, other: Play) -> bool:
        """Whether two events are the same but for their time."""
        return self.token == other.token and self.done == other.done


class Journal:
    """Takes down the event that is being told. `disturbed`: something about it may be different the next time."""

    def __init__(self) -> None:
        self.play: Play | None = None
        self.disturbed = False

    def open(self, play: Play) -> None:
        """Take down an event from now on."""
        self.play = play
        self.disturbed = False

    def close(self) -> None:
        """Take down nothing."""
        self.play = None

    def happened(self, site: Site, subject: int, depth: int) -> None:
        """The event was counted at a site, whose frame is so many frames up from where the hook was called."""
        if self.play is not None:
            self.play.site, self.play.subject, self.play.depth = site, subject, depth

    def visited(self, site: Site) -> None:
        """The event was at a site, and begins no iteration."""
        if self.play is not None:
            self.play.aside = site

    def note(self, account: Account, operation: Operation, site: Site | None = None) -> None:
        """Something was done to an account."""
        if self.play is not None:
            self.play.done.append((account, operation, site))

    def disturb(self) -> None:
        """The event was not like any other: it found something, looked closely, or saw what no hook tells."""
        self.disturbed = True
