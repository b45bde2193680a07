"""Renderers: findings to text. One module a format, each with a function `render`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple

from loopguard.escape import visible

if TYPE_CHECKING:
    from loopguard.finding import Finding
    from loopguard.limits import Unjudged
    from loopguard.report.style import Style
    from loopguard.source import Source

_ADDRESS = re.compile(r"https?://[!-~]+")


class Context(NamedTuple):
    """What a renderer may need besides the findings.

    `source` gives the text of a file by its shown path, None if it cannot be read. `given_up` is what was not judged in
    full: formats for programs tell of it with the findings, people read of it in the summary.
    """

    style: Style
    source: Callable[[str], Source | None]
    given_up: Sequence[Unjudged] = ()


def render(name: str, findings: Sequence[Finding], context: Context) -> Iterator[str]:
    """The output in the format called `name`, line by line.

    JSON holds everything as it is, in its own way of writing. People get what can be shown of names and texts.
    """
    module = import_module(f"loopguard.report.{name.replace('-', '_')}")
    given = findings if name.startswith("json") else [_shown(finding) for finding in findings]
    lines: Iterator[str] = module.render(given, context)
    return lines


def _shown(finding: Finding) -> Finding:
    """A finding with all its texts as they can be shown. Its places stay, as they lead to the source."""
    from dataclasses import replace  # slow to import, for the many runs that find nothing

    return replace(
        finding,
        name=visible(finding.name),
        message=visible(finding.message),
        advice=visible(finding.advice),
        evidence=tuple(replace(moment, note=visible(moment.note)) for moment in finding.evidence),
        parameters=tuple(map(visible, finding.parameters)),
        url=finding.url if _is_address(finding.url) else None,
    )


def _is_address(url: str | None) -> bool:
    return url is not None and _ADDRESS.fullmatch(url) is not None and visible(url) == url
