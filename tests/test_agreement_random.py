"""The two engines agree about random training programs that run.

What a run finds, the text shows; and what the text is said to get wrong for certain, no run that went through it gets
right. Neither holds without exception: the engines know different things, and each is silent where it does not know.
So the few exceptions are counted. A broken back edge, summary or transition makes them many.
"""

from __future__ import annotations

import re
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch
from guarded_run import run
from hypothesis import HealthCheck, Phase, given, settings
from training_programs import FLAGS, GIVEN, HEAD, PROGRAMS, RIGHT, RIGHT_FOR_TWO, SHARED, WRONG, Block, program_of

from loopguard import catalogue
from loopguard.check import Checker
from loopguard.config import Options
from loopguard.crosscheck import Verdict, is_judged, verdict
from loopguard.events import Place
from loopguard.finding import Finding
from loopguard.settings import Resolver

RULES = catalogue.load()
PROGRAMS_TRIED = 300
ARGUMENTS = ((), ("a",), ("a", "b"))
FLAGGED = re.compile(rf"\b(?:if|not|and|or) (?:{'|'.join(FLAGS)})\b")


@dataclass
class Comparison:
    """What both engines have said about all programs."""

    verdicts: Counter[Verdict] = field(default_factory=Counter)
    codes: set[str] = field(default_factory=set)
    agreed: int = 0
    refuted: list[str] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)

    def take(self, file: Path, arguments: tuple[str, ...], *, certain: bool) -> None:
        """Compare one run with the check of its file. `certain`: what happens in it does not depend on flags."""
        ended = run(file, arguments)
        found, said = ended.watch.findings, check(file)
        about = (
            f"{file.read_text('utf-8').removeprefix(HEAD)}\nwith {arguments}: run {ended.findings}, check {marks(said)}"
        )
        for finding in said:
            became = verdict(finding, found, ended.watch.visits, RULES)
            if finding.level == "error" and is_judged(finding, RULES):
                self.verdicts[became] += 1
            if became is Verdict.CONFIRMED:
                self.codes.add(finding.code)
            elif became is Verdict.REFUTED and SHARED not in about:
                self.refuted.append(f"{finding.code} in\n{about}")
        for finding in found if certain else ():
            if finding.level == "error" and any(share_a_row(finding, other) for other in said):
                self.agreed += 1
            elif finding.level == "error":
                self.missed.append(f"{finding.code} in\n{about}")


def check(file: Path) -> list[Finding]:
    """What the static engine says about a file."""
    checker = Checker(Resolver(Options(base=str(file.parent)), isolated=True), [file.parent])
    checker.check(file)
    report = checker.finish()
    assert report.crashes == []
    return report.findings


def marks(findings: list[Finding]) -> list[tuple[int, str]]:
    return [(finding.place.row, finding.code) for finding in findings]


def share_a_row(one: Finding, other: Finding) -> bool:
    """Whether a finding is placed where another has its place or its evidence."""
    rows = {row for place in places(other) for row in range(place.row, place.end_row + 1)}
    return one.place.row in rows


def places(finding: Finding) -> Iterator[Place]:
    yield finding.place
    yield from (moment.event.place for moment in finding.evidence)


@pytest.fixture(scope="module")
def comparison(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    """Many programs, each run with several flags."""
    whole, folder, number = Comparison(), tmp_path_factory.mktemp("programs"), iter(range(10**6))

    @settings(
        max_examples=PROGRAMS_TRIED,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(PROGRAMS)
    def compare(text: str) -> None:
        file = folder / f"train{next(number)}.py"
        file.write_text(text, "utf-8")
        fixed = FLAGGED.search(text.removeprefix(HEAD)) is None
        for arguments in ARGUMENTS[:1] if fixed else ARGUMENTS:
            torch.manual_seed(0)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                # Where optimizers share parameters, the text does not say which of them a loss reaches.
                whole.take(file, arguments, certain=fixed and SHARED not in text)

    compare()
    return whole


def test_enough_is_found_to_compare(comparison: Comparison) -> None:
    assert comparison.verdicts[Verdict.CONFIRMED] > 100
    assert comparison.agreed > 50
    often = {"LG101", "LG102", "LG103", "LG105", "LG201", "LG202", "LG204", "LG301", "LG401"}
    assert often <= comparison.codes


def test_what_a_check_calls_an_error_no_run_refutes(comparison: Comparison) -> None:
    judged = comparison.verdicts[Verdict.CONFIRMED] + comparison.verdicts[Verdict.REFUTED]
    assert len(comparison.refuted) <= 0.015 * judged, "\n\n".join(comparison.refuted)


def test_an_error_that_a_run_finds_is_in_the_text(comparison: Comparison) -> None:
    judged = comparison.agreed + len(comparison.missed)
    assert len(comparison.missed) <= 0.015 * judged, "\n\n".join(comparison.missed)


@pytest.mark.parametrize("body", [*RIGHT, *RIGHT_FOR_TWO, GIVEN])
def test_neither_finds_a_mistake_in_what_is_right(body: Block, tmp_path: Path) -> None:
    file = tmp_path / "train.py"
    file.write_text(program_of(body), "utf-8")
    assert [check(file), *(run(file, arguments).findings for arguments in ARGUMENTS)] == [[], [], [], []]


@pytest.mark.parametrize(("code", "body"), WRONG)
def test_both_find_the_same_single_mistake(code: str, body: Block, tmp_path: Path) -> None:
    """Each engine by itself: a transition that is wrong in both of them is no less wrong."""
    file = tmp_path / "train.py"
    file.write_text(program_of(body), "utf-8")
    said, found = marks(check(file)), run(file).findings
    assert [code for _, code in said] == [code]
    assert found == said
