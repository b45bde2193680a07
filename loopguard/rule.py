"""What a rule is, and all that a rule may import.

A rule is one file: its name is the file's name, its page is the module's docstring, and its class says which
mistakes of which lifecycle it judges. `explain` gets a case and returns the message, or None where the case is
somebody else's.
"""

from __future__ import annotations

from enum import Enum
from typing import ClassVar

from loopguard.case import Case
from loopguard.events import Event, Kind, Moment, Place, Reach, Related, Relation
from loopguard.lifecycles import (
    automation,
    clipping,
    closure,
    construction,
    coverage,
    gradient,
    loss,
    mode,
    ranks,
    sampling,
    scaling,
    schedule,
    source,
    window,
)

__all__ = [
    "Case",
    "Event",
    "Kind",
    "Level",
    "Moment",
    "Place",
    "Reach",
    "Related",
    "Relation",
    "Rule",
    "automation",
    "clipping",
    "closure",
    "construction",
    "coverage",
    "gradient",
    "loss",
    "mode",
    "ranks",
    "sampling",
    "scaling",
    "schedule",
    "source",
    "window",
]


class Level(Enum):
    """How sure a finding of the rule is. Advice is off unless it is selected."""

    ERROR = "error"
    WARNING = "warning"
    ADVICE = "advice"


class Rule:
    """One kind of mistake.

    `code` is the stable short form, `level` how sure a finding is, `engines` which engines can judge it
    ("S" static, "R" runtime), `mistakes` the transitions that it judges.

    `bad` and `good` are examples: whole scripts, or fragments over the names `model`, `loader`, `criterion`
    and `optimizer`. A line that must be reported ends in `# expect: CODE`. The first of each is shown on the
    rule's page as "Example" and "Use instead".
    """

    code: ClassVar[str]
    level: ClassVar[Level]
    engines: ClassVar[str]
    mistakes: ClassVar[frozenset[Enum]]
    bad: ClassVar[tuple[str, ...]]
    good: ClassVar[tuple[str, ...]]

    def explain(self, case: Case) -> str | None:
        """Return the one-line message for a case of one of `mistakes`, None if another rule's it is."""
        raise NotImplementedError

    def advise(self, case: Case) -> str:
        """Return in one line what to do about it."""
        raise NotImplementedError
