"""Patterns of paths, written as in a `.gitignore` file: https://git-scm.com/docs/gitignore#_pattern_format."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from loopguard.patterns import Compiled


class Globs:
    """Patterns that are relative to the directory `base`. Nothing is compiled before it is needed."""

    __slots__ = ("_compiled", "base", "patterns")

    def __init__(self, base: str, patterns: Iterable[str]) -> None:
        self.base = base
        self.patterns = tuple(patterns)
        self._compiled: list[Compiled] | None = None

    def verdict(self, path: str, directory: bool = False) -> bool | None:
        """Whether the last pattern that matches `path` includes it (or is a `!` pattern); None: no match."""
        relative = self._relative(path)
        if relative is None or not self.patterns:
            return None
        from loopguard import patterns

        if self._compiled is None:
            self._compiled = patterns.compiled(self.patterns)
        return patterns.verdict(self._compiled, relative + "/" if directory else relative)

    def sparing(self, path: str) -> Globs:
        """The same without the patterns that match the directory `path` itself.

        A directory that is named on the command line is walked although a pattern matches it; other
        patterns go on to apply inside it.
        """
        if not self.verdict(path, directory=True):
            return self
        return Globs(self.base, [one for one in self.patterns if not Globs(self.base, [one]).verdict(path, True)])

    def _relative(self, path: str) -> str | None:
        prefix = self.base.rstrip(os.sep) + os.sep
        return path[len(prefix) :].replace(os.sep, "/") if path.startswith(prefix) else None


def senseless(patterns: Iterable[str]) -> str | None:
    """The first of some patterns that makes no sense. Only those that may make none are looked at more closely."""
    for pattern in patterns:
        if pattern.rstrip() == "!" or "[" in pattern or "\\" in pattern:
            from loopguard.patterns import makes_sense

            if not makes_sense(pattern):
                return pattern
    return None
