"""The two engines agree about random training programs that run.

What a run finds, the text shows; and what the text is said to get wrong for certain, no run that went through it gets
right. Neither holds without exception: the engines know different things, and each is silent where it does not know.
So the few exceptions are counted. A broken back edge, summary or transition makes them many.

What goes with gradients, a scaler, clips, schedules, modes, the making of optimizers, has programs of its own. About
these, the text tells less than a run: it compares what stands in one loop, and is silent where a condition of which
it knows nothing decides (`if i > 2: scaler.unscale_(optimizer)`), where a clip stands in another loop than the step,
and where an optimizer is made behind the loop that steps it. There, warnings count as errors do.
"""

from __future__ import annotations

import gc
import re
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch
import training_lifecycles
from guarded_run import run
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from training_programs import FLAGS, GIVEN, HEAD, PROGRAMS, RIGHT, RIGHT_FOR_TWO, SHARED, WRONG, Block, program_of

from loopguard import catalogue
from loopguard.check import Checker
from loopguard.config import Options
from loopguard.crosscheck import Verdict, is_judged, verdict
from loopguard.events import Kind, Place
from loopguard.finding import Finding
from loopguard.runtime.watch import Watch
from loopguard.settings import Resolver

RULES = catalogue.load()
PROGRAMS_TRIED = 350
OF_EACH_KIND = {"scaling": 80, "clipping": 50, "schedules": 50, "modes": 50, "construction": 70}
CONFIRMED: dict[str, set[str]] = {
    "scaling": {"LG501", "LG503"},
    "clipping": {"LG504"},
    "schedules": {"LG601", "LG602"},
    "modes": {"LG701", "LG702"},
    "construction": set(),
}
"""What a check and a run surely find both in the programs about a lifecycle. Chance may replace no layer too late."""

HEARD = (Kind.CLEAR, Kind.BACKWARD, Kind.STEP, Kind.UNSCALE, Kind.CLIP, Kind.SCHEDULE)
ARGUMENTS = ((), ("a",), ("a", "b"))
FLAGGED = re.compile(rf"\b(?:if|not|and|or) (?:{'|'.join(FLAGS)})\b")


@dataclass
class Comparison:
    """What both engines have said about all programs."""

    verdicts: Counter[Verdict] = field(default_factory=Counter)
    codes: Counter[str] = field(default_factory=Counter)
    agreed: Counter[str] = field(default_factory=Counter)
    levels: tuple[str, ...] = ("error",)
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
            became = verdict(finding, found, ended.watch, RULES)
            if finding.level == "error" and is_judged(finding, RULES):
                self.verdicts[became] += 1
            if became is Verdict.CONFIRMED:
                self.codes[finding.code] += 1
            elif SHARED not in about and (became is Verdict.REFUTED or goes_by(finding, found, ended.watch)):
                self.refuted.append(f"{finding.code} in\n{about}")
        for finding in found if certain else ():
            if finding.level in self.levels and any(share_a_row(finding, other) for other in said):
                self.agreed[finding.code] += 1
            elif finding.level in self.levels:
                self.missed.append(f"{finding.code} in\n{about}")


def goes_by(finding: Finding, found: list[Finding], watch: Watch) -> bool:
    """Whether a run goes through the evidence of an error again and again, and finds nothing there.

    That is no proof; but it should have found it.
    """
    events = [moment.event for moment in finding.evidence if moment.event.kind in HEARD]
    times = Counter(event.place for event in events)
    often = all(watch.visits(event) >= 4 * times[event.place] for event in events)
    error = finding.level == "error" and is_judged(finding, RULES)
    return error and often and bool(events) and not any(rows(finding) & rows(other) for other in found)


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
    return one.place.row in rows(other)


def rows(finding: Finding) -> set[int]:
    """The rows of a finding and of its evidence."""
    return {row for place in places(finding) for row in range(place.row, place.end_row + 1)}


def places(finding: Finding) -> Iterator[Place]:
    yield finding.place
    yield from (moment.event.place for moment in finding.evidence)


def compare(whole: Comparison, programs: st.SearchStrategy[str], tried: int, folder: Path) -> Comparison:
    """Run so many programs, each with several flags, and check them."""
    number = iter(range(10**6))

    @settings(
        max_examples=tried,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(programs)
    def compare_one(text: str) -> None:
        file = folder / f"train{next(number)}.py"
        file.write_text(text, "utf-8")
        fixed = FLAGGED.search(text.removeprefix(HEAD)) is None
        for arguments in ARGUMENTS[:1] if fixed else ARGUMENTS:
            torch.manual_seed(0)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                # Where optimizers share parameters, the text does not say which of them a loss reaches.
                whole.take(file, arguments, certain=fixed and SHARED not in text)

    # A guard that wakes up looks through everything that is there: let that be what the programs make.
    gc.collect()
    gc.freeze()
    try:
        compare_one()
    finally:
        gc.unfreeze()
    return whole


@pytest.fixture(scope="module")
def comparison(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    """Programs about gradients."""
    return compare(Comparison(), PROGRAMS, PROGRAMS_TRIED, tmp_path_factory.mktemp("programs"))


@pytest.fixture(scope="module", params=training_lifecycles.PROGRAMS)
def kind(request: pytest.FixtureRequest) -> str:
    """What some programs are about that goes with gradients."""
    return str(request.param)


@pytest.fixture(scope="module")
def lifecycle(kind: str, tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    """Programs about it."""
    whole = Comparison(levels=("error", "warning"))
    return compare(whole, training_lifecycles.PROGRAMS[kind], OF_EACH_KIND[kind], tmp_path_factory.mktemp(kind))


def test_enough_is_found_to_compare(comparison: Comparison) -> None:
    assert comparison.verdicts[Verdict.CONFIRMED] > 100
    assert comparison.agreed.total() > 50
    often = {"LG101", "LG102", "LG103", "LG105", "LG201", "LG202", "LG204", "LG301", "LG401"}
    assert often <= comparison.codes.keys()


def test_what_a_check_calls_an_error_no_run_refutes(comparison: Comparison) -> None:
    judged = comparison.verdicts[Verdict.CONFIRMED] + comparison.verdicts[Verdict.REFUTED]
    assert len(comparison.refuted) <= 0.015 * judged, "\n\n".join(comparison.refuted)


def test_an_error_that_a_run_finds_is_in_the_text(comparison: Comparison) -> None:
    judged = comparison.agreed.total() + len(comparison.missed)
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


def test_the_mistakes_of_each_lifecycle_are_found_by_both(kind: str, lifecycle: Comparison) -> None:
    assert lifecycle.verdicts[Verdict.CONFIRMED] > 5
    assert lifecycle.codes.keys() >= CONFIRMED[kind]


def test_no_run_refutes_an_error_about_a_lifecycle(lifecycle: Comparison) -> None:
    assert len(lifecycle.refuted) <= 2, "\n\n".join(lifecycle.refuted)


def test_what_a_run_finds_about_a_lifecycle_is_in_the_text(lifecycle: Comparison) -> None:
    assert len(lifecycle.missed) <= 4, "\n\n".join(lifecycle.missed)
