"""From cases to findings: which rules are on for a file, and which findings its comments hide."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from pathlib import Path

from loopguard.case import Case
from loopguard.check import Checker
from loopguard.config import Options
from loopguard.finding import Finding
from loopguard.settings import Resolver
from loopguard.source import Source


class Judge:
    """Names cases as `loopguard check` would, with the same settings and the same suppressions.

    Raises `ConfigError`, `UsageError` or `RuleError` if a setting names a rule that is not there.
    """

    def __init__(self, select: Sequence[str], extend_select: Sequence[str], ignore: Sequence[str]) -> None:
        options = Options(
            base=str(Path.cwd()),
            select=tuple(select) or None,
            extend_select=tuple(extend_select),
            ignore=tuple(ignore),
        )
        self._checker = Checker(Resolver(options))
        self._checker.validate()

    def name(self, case: Case) -> Finding | None:
        """The finding of a case; None if the rule is off for its file, or a comment hides it."""
        return self._checker.name(case)

    def judges(self, mistake: Enum, path: str) -> bool:
        """Whether a rule that is on for a file is about a mistake."""
        return self._checker.judges(mistake, path)

    def source(self, path: str) -> Source | None:
        """The source that is shown as `path`."""
        return self._checker.source(path)
