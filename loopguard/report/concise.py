"""One line a finding: `path:row:column: CODE name: message`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from loopguard.finding import Finding
from loopguard.report import Context


def render(findings: Sequence[Finding], context: Context) -> Iterator[str]:
    """The findings, a line each."""
    style = context.style
    for finding in findings:
        code = style.link(finding.url, style(finding.level, finding.code))
        yield f"{style('bold', str(finding.place))}: {code} {finding.name}: {finding.message}"
