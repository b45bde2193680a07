"""Every optimizer of torch.optim is watched, however it computes its steps, and computes the same as unwatched.

The classes are those that the installed torch has. All of them can train matrices, so that a new one is tried as it
comes.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from scenarios import Findings, Ledger
from torch import Tensor, nn
from torch.optim import Optimizer

from examples import marks
from loopguard.runtime.guard import guard

LONG = 24
"""So many steps are more than the guard needs to let some of them go by."""

CLASSES = sorted(
    {cls for cls in vars(torch.optim).values() if isinstance(cls, type) and issubclass(cls, Optimizer)} - {Optimizer},
    key=lambda cls: cls.__name__,
)
WAYS = [
    pytest.param(cls, settings, id="-".join((cls.__name__, *(f"{key}={value}" for key, value in settings.items()))))
    for cls in CLASSES
    for settings in ({}, {"foreach": True}, {"foreach": False}, {"fused": True})
    if settings.keys() <= inspect.signature(cls).parameters.keys()
]

Training = Callable[[Optimizer, "Words"], None]
"""One that takes steps of an optimizer on a model."""


class Words(nn.Module):
    """Has matrices alone: one with sparse gradients if they are wanted, and one with dense gradients if not."""

    def __init__(self, sparse: bool) -> None:
        super().__init__()
        self.embedding = nn.Embedding(5, 4, sparse=sparse)
        self.output = nn.Linear(4, 3, bias=False).requires_grad_(not sparse)

    def loss(self) -> Tensor:
        loss: Tensor = self.output(self.embedding(torch.randint(5, (6,)))).square().mean()
        return loss


def healthy(optimizer: Optimizer, model: Words) -> None:
    for _ in range(LONG):
        optimizer.zero_grad()
        model.loss().backward()
        optimizer.step()


def broken(optimizer: Optimizer, model: Words) -> None:
    for _ in range(LONG):
        model.loss().backward()
        optimizer.step()  # expect: LG101


def healthy_with_closure(optimizer: Optimizer, model: Words) -> None:
    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = model.loss()
        loss.backward()
        return loss

    for _ in range(LONG):
        optimizer.step(closure)


def broken_with_closure(optimizer: Optimizer, model: Words) -> None:
    def closure() -> Tensor:
        loss = model.loss()
        loss.backward()
        return loss

    for _ in range(LONG):
        optimizer.step(closure)  # expect: LG205


def needs_closure(cls: type[Optimizer]) -> bool:
    return inspect.signature(cls.step).parameters["closure"].default is inspect.Parameter.empty


def trained(cls: type[Optimizer], settings: dict[str, Any], training: Training) -> list[Tensor]:
    """The parameters after a training."""
    torch.manual_seed(0)
    model = Words(sparse=cls is torch.optim.SparseAdam)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        training(cls([p for p in model.parameters() if p.requires_grad], **settings), model)
    return [p.detach() for p in model.parameters()]


def found(cls: type[Optimizer], settings: dict[str, Any], training: Training, ledger: Ledger) -> Findings:
    with guard(on_finding="collect", ledger=ledger) as watch:
        trained(cls, settings, training)
    assert watch.failed is None, repr(watch.failed)
    return [(finding.place.row, finding.code) for finding in watch.findings]


@pytest.mark.parametrize("ledger", ["auto", "full"])
@pytest.mark.parametrize(("cls", "settings"), WAYS)
def test_nothing_is_found_where_gradients_are_cleared(
    cls: type[Optimizer], settings: dict[str, Any], ledger: Ledger
) -> None:
    assert found(cls, settings, healthy_with_closure if needs_closure(cls) else healthy, ledger) == []


@pytest.mark.parametrize("ledger", ["auto", "full"])
@pytest.mark.parametrize(("cls", "settings"), WAYS)
def test_gradients_that_are_never_cleared_are_found_at_the_step(
    cls: type[Optimizer], settings: dict[str, Any], ledger: Ledger
) -> None:
    plain, with_closure = marks(Path(__file__).read_text("utf-8"))
    expected = with_closure if needs_closure(cls) else plain
    assert found(cls, settings, broken_with_closure if needs_closure(cls) else broken, ledger) == [expected]


@pytest.mark.parametrize(("cls", "settings"), WAYS)
def test_the_parameters_have_the_same_bits_as_without_a_guard(cls: type[Optimizer], settings: dict[str, Any]) -> None:
    training = healthy_with_closure if needs_closure(cls) else healthy
    plain = trained(cls, settings, training)
    with guard(on_finding="collect", ledger="full"):
        guarded = trained(cls, settings, training)
    assert all(torch.equal(one, other) for one, other in zip(plain, guarded, strict=True))


def test_the_youngest_optimizers_are_among_them() -> None:
    assert {"Adadelta", "LBFGS", "Muon", "SparseAdam"} <= {cls.__name__ for cls in CLASSES}
