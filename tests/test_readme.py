"""README.md says what is so."""

from __future__ import annotations

import re
import shlex
import tomllib

import pytest
from conftest import ROOT, Run
from readme import README, current

TEXT = README.read_text("utf-8")
COMMANDS = re.findall(r"^(?:\$ )?loopguard (.*?)(?: +#.*)?$", TEXT, re.MULTILINE)
LINKS = re.findall(r"\]\((?!https?:)([^)#]+)\)", TEXT)


def test_the_generated_parts_are_up_to_date() -> None:
    assert current(TEXT) == TEXT, "run `python tests/readme.py`"


def test_the_configuration_that_is_shown_is_accepted(run: Run, write) -> None:  # type: ignore[no-untyped-def]
    (shown,) = re.findall(r"```toml\n(.*?)```", TEXT, re.DOTALL)
    write("pyproject.toml", shown)
    write("train.py", "optimizer.zero_grad\n")
    assert run("check").stdout.startswith("train.py:1:1: LG001")
    assert "tests/*" in tomllib.loads(shown)["tool"]["loopguard"]["per-file-ignores"]


def test_the_commands_that_are_shown_are_accepted(run: Run, write) -> None:  # type: ignore[no-untyped-def]
    write("train.py")
    write("notebooks/empty.py", "")
    write("examples/broken_zero_grad.py")
    assert len(COMMANDS) > 4
    assert {run(*shlex.split(command)).exit_code for command in COMMANDS} <= {0, 1}


@pytest.mark.parametrize("comment", re.findall(r"# (?:loopguard: ignore|noqa)\S*(?: LG\d+\]?)?", TEXT))
def test_the_comments_that_are_shown_suppress_a_finding(run: Run, write, comment: str) -> None:  # type: ignore[no-untyped-def]
    write("train.py", f"import torch\nfor x in y:\n    loss.backward()\n    {comment}\n    opt.step  {comment}\n")
    assert run("check", "--ignore", "LG002").exit_code == (0 if "LG" not in comment else 1)


@pytest.mark.parametrize("target", sorted(set(LINKS)))
def test_what_is_linked_is_there(target: str) -> None:
    assert (ROOT / target).exists()
