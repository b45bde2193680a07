"""`debug` stops in the user's frame, in the debugger that `breakpoint()` would start, before the mistake is made."""

from __future__ import annotations

from pathlib import Path

from test_run import TRAINING, finish, start


def debug(place: Path, commands: str, **environment: str) -> tuple[int, str, str]:
    """Run a broken training (LG101 at row 10), with a debugger that is given some commands."""
    (place / "train.py").write_text(TRAINING.format(end="print('the end')"))
    process = start("-m", "loopguard", "run", "--on-finding", "debug", "train.py", stdin=commands, **environment)
    ended = finish(process)
    return ended.returncode, ended.stdout, ended.stderr


def test_pdb_stops_at_the_offending_line_with_the_users_variables_and_the_ledger(place: Path) -> None:
    code, out, err = debug(place, "p number, __name__\nledger\nc\n")
    assert code == 0
    assert f"> {place / 'train.py'}(10)<module>()" in out
    assert "-> optimizer.step()" in out
    assert "(1, '__main__')" in out
    assert "optimizer (SGD, 1 step): gradients are stale" in out
    assert "LG101 missing-zero-grad" in err
    assert "the ledger (`ledger` shows it again):" in err
    assert out.endswith("the end\n")


def test_a_step_leads_to_the_users_next_line_and_not_into_the_guard(place: Path) -> None:
    _, out, _ = debug(place, "n\nn\nq\n")
    assert f"> {place / 'train.py'}(11)<module>()" in out
    assert "loopguard/runtime" not in out


def test_whoever_quits_the_debugger_ends_the_program(place: Path) -> None:
    code, out, _ = debug(place, "q\n")
    assert code == 1
    assert "the end" not in out


def test_another_debugger_is_started_as_breakpoint_does(place: Path) -> None:
    (place / "mine.py").write_text("def stop():\n    print('mine has stopped')\n")
    code, out, _ = debug(place, "", PYTHONBREAKPOINT="mine.stop", PYTHONPATH=f"{place}:{Path(__file__).parent.parent}")
    assert code == 0
    assert out.count("mine has stopped") == 1
