"""Whatever a program has done to its streams: its exit code and its output are its own, and what can be said is said."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from test_run import guarded, plainly

import loopguard
from loopguard.report.terminal import say, style

TRAINING = """\
import io, os, sys
import torch


class Tee:
    def __init__(self, stream):
        self.stream = stream

    def write(self, text):
        self.stream.write(text)

    def flush(self):
        self.stream.flush()


class Silent:
    def write(self, text):
        pass


class Raising(Tee):
    isatty = property(lambda self: 1 / 0)


class Refusing:
    def __getattr__(self, name):
        raise RuntimeError(name)


model = torch.nn.Linear(2, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
{streams}
for number in range(8):
    model(torch.ones(1, 2)).sum().backward()
    optimizer.step()
print("trained", number, file=sys.__stdout__)
{end}
"""
"""LG101 in its loop."""

TOLD = {
    "a tee": "sys.stderr = Tee(sys.stderr)",
    "a tee whose `isatty` raises": "sys.stderr = Raising(sys.stderr)",
    "an encoding that has few letters": "sys.stderr = io.TextIOWrapper(sys.stderr.buffer, 'ascii', 'strict')",
    "stdout closed": "sys.__stdout__ = io.TextIOWrapper(os.fdopen(os.dup(1), 'wb')); sys.stdout.close()",
    "stdout that refuses": "sys.stdout = Refusing()",
    "no stdout": "sys.stdout = None",
}
"""What leaves a stream on which something can be said."""

MUTE = {
    "no stderr": "sys.stderr = None",
    "no flush": "sys.stderr = Silent()",
    "closed": "sys.stderr.close()",
    "closed below": "os.close(2)",
    "refusing": "sys.stderr = Refusing()",
    "an object": "sys.stderr = object()",
    "a broken pipe": "read, write = os.pipe(); os.close(read); os.dup2(write, 2)",
}
"""What leaves none."""


@pytest.mark.parametrize("streams", [*TOLD, *MUTE])
def test_exit_code_and_output_are_the_programs_own(place: Path, streams: str) -> None:
    (place / "train.py").write_text(TRAINING.format(streams=(TOLD | MUTE)[streams], end=""))
    plain, ours = plainly("train.py"), guarded("--json", "out.json", "train.py")
    assert plain.stdout == "trained 7\n", plain.stderr
    assert (ours.returncode, ours.stdout) == (plain.returncode, plain.stdout), ours.stderr
    assert '"LG101"' in (place / "out.json").read_text()
    assert ours.stderr.count("Traceback") == plain.stderr.count("Traceback")
    assert ("LG101" in ours.stderr) == (streams in TOLD)
    assert ("loopguard: found 1 error in 8 steps of 1 optimizer\n" in ours.stderr) == (streams in TOLD)


@pytest.mark.parametrize("streams", ["a tee", "closed", "refusing", "a broken pipe"])
def test_a_failure_of_the_guard_is_survived_as_well(place: Path, streams: str) -> None:
    """What tells of it is a warning, which goes to the same streams."""
    fault = "import loopguard.runtime.sites as sites\nsites.Sites.at = lambda *_: 1 / 0"
    (place / "train.py").write_text(TRAINING.format(streams=f"{fault}\n{(TOLD | MUTE)[streams]}", end="sys.exit(3)"))
    plain, ours = plainly("train.py"), guarded("train.py")
    assert (ours.returncode, ours.stdout) == (plain.returncode, plain.stdout), ours.stderr


def test_a_disk_without_room_changes_nothing(place: Path) -> None:
    (place / "train.py").write_text(TRAINING.format(streams="", end="sys.exit(3)"))
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "loopguard", "run", "train.py"]
        ended = subprocess.run(command, stdout=subprocess.PIPE, stderr=full, timeout=120)
    assert (ended.returncode, ended.stdout) == (3, b"trained 7\n")


def test_a_bug_in_the_summary_changes_nothing(place: Path) -> None:
    fault = "import loopguard.report.run as report\nreport.summary = lambda *_: 1 / 0"
    (place / "train.py").write_text(TRAINING.format(streams=fault, end="sys.exit(3)"))
    ended = guarded("train.py")
    assert (ended.returncode, ended.stdout) == (3, "trained 7\n")
    assert "loopguard: warning: internal error: ZeroDivisionError('division by zero')" in ended.stderr


def test_a_bug_as_the_guard_begins_changes_nothing(place: Path) -> None:
    fault = "import sys\nimport loopguard.runtime.guard as guard\nguard.new_watch = lambda *_, **__: 1 / 0"
    (place / "train.py").write_text(f"print('begin')\n{TRAINING.format(streams='', end='sys.exit(3)')}")
    (place / "begin.py").write_text(
        "import sys, loopguard.runtime.session as session\n"
        "session.on_arrival = lambda name, action, wait=session.on_arrival: wait(name, lambda: (broken(), action()))\n"
        f"def broken():\n    exec({fault!r})\n"
        "sys.argv = ['loopguard', 'run', 'train.py']\n"
        "from loopguard.__main__ import main; main()"
    )
    ended = plainly("begin.py")
    assert (ended.returncode, ended.stdout) == (3, "begin\ntrained 7\n"), ended.stderr
    assert "loopguard: warning: this run is not watched: division by zero" in ended.stderr


class Broken(io.StringIO):
    """A stream of which one method raises."""

    def __init__(self, method: str, error: BaseException) -> None:
        super().__init__()

        def fail(*_: Any) -> None:
            raise error

        setattr(self, method, fail)


ERRORS = [OSError(), ValueError(), RuntimeError(), AttributeError(), BrokenPipeError(), RecursionError()]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("method", ["write", "flush", "isatty"])
@pytest.mark.parametrize("name", ["stdout", "stderr"])
def test_nothing_that_a_stream_raises_gets_out(
    name: str, method: str, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, name, Broken(method, error))
    assert not style().links
    assert say("something") is (name == "stdout" or method == "isatty")


def test_an_interrupt_while_something_is_said_is_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", Broken("write", KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        say("something")


def test_letters_that_a_stream_does_not_know_are_written_as_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(written, "ascii", "strict"))
    assert say("Verlust ε")
    assert written.getvalue() == b"Verlust \\u03b5\n"


def test_a_guard_in_a_program_goes_on_where_nothing_can_be_said(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    model = torch.nn.Linear(2, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    monkeypatch.setattr(sys, "stderr", object())
    with loopguard.guard() as watch:
        for _ in range(8):
            model(torch.ones(1, 2)).sum().backward()
            optimizer.step()
    assert watch.failed is None
    assert [finding.code for finding in watch.findings] == ["LG101"]
