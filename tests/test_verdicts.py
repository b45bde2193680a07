"""What becomes of a finding of a check in a run: it is confirmed or refuted by proof, or else nothing is claimed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from guarded_run import Ledger, run
from programs import catalogue, findings_in
from verdict_programs import HEAD, PROGRAMS

from loopguard.crosscheck import Nobody, Verdict, verdict
from loopguard.finding import Finding

LEDGERS: tuple[Ledger, ...] = ("auto", "full")


def check(file: Path, text: str) -> Finding:
    """The one finding of the check of a program."""
    file.write_text(HEAD + text, "utf-8")
    (finding,) = findings_in(file, [file.parent])
    return finding


@pytest.mark.parametrize("ledger", LEDGERS)
@pytest.mark.parametrize("name", PROGRAMS)
def test_a_run_claims_what_it_proves(name: str, ledger: Ledger, tmp_path: Path) -> None:
    text, code, expected = PROGRAMS[name]
    said = check(tmp_path / "train.py", text)
    ended = run(tmp_path / "train.py", ledger=ledger)
    assert ended.error is None
    assert said.code == code
    assert verdict(said, ended.watch.findings, ended.watch, catalogue()) is expected
    assert bool(ended.findings) is (expected is Verdict.CONFIRMED)


def test_a_helper_of_another_file_is_judged_by_who_calls_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "helper_of_mine.py").write_text("def apply(o):\n    o.step()\n", "utf-8")
    monkeypatch.delitem(sys.modules, "helper_of_mine", raising=False)
    text = (
        "from helper_of_mine import apply\n\n"
        + PROGRAMS["a helper that gets another optimizer"].text.split("\n\n\n")[1]
    )
    said = check(tmp_path / "train.py", text)
    ended = run(tmp_path / "train.py")
    assert {moment.event.place.path for moment in said.evidence} == {
        str(tmp_path / "train.py"),
        str(tmp_path / "helper_of_mine.py"),
    }
    assert verdict(said, ended.watch.findings, ended.watch, catalogue()) is Verdict.NOT_REACHED


@pytest.mark.parametrize("name", [name for name, said in PROGRAMS.items() if said.verdict is Verdict.REFUTED])
def test_without_a_witness_of_all_of_it_nothing_is_refuted(name: str, tmp_path: Path) -> None:
    said = check(tmp_path / "train.py", PROGRAMS[name].text)
    assert verdict(said, [], None, catalogue()) is Verdict.NOT_JUDGED
    assert verdict(said, [], Nobody(), catalogue()) is Verdict.NOT_REACHED


def test_of_many_optimizers_nothing_is_refuted(tmp_path: Path) -> None:
    """What has led to the steps of each is not kept without end."""
    text = PROGRAMS["a clear that no text shows"].text
    more = "many = [torch.optim.SGD(other.parameters(), lr=0.1) for _ in range(99)]\n"
    said = check(tmp_path / "train.py", text + more)
    ended = run(tmp_path / "train.py")
    assert verdict(said, ended.watch.findings, ended.watch, catalogue()) is Verdict.NOT_JUDGED
