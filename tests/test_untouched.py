"""A guarded training is the training: every parameter after every step has the same bits, and all else is the same."""

from __future__ import annotations

import io
import runpy
import sys
import warnings
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from typing import Literal

import pytest
import scenarios
import stand_ins
import torch
from torch.nn.utils import clip_grad
from torch.optim import lr_scheduler
from torch.optim.optimizer import Optimizer, register_optimizer_step_post_hook

from examples import program
from loopguard import catalogue
from loopguard.runtime.guard import guard

ROOT = Path(__file__).parent.parent
SCRIPTS = sorted((ROOT / "examples").glob("*.py"))
SILENT = [
    pytest.param(file, name, id=f"{file.stem}-{name}")
    for file in sorted((ROOT / "tests" / "silent_errors").glob("*.py"))
    if "\nRANKS = 2\n" not in file.read_text("utf-8")
    for name in scenarios.names(file)
]
EXAMPLES = [
    pytest.param(text, id=f"{entry.name}-{kind}-{number}")
    for entry in catalogue.load()
    if entry.name != "invalid-syntax"
    for kind in ("bad", "good")
    for number, text in enumerate(getattr(entry.rule, kind))
    if "init_process_group" not in text
]
LEDGERS: tuple[Literal["auto", "full"], ...] = ("auto", "full")

Run = tuple[str, str, list[bytes]]
"""What a run has printed, how it has ended, and what its parameters were after each step."""


def record(training: Callable[[], object]) -> Run:
    """Run a training."""
    steps: list[bytes] = []

    def after(optimizer: Optimizer, args: object, kwargs: object) -> None:
        for group in optimizer.param_groups:
            for p in group["params"]:
                steps.append(bytes(p.detach().contiguous().view(torch.uint8).flatten().tolist()))

    hook = register_optimizer_step_post_hook(after)
    torch.manual_seed(0)
    end, printed = "its end", io.StringIO()
    try:
        with redirect_stdout(printed), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            training()
    except Exception as error:
        end = repr(error)
    finally:
        hook.remove()
    return printed.getvalue(), end, steps


def guarded(training: Callable[[], object], ledger: Literal["auto", "full"]) -> Run:
    """Run a training under a guard, which must not fail and must leave torch as it was."""
    schedules = [item for item in vars(lr_scheduler).values() if isinstance(item, type)]
    owners = (Optimizer, torch.nn.Module, torch.amp.GradScaler, torch.autograd, clip_grad, *schedules)
    before = {owner: dict(vars(owner)) for owner in owners}
    with guard(on_finding="collect", ledger=ledger) as watch:
        run = record(training)
    assert watch.failed is None, repr(watch.failed)
    assert before == {owner: dict(vars(owner)) for owner in before}
    return run


@pytest.mark.parametrize("ledger", LEDGERS)
@pytest.mark.parametrize("file", SCRIPTS, ids=lambda file: file.name)
def test_scripts_print_and_compute_the_same(
    file: Path, ledger: Literal["auto", "full"], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", [str(file)])
    text = file.read_text("utf-8")
    if "--epochs" in text:
        sys.argv += ["--epochs", "2"]
    threads = torch.get_num_threads()

    def training() -> None:
        runpy.run_path(str(file), run_name="__main__")

    try:
        plain = record(training)
        assert plain[1] == "its end"
        assert guarded(training, ledger) == plain
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize("ledger", LEDGERS)
@pytest.mark.parametrize(("file", "name"), SILENT)
def test_scenarios_compute_the_same(file: Path, name: str, ledger: Literal["auto", "full"]) -> None:
    training = getattr(scenarios.load(file), name)
    plain = record(training)
    assert plain[1] == "its end"
    assert plain[2]
    assert guarded(training, ledger) == plain


@pytest.mark.parametrize("ledger", LEDGERS)
@pytest.mark.parametrize("example", EXAMPLES)
def test_examples_of_rules_compute_the_same(
    example: str, ledger: Literal["auto", "full"], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_ins.install(monkeypatch)
    file = tmp_path / "train.py"
    file.write_text(program(example), "utf-8")
    code = compile(program(example), file, "exec")

    def training() -> None:
        exec(code, {"__name__": "__main__"})

    assert guarded(training, ledger) == record(training)
