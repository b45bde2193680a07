"""Steps that leave parameters as they are are told from those that move them, and from those that need not."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.optim import SGD, Adadelta, Adagrad, Adam, AdamW, NAdam, RMSprop
from torch.optim.lr_scheduler import LambdaLR
from torch.optim.optimizer import Optimizer

from loopguard.runtime import movement
from loopguard.runtime.movement import Movement

STEPS = 40


def train(
    optimizer: Optimizer, loss: Callable[[], Tensor], prepare: Callable[[], None] = lambda: None, steps: int = STEPS
) -> list[Tensor]:
    """Train for some steps, and return what was told of."""
    watch, told = Movement(), []
    for step in range(1, steps + 1):
        optimizer.zero_grad()
        loss().backward()
        prepare()
        watch.before(optimizer, step)
        optimizer.step()
        told += watch.after()
    return told


class Held(SGD):
    """Steps only in every so many calls, as one does that collects gradients by itself. 0: never."""

    every = 0

    def step(self, closure: None = None) -> None:  # type: ignore[override]
        self.calls = getattr(self, "calls", 0) + 1
        if self.every and self.calls % self.every == 0:
            super().step(closure)


class Copying(SGD):
    """Writes into copies of parameters whose elements do not lie side by side."""

    def step(self, closure: None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    p.data.reshape(-1).sub_(group["lr"] * p.grad.reshape(-1))


def model_and_loss() -> tuple[nn.Module, Callable[[], Tensor]]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.Linear(4, 1))
    return model, lambda: model(torch.randn(5, 3)).square().mean()


@pytest.mark.parametrize("kind", [SGD, Adam, AdamW, Adagrad, Adadelta, NAdam, RMSprop])
def test_optimizers_move_what_they_hold(kind: type[Optimizer]) -> None:
    model, loss = model_and_loss()
    assert train(kind(model.parameters(), lr=1e-3), loss) == []  # type: ignore[call-arg]


def test_steps_that_do_nothing_are_told_once_for_each_parameter() -> None:
    model, loss = model_and_loss()
    # The gradient of the first bias is zero up to rounding.
    told = {id(p) for p in train(Held(model.parameters(), lr=0.1), loss)}
    assert told >= {id(p) for name, p in model.named_parameters() if name.startswith(("1", "2"))}
    assert len(train(Held(model.parameters(), lr=0.1), loss, steps=60)) == len(told)


def test_a_step_that_writes_into_copies_is_told_of_those_parameters() -> None:
    model, loss = model_and_loss()
    weight = model.get_parameter("0.weight")
    weight.data = weight.data.t().contiguous().t()
    assert [p is weight for p in train(Copying(model.parameters(), lr=0.1), loss)] == [True]


def test_a_step_that_stops_moving_anything_is_told_of_later() -> None:
    model, loss = model_and_loss()
    optimizer = Held(model.parameters(), lr=0.1)
    optimizer.every = 1

    def stop() -> None:
        optimizer.every = int(optimizer.calls < 5) if hasattr(optimizer, "calls") else 1

    assert train(optimizer, loss, stop)


@pytest.mark.parametrize("every", [2, 3, 8, 16])
def test_an_optimizer_that_collects_by_itself_is_silent(every: int) -> None:
    model, loss = model_and_loss()
    optimizer = Held(model.parameters(), lr=0.1)
    optimizer.every = every
    assert train(optimizer, loss, steps=100) == []


def test_a_learning_rate_of_zero_moves_nothing_and_is_silent() -> None:
    model, loss = model_and_loss()
    optimizer = SGD(model.parameters(), lr=0.1)
    LambdaLR(optimizer, lambda epoch: 0.0)
    assert train(optimizer, loss) == []


def test_a_learning_rate_too_small_for_the_type_is_silent() -> None:
    model, loss = model_and_loss()
    assert train(Adam(model.to(torch.bfloat16).parameters(), lr=1e-5), lambda: bfloat16_loss(model)) == []
    model, loss = model_and_loss()
    assert train(Adam(model.parameters(), lr=1e-9), loss) == []


def bfloat16_loss(model: nn.Module) -> Tensor:
    loss: Tensor = model(torch.randn(5, 3, dtype=torch.bfloat16)).square().mean()
    return loss


@pytest.mark.parametrize("value", [0.0, float("inf"), float("nan")])
def test_gradients_that_nobody_would_use_are_silent(value: float) -> None:
    model, loss = model_and_loss()

    def spoil() -> None:
        for p in model.parameters():
            assert p.grad is not None
            p.grad.fill_(value)

    assert train(Held(model.parameters(), lr=0.1), loss, spoil) == []


def test_parameters_that_move_are_looked_at_in_few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    model, loss = model_and_loss()
    looks = []
    monkeypatch.setattr(movement, "checksums", lambda ps: looks.append(len(ps)) or [len(looks)] * len(ps))
    train(SGD(model.parameters(), lr=0.1), loss, steps=64)
    assert len(looks) == 2 * len([1, 2, 4, 8, 16, 32, 64])
