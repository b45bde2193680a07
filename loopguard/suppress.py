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
from collections.abc import Iterator
from dataclasses import dataclass, field
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
    used: set[str] = field(default_factory=set)

    def covers(self, finding: Finding) -> str | None:
        """The word of the comment that names the finding's rule ("" if it names none and means all)."""
        if self.rules is None:
            return ""
        return next((rule for rule in self.rules if rule in (finding.code, finding.name)), None)


class Suppressions:
    """The suppressions of one source."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self._comments = list(_suppressions(source))

    @property
    def silent(self) -> bool:
        """Whether the whole file is to be left alone."""
        return any(comment.whole_file and comment.rules is None for comment in self._comments)

    def hides(self, finding: Finding, outright: bool = False) -> bool:
        """Whether a comment hides the finding. That comment counts as used from then on.

        With `outright` it has to name the finding's rule: a comment for all rules is not enough.
        """
        first, last = self.source.row(finding.place), self.source.row(finding.place, end=True)
        hidden = False
        for comment in self._comments:
            if comment.whole_file or (first < comment.rows.stop and last >= comment.rows.start):
                word = comment.covers(finding)
                if word or (word is not None and not outright):
                    comment.used.add(word)
                    hidden = True
        return hidden

    def unused(self, enabled: frozenset[str], default: frozenset[str], catalogue: Catalogue) -> Iterator[Case]:
        """A case for every comment that hid nothing, as far as the rules that are on can tell."""
        for comment in self._comments:
            if comment.rules is None:
                if not (comment.used or comment.noqa or comment.whole_file) and default <= enabled:
                    yield _case(comment, "ALL", "unused")
                continue
            unknown, idle = [], []
            for word in comment.rules:
                entry = catalogue.get(word)
                if entry is None:
                    if not comment.noqa or word.startswith("LG"):
                        unknown.append(word)
                elif word not in comment.used and entry.code in enabled and _is_judged(entry):
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
        return any(c.covers(finding) for c in self._comments if c.whole_file or row in c.rows)


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
