"""README.md says what is so."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path
from textwrap import dedent

import pytest
from conftest import BROKEN, ROOT, Run, places, python
from readme import README, current

TEXT = README.read_text("utf-8")
COMMANDS = re.findall(r"^(?:\$ )?loopguard (.*?)(?: +#.*| > .*)?$", TEXT, re.MULTILINE)
RUNS = [command for command in COMMANDS if command.startswith("run ")]
MODEL = """\
import torch

model = torch.nn.Linear(3, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
loader = [torch.randn(4, 3) for _ in range(4)]
"""
TRAIN = """\
    for inputs in loader:
        model(inputs).sum().backward()
        optimizer.step()
"""
LINKS = re.findall(r"\]\((?!https?:)([^)#]+)\)", TEXT)


def blocks(language: str) -> list[str]:
    """What is shown as `language`."""
    return re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)


def test_the_generated_parts_are_up_to_date() -> None:
    assert current(TEXT) == TEXT, "run `python tests/readme.py`"


def test_the_configuration_that_is_shown_is_accepted(run: Run, write) -> None:  # type: ignore[no-untyped-def]
    write("pyproject.toml", "\n".join(blocks("toml")))
    for name in ("train.py", "tests/train.py", "third_party/train.py"):
        write(name)
    assert places(run("check")) == ["train.py:11:5: LG101"]


def test_the_commands_that_are_shown_are_accepted(run: Run, write) -> None:  # type: ignore[no-untyped-def]
    write("train.py")
    write("notebooks/empty.py", "")
    write("examples/broken_zero_grad.py")
    checks = [command for command in COMMANDS if command not in RUNS]
    assert len(checks) > 4
    assert {run(*shlex.split(command)).exit_code for command in checks} <= {0, 1}


@pytest.mark.parametrize("command", RUNS)
def test_the_programs_that_are_shown_are_run(place: Path, write, command: str) -> None:  # type: ignore[no-untyped-def]
    for name in ("train.py", "project/train.py"):
        write(name, MODEL + dedent(TRAIN))
    shutil.copytree(ROOT / "examples", place / "examples")
    done = python(place, "-W", "ignore", "-m", "loopguard", *shlex.split(command))
    assert "LG" in done.stderr.splitlines()[-2]
    assert done.stderr.splitlines()[-1].startswith("loopguard: found 1 error in ")
    assert done.returncode == ("raise" in command), done.stderr


def test_the_python_that_is_shown_watches(place: Path, write) -> None:  # type: ignore[no-untyped-def]
    (shown,) = (block for block in blocks("python") if "import loopguard" in block)
    write("train.py", f"{MODEL}\ndef train(model, loader, optimizer):\n{TRAIN}\n{shown}train(model, loader, optimizer)")
    done = python(place, "-W", "ignore", "train.py")
    told, _, raised = done.stderr.partition("Traceback")
    # Around the block, of the one optimizer, and of the process.
    assert told.count("LG101 missing-zero-grad: ") == 3, done.stderr
    assert "\nloopguard.errors.TrainingLoopError: train.py:10:9: LG101" in raised
    assert "backward of iterations 1 to 4 (train.py:9, used by a step)" in done.stdout


(SUPPRESSIONS,) = (block for block in blocks("python") if "loopguard: ignore" in block)


@pytest.mark.parametrize("line", SUPPRESSIONS.splitlines())
def test_the_comments_that_are_shown_suppress_a_finding(run: Run, write, line: str) -> None:  # type: ignore[no-untyped-def]
    step = "    optimizer.step()"
    write("train.py", BROKEN.replace(step, f"    {line}\n{step}" if line.startswith("#") else f"    {line}"))
    assert run("check", "--select", "LG101").exit_code == 0


@pytest.mark.parametrize("target", sorted(set(LINKS)))
def test_what_is_linked_is_there(target: str) -> None:
    assert (ROOT / target).exists()
