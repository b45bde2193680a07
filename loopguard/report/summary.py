"""The last line of a report, and the counts of `--statistics`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from loopguard.escape import dumped, visible
from loopguard.report.style import Style

if TYPE_CHECKING:
    from loopguard.finding import Finding
    from loopguard.limits import Unjudged


def summary(findings: Sequence[Finding], style: Style, given_up: Sequence[Unjudged] = ()) -> str:
    """How many findings there are, by level, and what was not judged in full: no praise for that."""
    found = f"Found {counts(findings, style)}." if findings else "Nothing found." if given_up else "All checks passed!"
    return f"{found} Not judged in full: {_in_short(given_up)}." if given_up else found


def _in_short(given_up: Sequence[Unjudged]) -> str:
    """The first thing of some, and how many more there are."""
    things = list(dict.fromkeys(f"{visible(item.what)} at {item.place}" for item in given_up))
    return f"{things[0]} and {len(things) - 1} more; -v lists them" if things[1:] else f"{things[0]}; -v says why"


def counts(findings: Sequence[Finding], style: Style) -> str:
    """How many findings there are of each level: "1 error and 2 warnings"."""
    levels = Counter(finding.level for finding in findings)
    words = {"error": "error", "warning": "warning", "advice": "piece of advice"}
    plural = {"error": "errors", "warning": "warnings", "advice": "pieces of advice"}
    parts = [
        style(level, f"{levels[level]} {word if levels[level] == 1 else plural[level]}")
        for level, word in words.items()
        if levels[level]
    ]
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if parts[1:] else parts)


def statistics(findings: Sequence[Finding], style: Style) -> Iterator[str]:
    """One line a rule: how often, code, name; the most frequent first."""
    counted = _counted(findings)
    width = max((len(str(count)) for _, count in counted), default=0)
    for (code, name, level), count in counted:
        yield f"{count:>{width}}\t{style(level, code)}\t{visible(name)}"


def statistics_json(findings: Sequence[Finding]) -> str:
    """The same as ruff's JSON."""
    rows = [{"code": code, "name": name, "count": count} for (code, name, _), count in _counted(findings)]
    return dumped(rows, indent=2)


def _counted(findings: Sequence[Finding]) -> list[tuple[tuple[str, str, str], int]]:
    counter = Counter((finding.code, finding.name, finding.level) for finding in findings)
    return sorted(counter.items(), key=lambda item: (-item[1], item[0]))
