"""Accumulation windows of several ranks: when gradients are exchanged, and when they need to be."""

from collections.abc import Iterator
from contextlib import nullcontext

import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss
from torch.nn.parallel import DistributedDataParallel
from torch.optim import SGD

SELECTED = ("LG903",)


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1))


def batches(count: int = 12) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches of this rank's own."""
    return ((torch.randn(5, 4), torch.randn(5, 1)) for _ in range(count))


def healthy_last_of_a_window() -> None:
    model = DistributedDataParallel(network())
    optimizer = SGD(model.parameters(), lr=0.1)
    for number, (inputs, targets) in enumerate(batches(), 1):
        with nullcontext() if number % 3 == 0 else model.no_sync():
            (mse_loss(model(inputs), targets) / 3).backward()
        if number % 3 == 0:
            optimizer.step()
            optimizer.zero_grad()


def broken_each_of_a_window() -> None:
    model = DistributedDataParallel(network())
    optimizer = SGD(model.parameters(), lr=0.1)
    for number, (inputs, targets) in enumerate(batches(), 1):
        (mse_loss(model(inputs), targets) / 3).backward()  # expect: LG903
        if number % 3 == 0:
            optimizer.step()
            optimizer.zero_grad()


def broken_after_the_forward_pass() -> None:
    """Whether gradients are exchanged is decided by the forward pass."""
    model = DistributedDataParallel(network())
    optimizer = SGD(model.parameters(), lr=0.1)
    for number, (inputs, targets) in enumerate(batches(), 1):
        loss = mse_loss(model(inputs), targets) / 3
        with nullcontext() if number % 3 == 0 else model.no_sync():
            loss.backward()  # expect: LG903
        if number % 3 == 0:
            optimizer.step()
            optimizer.zero_grad()


def healthy_two_losses() -> None:
    model = DistributedDataParallel(network())
    optimizer = SGD(model.parameters(), lr=0.1)
    for inputs, targets in batches():
        optimizer.zero_grad()
        mse_loss(model(inputs), targets).backward()
        model(inputs).abs().mean().backward()
        optimizer.step()


def healthy_plain_module() -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.1)
    for number, (inputs, targets) in enumerate(batches(), 1):
        (mse_loss(model(inputs), targets) / 3).backward()
        if number % 3 == 0:
            optimizer.step()
            optimizer.zero_grad()
