"""Tensors without values that could be looked at: the guard goes on without, and is silent about them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, Literal

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

import loopguard
from loopguard.runtime.gradients import is_zero


@contextmanager
def meta() -> Iterator[None]:
    """Everything is on the device that has no data."""
    with torch.device("meta"):
        yield


WORLDS: dict[str, Callable[[], Any]] = {"meta": meta, "traced": FakeTensorMode}


def nothing(parameter: Tensor) -> None:
    """Gradients are never cleared."""


def remove(parameter: Tensor) -> None:
    parameter.grad = None


def zero(parameter: Tensor) -> None:
    if parameter.grad is not None:
        parameter.grad.zero_()


def zero_data(parameter: Tensor) -> None:
    if parameter.grad is not None:
        parameter.grad.data.zero_()


def halve(parameter: Tensor) -> None:
    if parameter.grad is not None:
        parameter.grad.mul_(0.5)


def train(clear: Callable[[Tensor], None], steps: int = 24) -> None:
    """Train a model for some steps, with a clear by hand."""
    model = nn.Linear(3, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(steps):
        for parameter in model.parameters():
            clear(parameter)
        model(torch.ones(4, 3)).sum().backward()
        optimizer.step()


@pytest.mark.parametrize("ledger", ["auto", "full"])
@pytest.mark.parametrize("clear", [nothing, remove, zero, zero_data, halve])
@pytest.mark.parametrize("world", WORLDS)
def test_a_training_without_values_is_survived_in_silence(
    world: str, clear: Callable[[Tensor], None], ledger: Literal["auto", "full"]
) -> None:
    with loopguard.guard(on_finding="collect", ledger=ledger) as watch, WORLDS[world]():
        train(clear)
    assert watch.failed is None, repr(watch.failed)
    assert watch.findings == []
    assert watch.steps == 24


@pytest.mark.parametrize("world", WORLDS)
def test_what_comes_after_it_is_judged(world: str) -> None:
    with warnings.catch_warnings(), loopguard.guard(on_finding="collect") as watch:
        warnings.simplefilter("error")
        with WORLDS[world]():
            train(zero)
        train(nothing)
    assert [finding.code for finding in watch.findings] == ["LG101"]


def test_gradients_made_in_inference_mode_are_survived() -> None:
    """They have no version that could be counted."""
    model = nn.Linear(3, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with loopguard.guard(on_finding="collect", ledger="full") as watch:
        for number in range(8):
            with torch.inference_mode(number % 2 == 0):
                for parameter in model.parameters():
                    parameter.grad = torch.ones_like(parameter)
            with nullcontext() if number % 2 else torch.inference_mode():
                optimizer.step()
    assert watch.failed is None, repr(watch.failed)


class Refusing(Tensor):
    """A tensor that lets nobody compute with it."""

    @classmethod
    def __torch_dispatch__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function is torch.ops.aten.detach.default:
            return args[0]
        return NotImplemented


def test_of_what_cannot_be_looked_at_nobody_knows_whether_it_is_zero() -> None:
    refusing = Tensor._make_wrapper_subclass(Refusing, (2,), dtype=torch.float32)
    assert is_zero(refusing) is None
    assert is_zero(torch.zeros(2, device="meta")) is None
    assert (is_zero(torch.zeros(2)), is_zero(torch.ones(2))) == (True, False)
