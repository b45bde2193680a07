"""Checkpointing computes the forward pass again within the backward pass; the reentrant kind enters the engine twice."""

import torch
from tiny import batches, loss_of, network
from torch import Tensor, nn
from torch.optim import SGD
from torch.utils.checkpoint import checkpoint, checkpoint_sequential


class Frugal(nn.Module):
    def __init__(self, use_reentrant: bool) -> None:
        super().__init__()
        self.first, self.second, self.head = nn.Linear(4, 6), nn.Linear(6, 6), nn.Linear(6, 1)
        self.use_reentrant = use_reentrant

    def forward(self, inputs: Tensor) -> Tensor:
        inputs = inputs.requires_grad_()
        for layer in (self.first, self.second):
            inputs = torch.tanh(checkpoint(layer, inputs, use_reentrant=self.use_reentrant))
        output: Tensor = self.head(inputs)
        return output


def healthy_reentrant() -> None:
    model = Frugal(use_reentrant=True)
    optimizer = SGD(model.parameters(), lr=0.01)
    for batch in batches():
        optimizer.zero_grad()
        loss_of(model, batch).backward()
        optimizer.step()


def broken_reentrant() -> None:
    model = Frugal(use_reentrant=True)
    optimizer = SGD(model.parameters(), lr=0.01)
    for batch in batches():
        loss_of(model, batch).backward()
        optimizer.step()  # expect: LG101


def healthy_not_reentrant() -> None:
    model = Frugal(use_reentrant=False)
    optimizer = SGD(model.parameters(), lr=0.01)
    for batch in batches():
        optimizer.zero_grad()
        loss_of(model, batch).backward()
        optimizer.step()


def broken_not_reentrant() -> None:
    model = Frugal(use_reentrant=False)
    optimizer = SGD(model.parameters(), lr=0.01)
    for batch in batches():
        loss_of(model, batch).backward()
        optimizer.zero_grad()  # expect: LG103
        optimizer.step()


def healthy_window() -> None:
    model = Frugal(use_reentrant=True)
    optimizer = SGD(model.parameters(), lr=0.01)
    for number, batch in enumerate(batches(), 1):
        (loss_of(model, batch) / 4).backward()
        if number % 4 == 0:
            optimizer.step()
            optimizer.zero_grad()


def broken_window() -> None:
    model = Frugal(use_reentrant=True)
    optimizer = SGD(model.parameters(), lr=0.01)
    for number, batch in enumerate(batches(), 1):
        optimizer.zero_grad()  # expect: LG401
        (loss_of(model, batch) / 4).backward()
        if number % 4 == 0:
            optimizer.step()


def healthy_sequential() -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.01)
    for inputs, _ in batches():
        optimizer.zero_grad()
        checkpoint_sequential(model, 2, inputs.requires_grad_(), use_reentrant=True).sum().backward()
        optimizer.step()


def broken_sequential() -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.01)
    for inputs, _ in batches():
        checkpoint_sequential(model, 2, inputs.requires_grad_(), use_reentrant=True).sum().backward()
        optimizer.step()  # expect: LG101
