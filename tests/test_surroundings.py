"""Looking at modes, forward passes and makings costs nothing where nothing is new, and leaves nothing behind."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from weakref import ref

import pytest
import torch
from tiny import batches
from torch import nn
from torch.nn.modules import module as calls
from torch.optim import SGD

import loopguard
from loopguard.errors import TrainingLoopError
from loopguard.runtime import hooks
from loopguard.runtime.cruise import Cruise
from loopguard.runtime.passes import Passes
from loopguard.runtime.watch import Watch


def network() -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 6), nn.Dropout(0.5), nn.Linear(6, 1))


def step(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    for inputs, targets in batches(1):
        optimizer.zero_grad()
        nn.functional.mse_loss(model(inputs), targets).backward()
        optimizer.step()


@contextmanager
def counted(owner: type, name: str) -> Iterator[list[int]]:
    """How often a method was called."""
    seen: list[int] = []
    original: Callable[..., object] = getattr(owner, name)

    def counting(*args: object, **kwargs: object) -> object:
        seen.append(1)
        return original(*args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(owner, name, counting)
        yield seen


def raised_in(training: Callable[[list[int]], None]) -> tuple[str, int]:
    """The first finding of a training, and how often it had made what it counts until then."""
    made: list[int] = []
    with pytest.raises(TrainingLoopError) as raised, loopguard.guard(on_finding="raise"):
        training(made)
    return str(raised.value), len(made)


def test_training_in_evaluation_mode_is_found_in_its_second_step() -> None:
    def training(made: list[int]) -> None:
        model = network()
        optimizer = SGD(model.parameters(), lr=0.01)
        for _ in range(10):
            for inputs, targets in batches(3):
                made.append(1)
                optimizer.zero_grad()
                nn.functional.mse_loss(model(inputs), targets).backward()
                optimizer.step()
            model.eval()
            with torch.no_grad():
                model(torch.zeros(2, 4))

    told, steps = raised_in(training)
    assert "in evaluation mode" in told
    assert steps == 5


def test_validation_in_training_mode_is_found_in_its_second_batch() -> None:
    def training(made: list[int]) -> None:
        model = network()
        optimizer = SGD(model.parameters(), lr=0.01)
        step(model, optimizer)
        loader = list(batches(5))
        with torch.no_grad():
            for inputs, _ in loader:
                made.append(1)
                print(model(inputs).mean(), end="\r")

    told, passes = raised_in(training)
    assert "in training mode" in told
    assert passes == 2


def test_an_optimizer_that_is_made_again_is_found_in_its_first_step() -> None:
    def training(made: list[int]) -> None:
        model = network()
        for _ in range(10):
            optimizer = torch.optim.Adam(model.parameters())
            made.append(1)
            for inputs, targets in batches(1):
                optimizer.zero_grad()
                nn.functional.mse_loss(model(inputs), targets).backward()
            optimizer.step()

    told, made = raised_in(training)
    assert "starts a new Adam over and over" in told
    assert made == 2


def test_switches_that_are_undone_do_not_wake_the_guard_for_ever() -> None:
    model = network()
    with counted(Cruise, "do") as woken, loopguard.guard():
        optimizer = SGD(model.parameters(), lr=0.01)
        for _ in range(200):
            model.eval()
            with torch.no_grad():
                model(torch.zeros(2, 4))
            model.train()
            step(model, optimizer)
    assert len(woken) < 60


def test_a_block_without_gradients_is_looked_at_less_and_less() -> None:
    model = network()
    with counted(Passes, "look") as looks, loopguard.guard():
        optimizer = SGD(model.parameters(), lr=0.01)
        for _ in range(500):
            step(model, optimizer)
            with torch.no_grad():
                model(torch.zeros(2, 4))
    assert 16 <= len(looks) < 400


def test_no_hook_stays_on_the_modules() -> None:
    model = network()
    with loopguard.guard():
        optimizer = SGD(model.parameters(), lr=0.01)
        for _ in range(3):
            step(model, optimizer)
            with torch.no_grad():
                model(torch.zeros(2, 4))
                assert calls._global_forward_pre_hooks
            step(model, optimizer)
            assert not calls._global_forward_pre_hooks
        with torch.no_grad():
            pass
        assert calls._global_forward_pre_hooks
    assert not calls._global_forward_pre_hooks
    assert not hooks._LOOK.is_there


def test_where_something_is_compiled_nothing_is_hooked_or_compiled_again() -> None:
    torch._dynamo.reset()
    model = network()
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    graphs = []
    for guarded in (False, True):
        torch._dynamo.utils.counters.clear()
        watch = Watch(lambda record, frame: None)
        if guarded:
            watch.start()
        optimizer = SGD(model.parameters(), lr=0.01)
        for _ in range(3):
            step(compiled, optimizer)
            compiled.eval()
            with torch.no_grad():
                compiled(torch.zeros(3, 4))
                assert not calls._global_forward_pre_hooks
            compiled.train()
        watch.stop()
        assert watch.failed is None
        graphs.append(torch._dynamo.utils.counters["stats"]["unique_graphs"])
    torch._dynamo.reset()
    assert graphs[1] <= graphs[0]


def test_no_module_lives_longer() -> None:
    with loopguard.guard():
        model = network()
        optimizer = SGD(model.parameters(), lr=0.01)
        step(model, optimizer)
        model.eval()
        with torch.no_grad():
            model(torch.zeros(2, 4))
        gone = ref(model)
        del model, optimizer
        assert gone() is None


@pytest.mark.parametrize("selected", [(), ("LG703",)])
def test_graphs_are_looked_for_only_where_somebody_wants_to_know(selected: tuple[str, ...]) -> None:
    model = network()
    with counted(Passes, "look") as looks, loopguard.guard(on_finding="collect", extend_select=selected):
        optimizer = SGD(model.parameters(), lr=0.01)
        step(model, optimizer)
        model.eval()
        model(torch.zeros(2, 4))
    assert bool(looks) is bool(selected)
