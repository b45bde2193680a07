"""The vocabulary that both engines share: what happens in a training loop, to what, and where.

A training loop is a stream of *events*: a call that clears gradients, a backward pass, an optimizer step.
Each event is about a *subject* (an optimizer and the parameters that it holds, a loss, a scheduler) and
has a *place* in somebody's source. Nothing here knows torch or libcst.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from loopguard.escape import visible


class Kind(Enum):
    """What an event does. The value is how a person would name it."""

    CLEAR = "clear"
    BACKWARD = "backward"
    STEP = "step"
    ASSIGN = "assignment to .grad"
    READ = "use of .grad"
    CLIP = "clip"
    UNSCALE = "unscale"
    UPDATE = "update of the scale"
    SCHEDULE = "schedule"
    EVAL = "switch to evaluation"
    TRAIN = "switch to training"
    FORWARD = "forward pass"
    BUILD = "construction"
    REPLACE = "replacement of a part"
    EPOCH = "set_epoch"
    UNKNOWN = "call into unknown code"


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """A range of source. Rows and columns count from 1; the end column is one past the last character.

    `cell` is the number of a notebook's code cell, from 1; `row` then counts within that cell.
    """

    path: str
    row: int
    column: int
    end_row: int
    end_column: int
    cell: int | None = None

    def __str__(self) -> str:
        """As it is shown to people, whatever the file is called."""
        cell = f"cell {self.cell}:" if self.cell is not None else ""
        return f"{visible(self.path)}:{cell}{self.row}:{self.column}"


class Relation(Enum):
    """What a related event touches, seen from the subject of a case."""

    WHOLE = "all parameters of the subject"
    PART = "some parameters of the subject"
    OTHER = "none of the subject's parameters"
    UNKNOWN = "perhaps the subject's parameters"


class Reach(Enum):
    """Where a related event lies, seen from the loop of a case."""

    INSIDE = "in every or some iterations of the loop"
    OUTSIDE = "before, after or around the loop"


@dataclass(frozen=True, slots=True)
class Event:
    """One event of the kind `kind` on the subject called `subject`, at `place`.

    `text` is the call as the user wrote it, shortened to one line.
    `when` holds the conditions, as written, under which the event happens within its iteration.
    `calls` are the calls in the text that lead to it, outermost first, as far as one path of them is meant.
    """

    kind: Kind
    subject: str
    place: Place
    text: str
    when: tuple[str, ...] = ()
    calls: tuple[Place, ...] = ()


@dataclass(frozen=True, slots=True)
class Related:
    """An event that bears on a case: what it touches and where it lies."""

    event: Event
    relation: Relation
    reach: Reach


@dataclass(frozen=True, slots=True)
class Moment:
    """One entry of the evidence: an event, what it did to the state, and in which iteration (from 1; 0: none)."""

    event: Event
    note: str
    iteration: int = 0
