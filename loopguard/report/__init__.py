"""Renderers: findings to text. One module a format, each with a function `render`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from loopguard.finding import Finding
    from loopguard.report.style import Style
    from loopguard.source import Source


class Context(NamedTuple):
    """What a renderer may need besides the findings.

    `source` gives the text of a file by its shown path, None if it cannot be read.
    """

    style: Style
    source: Callable[[str], Source | None]


def render(name: str, findings: Sequence[Finding], context: Context) -> Iterator[str]:
    """The output in the format called `name`, line by line."""
    module = import_module(f"loopguard.report.{name.replace('-', '_')}")
    lines: Iterator[str] = module.render(findings, context)
    return lines
