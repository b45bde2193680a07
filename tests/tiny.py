"""A tiny network and batches for it: enough for a training of which every gradient is looked at."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

LONG = 40
"""So many batches are more than the guard needs to know a loop, and to let a part of it go by."""


def network() -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 1))


def batches(count: int = LONG) -> Iterator[tuple[Tensor, Tensor]]:
    return ((torch.randn(3, 4), torch.randn(3, 1)) for _ in range(count))


def loss_of(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    inputs, targets = batch
    return nn.functional.mse_loss(model(inputs), targets)
