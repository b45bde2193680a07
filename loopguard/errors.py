"""What can go wrong besides the loops themselves.

LoopguardError          ends the run with one line and exit code 2
├── UsageError          an option or a path that makes no sense
├── ConfigError         a configuration file that makes no sense
└── RuleError           a rule file that does not load
SourceError             a file whose text cannot be had: becomes a finding, the run goes on
TrainingLoopError       a finding of the runtime guard, raised at the line that it is about (`on_finding="raise"`)
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from loopguard.escape import visible

if TYPE_CHECKING:
    from loopguard.finding import Finding


class LoopguardError(Exception):
    """An error that ends the run. Its text is one line, written for the person at the terminal."""


class UsageError(LoopguardError):
    """An option or a path that makes no sense."""


class ConfigError(LoopguardError):
    """A configuration file that makes no sense."""


class RuleError(LoopguardError):
    """A rule file that does not load, or rules that contradict each other."""


class SourceError(Exception):
    """A file whose text cannot be had, with the reason and the place (from 1; in a cell of a notebook)."""

    def __init__(self, reason: str, row: int = 1, column: int = 1, cell: int | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.row = row
        self.column = column
        self.cell = cell


class TrainingLoopError(Exception):
    """A mistake that the runtime guard has found. `finding` is the evidence."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(visible(f"{finding.place}: {finding.code} {finding.name}: {finding.message}"))
        self.finding = finding


def suggestion(word: str, known: Iterable[str]) -> str:
    """The end of an error message: "; did you mean `x`?" where one of `known` is close, or nothing."""
    from difflib import get_close_matches

    lowered = {item.lower(): item for item in known}
    close = get_close_matches(word.lower().replace("_", "-"), list(lowered), n=1)
    return f"; did you mean `{lowered[close[0]]}`?" if close else ""
