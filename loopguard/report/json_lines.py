"""The fields of `json`, one finding a line: https://jsonlines.org."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from loopguard.escape import dumped
from loopguard.finding import Finding
from loopguard.report import Context
from loopguard.report.json import fields


def render(findings: Sequence[Finding], context: Context) -> Iterator[str]:
    """The findings, a JSON object each."""
    for finding in findings:
        yield dumped(fields(finding, context), separators=(",", ":"))
