"""A guarded training is the training: every parameter after every step has the same bits, and all else is the same."""

from __future__ import annotations

import copy
import inspect
import io
import pickle
import runpy
import sys
import warnings
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from types import ModuleType
from typing import Literal

import pytest
import scenarios
import stand_ins
import torch
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
LEDGERS: tuple[Literal["auto", "full"], ...] = ("auto", "full")
# With the ledgers in turn: one of each rule's two neighbours is looked at by either.
EXAMPLES = [
    pytest.param(text, LEDGERS[number % 2], id=f"{entry.name}-{kind}-{number}")
    for entry in catalogue.load()
    if entry.name != "invalid-syntax"
    for kind in ("bad", "good")
    for number, text in enumerate(getattr(entry.rule, kind))
    if "init_process_group" not in text
]
PATCHED = (
    *(Optimizer, torch.nn.Module, torch.amp.GradScaler, torch.autograd, torch.nn.utils, torch.nn.utils.clip_grad),
    *(kind for kind in vars(lr_scheduler).values() if isinstance(kind, type)),
)

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
    before = attributes()
    with guard(on_finding="collect", ledger=ledger) as watch:
        run = record(training)
    assert watch.failed is None, repr(watch.failed)
    assert before == attributes()
    return run


def attributes() -> dict[object, dict[str, object]]:
    """What is patched under a guard, without what may come at any time: modules that torch imports, copyreg's caches."""
    return {
        owner: {
            name: value
            for name, value in vars(owner).items()
            if name != "__slotnames__" and not isinstance(value, ModuleType)
        }
        for owner in PATCHED
    }


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


@pytest.mark.parametrize(("example", "ledger"), EXAMPLES)
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


@pytest.mark.parametrize("clip", ["clip_grad_norm_", "clip_grad_value_"])
def test_the_signature_of_a_clip_is_the_same(clip: str) -> None:
    plain = inspect.signature(getattr(torch.nn.utils, clip))
    with guard(on_finding="collect"):
        assert inspect.signature(getattr(torch.nn.utils, clip)) == plain


def test_clips_return_the_same_and_take_what_they_took() -> None:
    def clipped(given: Callable[[torch.Tensor], object]) -> tuple[object, list[float]]:
        p = torch.nn.Parameter(torch.ones(3))
        p.grad = torch.full((3,), 2.0)
        norm = torch.nn.utils.clip_grad_norm_(given(p), 1.0)
        torch.nn.utils.clip_grad_value_(clip_value=0.3, parameters=given(p))
        return norm.item(), p.grad.tolist()

    ways: list[Callable[[torch.Tensor], object]] = [lambda p: p, lambda p: [p], lambda p: (q for q in [p]), iter_of]
    plain = [clipped(way) for way in ways]
    with guard(on_finding="collect"):
        assert [clipped(way) for way in ways] == plain


def iter_of(parameter: torch.Tensor) -> object:
    return iter((parameter,))


@pytest.mark.filterwarnings("ignore:Seems like .optimizer.step")
def test_schedules_and_scalers_can_be_copied_and_pickled_under_a_guard() -> None:
    model = torch.nn.Linear(2, 1)
    with guard(on_finding="collect") as watch:
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        schedule, scaler = lr_scheduler.StepLR(optimizer, 1), torch.amp.GradScaler("cpu")
        scaler.scale(model(torch.ones(1, 2)).sum()).backward()
        scaler.step(optimizer)
        scaler.update()
        for copied in (copy.deepcopy(schedule), pickle.loads(pickle.dumps(schedule))):
            copied.step()
            assert copied.get_last_lr() == [pytest.approx(0.01)]
        for other in (copy.deepcopy(scaler), pickle.loads(pickle.dumps(scaler))):
            assert other.get_scale() == scaler.get_scale()
        assert schedule.get_last_lr() == [0.1]
    assert watch.failed is None
    assert watch.findings == []
    assert "loopguard" not in str(vars(schedule)) + str(vars(scaler))
