"""`import loopguard.auto` watches the whole process, as LOOPGUARD wants it."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_run import HEALTHY, TRAINING, plainly

AUTO = f"import loopguard.auto\n{TRAINING}"
"""LG101 at row 11."""

TOLD = "LG101 missing-zero-grad: `optimizer.step()` uses gradients summed over iterations"


@pytest.mark.parametrize("import_first", [True, False])
def test_an_import_is_enough_before_torch_or_after_it(place: Path, import_first: bool) -> None:
    text = AUTO if import_first else TRAINING.replace("import torch\n", "import torch\nimport loopguard.auto\n")
    (place / "train.py").write_text(text.format(end=""))
    (place / "plain.py").write_text(TRAINING.format(end=""))
    ended = plainly("train.py")
    assert (ended.returncode, ended.stdout) == (0, plainly("plain.py").stdout)
    assert ended.stderr.count(TOLD) == 1
    assert " --> train.py:11:5\n" in ended.stderr


@pytest.mark.parametrize(
    ("value", "code", "told"),
    [
        ("off", 0, ""),
        ("warn", 0, TOLD),
        ("", 0, TOLD),
        ("RAISE", 1, "loopguard.errors.TrainingLoopError: train.py:11:5"),
    ],
)
def test_the_environment_says_what_happens_at_a_finding(place: Path, value: str, code: int, told: str) -> None:
    (place / "train.py").write_text(AUTO.format(end=""))
    ended = plainly("train.py", LOOPGUARD=value)
    assert ended.returncode == code
    assert told in ended.stderr
    assert bool(ended.stderr) is bool(told)


def test_a_value_that_makes_no_sense_is_told_and_watches_nothing(place: Path) -> None:
    (place / "train.py").write_text(AUTO.format(end=""))
    ended = plainly("train.py", LOOPGUARD="wran")
    assert ended.returncode == 0
    assert ended.stderr == (
        "loopguard: warning: nothing is watched: LOOPGUARD is off, warn, raise or debug, not `wran`; did you mean `warn`?\n"
    )


def test_a_healthy_process_hears_nothing(place: Path) -> None:
    (place / "train.py").write_text(f"import loopguard.auto\n{HEALTHY}".format(end=""))
    assert plainly("train.py").stderr == ""


def test_the_last_verdicts_are_given_at_the_end_of_the_process(place: Path) -> None:
    """Gradients that no step ever uses are known to be thrown away when the run is over."""
    text = HEALTHY.replace("    optimizer.step()\n", "")
    (place / "train.py").write_text(f"import loopguard.auto\n{text}".format(end=""))
    assert plainly("train.py").stderr.count("LG201 ") == 1


def test_processes_that_train_are_watched_and_those_that_load_data_are_not(place: Path) -> None:
    (place / "train.py").write_text(
        """\
import loopguard.auto
import torch
import torch.multiprocessing as mp
from torch.utils.data import DataLoader, Dataset


class Data(Dataset):
    def __len__(self):
        return 4

    def __getitem__(self, index):
        return torch.optim.Optimizer.zero_grad.__module__, torch.randn(3)


def work(rank):
    model = torch.nn.Linear(3, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for name, inputs in DataLoader(Data(), num_workers=1, multiprocessing_context="spawn"):
        assert name[0].startswith("torch."), name
        model(inputs).sum().backward()
        optimizer.step()


if __name__ == "__main__":
    mp.spawn(work, nprocs=1)
"""
    )
    ended = plainly("train.py")
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr.count("LG101 ") == 1


def test_under_a_guard_of_the_command_it_is_not_told_twice(place: Path) -> None:
    (place / "train.py").write_text(AUTO.format(end=""))
    ended = plainly("-m", "loopguard", "run", "train.py")
    assert ended.stderr.count(" --> train.py:11:5\n") == 1
