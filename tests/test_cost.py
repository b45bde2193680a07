"""What a guard costs does not grow with the parameters or the steps, and ends with it. Little here is timed."""

from __future__ import annotations

import gc
import sys
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Literal
from weakref import ref

import pytest
import torch
from torch import nn
from torch.nn.modules.module import _global_forward_pre_hooks
from torch.nn.parallel import DistributedDataParallel
from torch.optim import SGD
from torch.optim.optimizer import Optimizer, _global_optimizer_post_hooks, _global_optimizer_pre_hooks

import loopguard
from loopguard.runtime.names import parameter_names
from loopguard.runtime.watch import Watch

HERE = f"{Path(loopguard.__file__).parent}/"
LEDGERS: tuple[Literal["auto", "full"], ...] = ("auto", "full")
SETTLED = 300
"""After how many steps a loop is known. The next that are looked at closely are some way off."""

Training = Callable[[int, Callable[[int], None]], None]


def training(parameters: int) -> Training:
    """A training of so many parameters. It can be asked for some steps, and to call something before each of them."""
    held = [nn.Parameter(torch.randn(2)) for _ in range(parameters)]
    optimizer = SGD(held, lr=1e-4)

    def run(steps: int, before: Callable[[int], None]) -> None:
        for number in range(steps):
            before(number)
            optimizer.zero_grad()
            torch.stack(held).square().sum().backward()
            optimizer.step()

    return run


def watched(run: Training, steps: int, before: Callable[[int], None], ledger: Literal["auto", "full"] = "auto") -> None:
    """Run a training under a watch that neither fails nor finds anything."""
    watch = Watch(lambda record, frame: None, ledger=ledger)
    watch.start()
    run(steps, before)
    watch.stop()
    assert watch.failed is None, repr(watch.failed)
    assert not watch.findings


def calls(parameters: int, ledger: Literal["auto", "full"]) -> list[int]:
    """How many calls the guard receives and makes in each of ten steps, once it knows the loop."""
    made: list[int] = []

    def hear(frame: FrameType, event: str, argument: object) -> None:
        if event in ("call", "c_call"):
            made[-1] += frame.f_code.co_filename.startswith(HERE)

    def before(step: int) -> None:
        if step >= SETTLED:
            made.append(0)
            sys.setprofile(hear)

    try:
        watched(training(parameters), SETTLED + 10, before, ledger)
    finally:
        sys.setprofile(None)
    return made[:-1]  # with the last step, the watch ends


def test_a_step_costs_as_many_calls_whatever_the_number_of_parameters() -> None:
    few, many = calls(4, "auto"), calls(400, "auto")
    assert few == many
    assert max(few) < 50


def test_a_full_ledger_costs_a_few_calls_a_parameter() -> None:
    few, many = calls(4, "full"), calls(400, "full")
    assert len({*few}) == len({*many}) == 1
    assert 1 <= (many[0] - few[0]) / 396 < 8


@pytest.mark.parametrize("ledger", LEDGERS)
def test_the_first_steps_cost_as_many_calls_for_each_parameter(ledger: Literal["auto", "full"]) -> None:
    """In these everything is looked at, in a guard of either kind."""

    def first(parameters: int) -> int:
        made = 0

        def hear(frame: FrameType, event: str, argument: object) -> None:
            nonlocal made
            if event in ("call", "c_call"):
                made += frame.f_code.co_filename.startswith(HERE)

        run = training(parameters)
        sys.setprofile(hear)
        try:
            watched(run, 8, lambda step: None, ledger)
        finally:
            sys.setprofile(None)
        return made

    few, many, most = first(300), first(900), first(1500)
    assert most - many == pytest.approx(many - few, rel=0.1)
    assert (most - few) / 1200 < 250


def test_names_are_found_in_time_that_grows_with_their_number_and_not_with_its_square() -> None:
    def seconds(layers: int) -> float:
        model = nn.Sequential(*(nn.Linear(1, 1) for _ in range(layers)))
        parameters = list(model.parameters())
        taken = []
        for _ in range(5):
            begun = time.process_time()
            names = parameter_names(parameters, [sys._getframe()])
            taken.append(time.process_time() - begun)
        assert names[-1] == f"{layers - 1}.bias"
        return min(taken)

    assert seconds(4000) < 10 * seconds(1000)


@pytest.mark.parametrize("ledger", LEDGERS)
def test_no_step_leaves_anything_behind(ledger: Literal["auto", "full"]) -> None:
    """After twice the steps, the process has as many objects, and the guard holds as many bytes."""
    mine = [tracemalloc.Filter(True, f"{HERE}*")]
    marks: list[tuple[int, int]] = []
    steps = 1500

    def before(step: int) -> None:
        if step == SETTLED:
            tracemalloc.start()
        if step in (steps, 2 * steps):
            gc.collect()
            traces = tracemalloc.take_snapshot().filter_traces(mine).traces
            marks.append((len(gc.get_objects()), sum(trace.size for trace in traces)))

    try:
        watched(training(4), 2 * steps + 1, before, ledger)
    finally:
        tracemalloc.stop()
    (objects, size), (objects_later, size_later) = marks
    assert objects_later - objects < steps / 50
    assert size_later - size < steps


@pytest.mark.parametrize("ledger", LEDGERS)
def test_no_gradient_lives_longer(ledger: Literal["auto", "full"]) -> None:
    """What a clear has let go is gone at once, even before a collection of garbage."""
    parameter = nn.Parameter(torch.randn(2))
    optimizer = SGD([parameter], lr=1e-4)
    gc.disable()
    try:
        with loopguard.guard(ledger=ledger):
            for _ in range(50):
                parameter.square().sum().backward()
                assert parameter.grad is not None
                gradient = ref(parameter.grad)
                optimizer.step()
                optimizer.zero_grad()
                assert gradient() is None
    finally:
        gc.enable()


def everything() -> list[dict[str, object]]:
    """What a guard could have left somewhere in torch."""
    owners = (
        *(Optimizer, SGD, nn.Module, torch.Tensor, torch.amp.GradScaler, DistributedDataParallel),
        *(torch.autograd, torch.autograd.graph, torch.distributed, torch.distributed.distributed_c10d),
        *(torch.no_grad, torch.inference_mode, torch.set_grad_enabled),
    )
    hooks = (_global_optimizer_pre_hooks, _global_optimizer_post_hooks, _global_forward_pre_hooks)
    return [dict(vars(owner)) for owner in owners] + [dict(hook) for hook in hooks]


@pytest.mark.parametrize("ending", ["one after the other", "the outer one first", "by an error"])
def test_torch_is_as_it_was_when_the_last_guard_has_ended(ending: str) -> None:
    run = training(4)
    before = everything()
    outer, inner = loopguard.guard(), loopguard.guard()
    outer.__enter__()
    inner.__enter__()
    run(20, lambda step: None)
    assert everything() != before
    error = ArithmeticError() if ending == "by an error" else None
    for guard in (outer, inner) if ending == "the outer one first" else (inner, outer):
        assert everything() != before
        guard.__exit__(type(error) if error else None, error, None)
    assert everything() == before
