"""The scripts of `examples/`: the healthy one learns, the broken ones do not, and check knows why."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from conftest import ROOT, Run, python

EXAMPLES = ROOT / "examples"
BROKEN = {
    "accumulation.py": [("LG101", "optimizer.step()")],
    "broken_accumulation.py": [("LG401", "optimizer.zero_grad()")],
    "broken_zero_grad.py": [("LG101", "optimizer.step()")],
}
EPOCH = re.compile(r"epoch +\d+ +loss +(\S+) +accuracy (\S+)")


def results(place: Path, script: str, *arguments: str) -> list[tuple[float, float]]:
    """Loss and accuracy of each epoch of a run."""
    done = python(place, "-W", "ignore", str(EXAMPLES / script), *arguments)
    assert done.returncode == 0, done.stderr
    return [(float(loss), float(accuracy)) for loss, accuracy in EPOCH.findall(done.stdout)]


def test_check_finds_the_bugs_of_the_broken_scripts_at_their_lines_and_no_other(run: Run) -> None:
    found: dict[str, list[tuple[str, str]]] = {}
    for finding in json.loads(run("check", "--isolated", "--output-format", "json", str(EXAMPLES)).stdout):
        file = Path(finding["filename"])
        line = file.read_text().splitlines()[finding["location"]["row"] - 1]
        found.setdefault(file.name, []).append((finding["code"], line.strip()))
    assert found == BROKEN


def test_no_rule_has_a_word_to_say_about_the_healthy_script(run: Run) -> None:
    assert run("check", "--isolated", "--select", "ALL", str(EXAMPLES / "healthy.py")).exit_code == 0


@pytest.mark.parametrize("arguments", [("--epochs", "3"), ("--epochs", "9", "--accumulate", "8")])
def test_the_healthy_script_learns(place: Path, arguments: tuple[str, ...]) -> None:
    losses, accuracies = zip(*results(place, "healthy.py", *arguments), strict=True)
    assert losses[-1] < losses[0] / 4
    assert accuracies[-1] > 0.9


def test_without_zero_grad_the_loss_explodes(place: Path) -> None:
    losses, accuracies = zip(*results(place, "broken_zero_grad.py", "--epochs", "3"), strict=True)
    assert min(losses) > 10
    assert max(accuracies) < 0.6


def test_with_a_clear_per_batch_an_accumulating_script_hardly_learns(place: Path) -> None:
    losses, accuracies = zip(*results(place, "broken_accumulation.py", "--epochs", "9"), strict=True)
    assert losses[-1] > losses[0] / 2
    assert max(accuracies) < 0.75


def test_the_ledger_tells_which_batches_a_step_uses(place: Path) -> None:
    done = python(place, "-W", "ignore", str(EXAMPLES / "accumulation.py"))
    numbers, healthy, broken = re.sub(r"\(\S+:\d+(, used by a step)?\)", r"\1", done.stdout).split("\n\n")
    assert numbers.endswith("which is their sum: True")
    assert "stale" not in healthy
    assert healthy.endswith("    backward of iterations 3 and 4 \nmistakes: 0")
    assert "gradients are stale\n    backward of iterations 1 and 2 , used by a step + backward of" in broken
    assert "\nLG101 missing-zero-grad: " in broken
