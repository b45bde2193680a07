"""Patterns of paths, written as in a `.gitignore` file: https://git-scm.com/docs/gitignore#_pattern_format."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec


class Globs:
    """Patterns that are relative to the directory `base`. Nothing is compiled before it is needed."""

    __slots__ = ("_spec", "base", "patterns")

    def __init__(self, base: str, patterns: Iterable[str]) -> None:
        self.base = base
        self.patterns = tuple(patterns)
        self._spec: GitIgnoreSpec | None = None

    def verdict(self, path: str, directory: bool = False) -> bool | None:
        """Whether the last pattern that matches `path` includes it (or is a `!` pattern); None: no match."""
        relative = self._relative(path)
        if relative is None or not self.patterns:
            return None
        if self._spec is None:
            self._spec = _compile(self.patterns)
        return self._spec.check_file(relative + "/" if directory else relative).include

    def sparing(self, path: str) -> Globs:
        """The same without the patterns that match the directory `path` itself.

        A directory that is named on the command line is walked although a pattern matches it; other
        patterns go on to apply inside it.
        """
        if not self.verdict(path, directory=True):
            return self
        relative = f"{self._relative(path)}/"
        return Globs(self.base, [one for one in self.patterns if not _compile([one]).match_file(relative)])

    def _relative(self, path: str) -> str | None:
        prefix = self.base.rstrip(os.sep) + os.sep
        return path[len(prefix) :].replace(os.sep, "/") if path.startswith(prefix) else None


def _compile(patterns: Iterable[str]) -> GitIgnoreSpec:
    from pathspec import GitIgnoreSpec

    return GitIgnoreSpec.from_lines(patterns)
