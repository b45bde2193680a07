"""Comments that keep findings quiet, and the ones among them that keep nothing quiet.

    optimizer.step()  # loopguard: ignore[missing-zero-grad]   these rules, by name or code, on this statement
    optimizer.step()  # loopguard: ignore                      all rules
    # loopguard: ignore[LG101]                                 alone on its line: for the statement below it
    # loopguard: ignore-file[LG101]                            for the whole file; no brackets: all rules
    optimizer.step()  # noqa: LG101                            as other linters write it; a bare one, too

Only real comments count, not what looks like one within a string. A comment on any line of a statement that
spans several counts for all of them.
"""

from __future__ import annotations

import re
import sys
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING

from loopguard.case import Case
from loopguard.events import Event, Kind, Place
from loopguard.finding import Finding
from loopguard.lifecycles.source import Mistake

if TYPE_CHECKING:
    from loopguard.catalogue import Catalogue, Entry
    from loopguard.source import Source

_IGNORE = re.compile(r"#\s*loopguard:\s*ignore(?P<file>-file)?(?![\w-])(?:\s*\[(?P<rules>[^\]]*)\]?)?")
_NOQA = re.compile(
    r"#\s*noqa(?![\w-])(?:\s*:\s*(?P<rules>[A-Z]+[0-9]+(?:[,\s]+[A-Z]+[0-9]+)*\b)|(?!\s*:))", re.IGNORECASE
)
_MENTION = re.compile("loopguard|noqa", re.IGNORECASE)


@dataclass(slots=True)
class Comment:
    """One suppression: where it is, which rows of the text it is about, and which rules (None: all)."""

    text: str
    place: Place
    rows: range
    rules: tuple[str, ...] | None
    noqa: bool
    whole_file: bool


_ALL = ""
"""What comments name that name no rule, and mean all."""


class Ranges:
    """Ranges of rows, and which rows meet one of them."""

    def __init__(self, ranges: Iterable[tuple[int, int]]) -> None:
        """Make it of the first and last rows of each."""
        ordered = sorted(ranges)
        self._starts = [first for first, _ in ordered]
        self._ends = list(accumulate((last for _, last in ordered), max))

    def meet(self, first: int, last: int) -> bool:
        """Whether one of the ranges has a row from `first` to `last`."""
        at = bisect_right(self._starts, last)
        return at > 0 and self._ends[at - 1] >= first


class Suppressions:
    """The suppressions of one source."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self._comments = list(_suppressions(source))
        ranges: dict[str, list[tuple[int, int]]] = {}
        for comment in self._comments:
            for rule in (_ALL,) if comment.rules is None else comment.rules:
                ranges.setdefault(rule, []).append(_rows(comment))
        self._ranges = {rule: Ranges(found) for rule, found in ranges.items()}
        self._hidden: dict[str, list[tuple[int, int]]] = {}
        self._names: dict[str, tuple[str, str]] = {}

    @property
    def silent(self) -> bool:
        """Whether the whole file is to be left alone."""
        return any(comment.whole_file and comment.rules is None for comment in self._comments)

    def hides(self, finding: Finding, outright: bool = False) -> bool:
        """Whether a comment hides the finding. That comment counts as used from then on.

        With `outright` it has to name the finding's rule: a comment for all rules is not enough.
        """
        first, last = self.source.row(finding.place), self.source.row(finding.place, end=True)
        names = finding.code, finding.name
        found = [rule for rule in (*names, *(() if outright else (_ALL,))) if self._meets(rule, first, last)]
        for rule in found:
            self._hidden.setdefault(rule, []).append((first, last))
            self._names[rule] = names
        return bool(found)

    def _meets(self, rule: str, first: int, last: int) -> bool:
        """Whether a comment about some rows names a rule."""
        return rule in self._ranges and self._ranges[rule].meet(first, last)

    def unused(self, enabled: frozenset[str], default: frozenset[str], catalogue: Catalogue) -> Iterator[Case]:
        """A case for every comment that hid nothing, as far as the rules that are on can tell."""
        hidden = {rule: Ranges(rows) for rule, rows in self._hidden.items()}
        for comment in self._comments:
            first, last = _rows(comment)
            if comment.rules is None:
                used = _ALL in hidden and hidden[_ALL].meet(first, last)
                if not (used or comment.noqa or comment.whole_file) and default <= enabled:
                    yield _case(comment, "ALL", "unused")
                continue
            unknown, idle, told = [], [], set[str]()
            for word in comment.rules:
                entry = catalogue.get(word)
                if entry is None:
                    if not comment.noqa or word.startswith("LG"):
                        unknown.append(word)
                elif word not in told and word in hidden and hidden[word].meet(first, last):
                    told |= {*self._names[word]} - {word}  # of a rule's code and its name, the first one counts
                elif entry.code in enabled and _is_judged(entry):
                    idle.append(word)
            if unknown:
                yield _case(comment, ", ".join(unknown), "unknown code")
            if idle:
                yield _case(comment, ", ".join(idle), "unused")

    def names(self, finding: Finding) -> bool:
        """Whether a comment on the finding's row, or for the file, names its rule outright.

        That is how the finding that a comment is unused can itself be hidden.
        """
        row = self.source.row(finding.place)
        return any(self._meets(rule, row, row) for rule in (finding.code, finding.name))


def _rows(comment: Comment) -> tuple[int, int]:
    """The first and the last row that a comment is about."""
    return (0, sys.maxsize) if comment.whole_file else (comment.rows.start, comment.rows.stop - 1)


def _is_judged(entry: Entry) -> bool:
    """Whether a static run can tell that the rule has nothing to say."""
    return "S" in entry.rule.engines and Mistake.UNUSED_IGNORE not in entry.rule.mistakes


def _case(comment: Comment, codes: str, why: str) -> Case:
    at = Event(Kind.UNKNOWN, comment.text, comment.place, comment.text)
    return Case(Mistake.UNUSED_IGNORE, comment.text, at, facts={"codes": codes, "why": why})


def _suppressions(source: Source) -> Iterator[Comment]:
    for remark in _remarks(source.text):
        for pattern in (_IGNORE, _NOQA):
            for found in pattern.finditer(remark.text):
                noqa = pattern is _NOQA
                start, end = remark.column + found.start(), remark.column + found.end()
                place = source.place(remark.row, start, remark.row, end)
                words = found["rules"]
                rules = None if words is None else tuple(re.findall(r"[^,\s]+", words.upper() if noqa else words))
                # A `noqa` alone on its line is about that line, as in other linters.
                rows = range(remark.row, remark.row + 1) if noqa and remark.alone else remark.rows
                yield Comment(found[0], place, rows, rules, noqa, not noqa and found["file"] is not None)


@dataclass(slots=True)
class _Remark:
    """A comment of any kind: where it starts, whether it stands alone on its line, the rows it is about."""

    row: int
    column: int
    text: str
    alone: bool
    rows: range


def _remarks(text: str) -> list[_Remark]:
    if not _MENTION.search(text):
        return []
    from tokenize import TokenError

    try:
        return list(_tokenized(text))
    except (TokenError, SyntaxError):
        # The file cannot be parsed either, but it may say that it wants to be left alone.
        lines = ((row, line, line.find("#")) for row, line in enumerate(text.split("\n"), start=1))
        return [_Remark(row, at + 1, line[at:], False, range(row, row + 1)) for row, line, at in lines if at >= 0]


def _tokenized(text: str) -> Iterator[_Remark]:
    import tokenize as t
    from io import StringIO

    waiting: list[_Remark] = []
    start = 0
    for token in t.generate_tokens(StringIO(text).readline):
        row, column = token.start
        if token.type == t.COMMENT:
            waiting.append(_Remark(row, column + 1, token.string, not start, range(row, row + 1)))
        elif token.type == t.NEWLINE:
            above = start
            for remark in reversed(waiting):
                if not remark.alone:
                    remark.rows = range(start, row + 1)
                elif remark.row == above - 1:
                    # Directly above the statement, with nothing but such comments between.
                    above = remark.row
                    remark.rows = range(remark.row, row + 1)
            yield from waiting
            waiting, start = [], 0
        elif token.type not in (t.NL, t.INDENT, t.DEDENT, t.ENDMARKER):
            start = start or row
    yield from waiting
