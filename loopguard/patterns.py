"""Compiled patterns of paths: what pathspec makes of them, so that none of them takes forever.

In `*a*a*a*b`, a backtracking match tries all ways to share a name out among the stars. One is enough: where another
star follows, what stands behind a star may as well match as soon as it can (Kleene closure needs no second thought:
https://research.swtch.com/glob). The same goes for `**` and directories. So these parts become atomic groups.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Sequence

from pathspec import GitIgnoreSpec

# What pathspec writes for `*`, for `**` in front of a pattern, for one within it, and for `?`.
_STAR, _ANYWHERE, _BETWEEN, _ONE = "[^/]*", "^(?:.+/)?", "(?:/.+)?", "[^/]"

_CLASS = re.compile(r"(\\.)|\[\^?\]?[^\]]*\]", re.DOTALL)

_DIRECTORY = "ps_d"
"""The group with which pathspec's patterns say that it is a directory above a path that they match."""

Compiled = tuple[bool, re.Pattern[str]]
"""Whether what a pattern matches is included, and the pattern."""


def compiled(patterns: Iterable[str]) -> list[Compiled]:
    """The patterns in their order, without those that are empty or make no sense."""
    return [item for pattern in patterns if (item := _compiled(pattern)) is not None]


def makes_sense(pattern: str) -> bool:
    """Whether a pattern is one."""
    try:
        _translated(pattern)
    except (ValueError, re.error):
        return False
    return True


def verdict(patterns: Sequence[Compiled], path: str) -> bool | None:
    """Whether the last pattern that matches `path` includes it; what is said of the path itself goes before what is
    said of a directory above it. None if no pattern matches.
    """
    answer: bool | None = None
    for included, pattern in reversed(patterns):
        found = pattern.search(path)
        if found is None:
            continue
        if not found.groupdict().get(_DIRECTORY):
            return included
        answer = included if answer is None else answer
    return answer


def _compiled(pattern: str) -> Compiled | None:
    try:
        return _translated(pattern)
    except (ValueError, re.error):
        return None  # git passes over it, too


def _translated(pattern: str) -> Compiled | None:
    """A pattern, None for an empty one. Raises `ValueError` or `re.error` if it makes no sense."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what a later version of `re` may take for something else
        for item in GitIgnoreSpec.from_lines([pattern]).patterns:
            if item.include is not None and item.regex is not None:
                return item.include, re.compile(_decided(item.regex.pattern))
    return None


def _decided(regex: str) -> str:
    """The same regular expression, without second thoughts, and with classes that match no separator, as git has it."""
    named = _CLASS.sub(lambda found: found[0] if found[1] or found[0] == _ONE else f"(?!/){found[0]}", regex)
    *blocks, last = _stars(named).split(_BETWEEN)
    if not blocks:
        return last
    first, *further = blocks
    if first.startswith(_ANYWHERE):
        first = f"^(?>(?:.+?/)??{first.removeprefix(_ANYWHERE)}(?=/))"
    return "".join([first, *(f"(?>(?:/.+?)??{block}(?=/))" for block in further), _BETWEEN, last])


def _stars(regex: str) -> str:
    head, *chunks = regex.split(_STAR)
    for number, chunk in enumerate(chunks, start=1):
        same_name = "/" not in chunk.replace(_ONE, "").replace("(?!/)", "")
        head += f"(?>{_STAR}?{chunk})" if number < len(chunks) and same_name else _STAR + chunk
    return head
