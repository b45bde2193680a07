"""What a check may cost, and what it says where that is not enough: silence there is no praise.

Most work grows with the text. Where it cannot, as the ways through a program double with each choice, it has a bound:
a member of `Limit`. Bounds count, they do not measure time, so that the same text has the same end everywhere. Whoever
meets one leaves word of it (`Unjudged`), and every report tells.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from loopguard.events import Place


class Limit(Enum):
    """A bound: how much there may be at most, what it means if there is more, and whether something is given up then.

    It is where nothing is said of a function, or of some paths through it. Otherwise a piece of code is taken for one
    that may do anything, as is code that cannot be read.
    """

    STEPS = 3_000_000, "judging it takes more than {:,} steps", True
    FILE = 30, "judging all of the file takes more than {:,} steps for each of its characters", True
    NESTING = 6_000, "it is nested too deeply", True
    PATHS = 8_000, "more than {:,} paths lead on from one event", True
    CHOICES = 8, "more than {} conditions have to be told apart on one path", True
    LINKS = 100, "a condition with more than {} parts was taken for unknown code", False
    CALLS = 400, "more than {} calls are to be followed, and the rest was taken for unknown code", False
    DEPTH = 10, "calls more than {} deep were taken for unknown code", False

    def __init__(self, most: int, reason: str, gives_up: bool) -> None:
        self.most = most
        self.reason = reason.format(most)
        self.gives_up = gives_up


@dataclass(frozen=True, slots=True)
class Unjudged:
    """Something that was not judged in full: where it stands, what it is called, and which bound it met."""

    place: Place
    what: str
    limit: Limit

    @property
    def message(self) -> str:
        """What there is to say of it."""
        return f"{self.what} was not judged in full: {self.limit.reason}"

    def __str__(self) -> str:
        return f"{self.place}: {self.message}"
