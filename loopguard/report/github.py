"""Annotations in GitHub Actions.

https://docs.github.com/actions/reference/workflow-commands-for-github-actions
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from loopguard.escape import visible
from loopguard.events import Place
from loopguard.finding import Finding
from loopguard.paths import absolute
from loopguard.report import Context

_COMMANDS = {"error": "error", "warning": "warning", "advice": "notice"}


def render(findings: Sequence[Finding], context: Context) -> Iterator[str]:
    """The findings, a workflow command each, and a notice for what was not judged in full."""
    for finding in findings:
        title = f"loopguard ({finding.code})"
        text = f"{finding.code} {finding.name}: {finding.message}\n  help: {finding.advice}"
        yield _command(_COMMANDS[finding.level], title, finding.place, text)
    for item in context.given_up:
        yield _command("notice", "loopguard", item.place, visible(item.message))


def _command(name: str, title: str, place: Place, text: str) -> str:
    properties = {
        "title": title,
        "file": visible(str(absolute(Path(place.path)))),
        "line": str(place.row),
        "col": str(place.column),
        "endLine": str(place.end_row),
        "endColumn": str(place.end_column),
    }
    if place.cell is not None:
        # Rows of a cell are not rows of the file, and GitHub knows only the latter.
        properties |= {"line": "1", "col": "1", "endLine": "1", "endColumn": "1"}
    elif place.row != place.end_row:
        # GitHub drops an annotation that has columns and spans several lines.
        del properties["col"], properties["endColumn"]
    written = ",".join(f"{key}={_property(value)}" for key, value in properties.items())
    return f"::{name} {written}::{_data(f'{place}: {text}')}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
