"""The report of a run: a summary for people, and one JSON object for tools."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from loopguard import __version__
from loopguard.crosscheck import Verdict
from loopguard.escape import dumped, visible
from loopguard.finding import Finding
from loopguard.report import Context, render
from loopguard.report.json import fields
from loopguard.report.style import Style
from loopguard.report.summary import counts

_SAID = {
    Verdict.CONFIRMED: "`loopguard check` says so, too",
    Verdict.REFUTED: "said by `loopguard check`, refuted by this run",
    Verdict.NOT_REACHED: "said by `loopguard check`, not reached in this run",
    Verdict.NOT_JUDGED: "said by `loopguard check`, not judged by this run",
}


@dataclass(frozen=True)
class Run:
    """What there is to tell of a run.

    `found` are its findings, each with how often the mistake was made; `static` those of the check, each with its
    verdict. `ended` names what ended the run early, `failed` is what ended the watch early. `unjudged` counts the
    optimizers that were not judged to the end, since several threads train them.
    """

    found: Sequence[tuple[Finding, int]]
    static: Sequence[tuple[Finding, Verdict]]
    optimizers: int
    steps: int
    ended: str | None = None
    failed: str | None = None
    unjudged: int = 0

    @property
    def same(self) -> frozenset[tuple[object, str]]:
        """The places and codes that both have found."""
        return frozenset((f.place, f.code) for f, _ in self.found) & {(f.place, f.code) for f, _ in self.static}


def summary(run: Run, context: Context) -> Iterator[str]:
    """A line a finding, those of the check alone last, and one line for the whole run."""
    for finding, count in run.found:
        notes = [f"{count} times"] if count > 1 else []
        if (finding.place, finding.code) in run.same:
            notes.append(_SAID[Verdict.CONFIRMED])
        yield _line(finding, notes, context)
    for finding, verdict in run.static:
        if (finding.place, finding.code) not in run.same:
            yield _line(finding, [_SAID[verdict]], context)
    if run.failed is not None:
        yield f"loopguard: the guard has failed and did not see the end of this run: {visible(run.failed)}"
    steps, optimizers = _amount(run.steps, "step"), _amount(run.optimizers, "optimizer")
    but = f", {run.unjudged} of them not judged to the end: several threads train the same parameters"
    yield f"loopguard: {_found(run, context.style)} in {steps} of {optimizers}{but if run.unjudged else ''}"


def document(run: Run, context: Context) -> str:
    """The JSON object."""
    levels = Counter(finding.level for finding, _ in run.found)
    verdicts = Counter(verdict for _, verdict in run.static)
    whole = {
        "version": __version__,
        "findings": [_found_fields(finding, count, context) for finding, count in run.found],
        "static": [{**fields(finding, context), "verdict": verdict.value} for finding, verdict in run.static],
        "summary": {
            "advice": levels["advice"],
            "confirmed": verdicts[Verdict.CONFIRMED],
            "ended": run.ended,
            "errors": levels["error"],
            "failed": run.failed,
            "not_judged": verdicts[Verdict.NOT_JUDGED],
            "not_reached": verdicts[Verdict.NOT_REACHED],
            "optimizers": run.optimizers,
            "optimizers_not_judged": run.unjudged,
            "refuted": verdicts[Verdict.REFUTED],
            "steps": run.steps,
            "warnings": levels["warning"],
        },
    }
    return dumped(whole, indent=2) + "\n"


def _found_fields(finding: Finding, count: int, context: Context) -> Mapping[str, object]:
    more = {"count": count, "iterations": list(finding.iterations), "parameters": list(finding.parameters)}
    return dict(sorted({**fields(finding, context), **more}.items()))


def _line(finding: Finding, notes: Sequence[str], context: Context) -> str:
    (line,) = render("concise", [finding], context)
    return f"{line} ({'; '.join(notes)})" if notes else line


def _found(run: Run, style: Style) -> str:
    return f"found {counts([finding for finding, _ in run.found], style)}" if run.found else "no mistakes"


def _amount(number: int, word: str) -> str:
    return f"{number:,} {word}{'' if number == 1 else 's'}"
