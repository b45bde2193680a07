"""The fields of `json`, one record a line: https://jsonlines.org."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from loopguard.escape import dumped
from loopguard.finding import Finding
from loopguard.report import Context
from loopguard.report.json import records


def render(findings: Sequence[Finding], context: Context) -> Iterator[str]:
    """The findings and what was not judged in full, a JSON object each."""
    for record in records(findings, context):
        yield dumped(record, separators=(",", ":"))
