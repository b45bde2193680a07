"""README.md says what is so."""

from __future__ import annotations

import re
import shlex

import pytest
from conftest import BROKEN, ROOT, Run, places
from readme import README, current

TEXT = README.read_text("utf-8")
COMMANDS = re.findall(r"^(?:\$ )?loopguard (.*?)(?: +#.*)?$", TEXT, re.MULTILINE)
LINKS = re.findall(r"\]\((?!https?:)([^)#]+)\)", TEXT)


def blocks(language: str) -> list[str]:
    """What is shown as `language`."""
    return re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)


def test_the_generated_parts_are_up_to_date() -> None:
    assert current(TEXT) == TEXT, "run `python tests/readme.py`"


def test_the_configuration_that_is_shown_is_accepted(run: Run, write) -> None:  # type: ignore[no-untyped-def]
    (shown,) = blocks("toml")
    write("pyproject.toml", shown)
    for name in ("train.py", "tests/train.py", "third_party/train.py"):
        write(name)
    assert places(run("check")) == ["train.py:11:5: LG101"]


def test_the_commands_that_are_shown_are_accepted(run: Run, write) -> None:  # type: ignore[no-untyped-def]
    write("train.py")
    write("notebooks/empty.py", "")
    write("examples/broken_zero_grad.py")
    assert len(COMMANDS) > 4
    assert {run(*shlex.split(command)).exit_code for command in COMMANDS} <= {0, 1}


@pytest.mark.parametrize("line", blocks("python")[0].splitlines())
def test_the_comments_that_are_shown_suppress_a_finding(run: Run, write, line: str) -> None:  # type: ignore[no-untyped-def]
    step = "    optimizer.step()"
    write("train.py", BROKEN.replace(step, f"    {line}\n{step}" if line.startswith("#") else f"    {line}"))
    assert run("check", "--select", "LG101").exit_code == 0


@pytest.mark.parametrize("target", sorted(set(LINKS)))
def test_what_is_linked_is_there(target: str) -> None:
    assert (ROOT / target).exists()
