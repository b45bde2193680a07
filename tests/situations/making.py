"""Optimizers that are made anew, or for parameters that the model does not have any more."""

import copy

import torch
from tiny import batches, loss_of, network
from torch import nn
from torch.optim import SGD, Adam, AdamW, Optimizer


def train(model: nn.Module, optimizer: Optimizer, count: int = 4) -> None:
    for batch in batches(count):
        optimizer.zero_grad()
        loss_of(model, batch).backward()
        optimizer.step()


def healthy_made_once() -> None:
    model = network()
    optimizer = Adam(model.parameters())
    for _epoch in range(3):
        train(model, optimizer)


def broken_made_each_epoch() -> None:
    model = network()
    for _epoch in range(2):
        optimizer = Adam(model.parameters())  # expect: LG801
        for batch in batches(4):
            optimizer.zero_grad()
            loss_of(model, batch).backward()
            optimizer.step()


def broken_made_each_long_epoch() -> None:
    model = network()
    for _epoch in range(2):
        optimizer = SGD(model.parameters(), lr=1e-3, momentum=0.9, nesterov=True)  # expect: LG801
        for batch in batches(100):
            optimizer.zero_grad()
            loss_of(model, batch).backward()
            optimizer.step()


class Careful(AdamW):
    """An optimizer of the user's own."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__(model.parameters(), lr=1e-3)


def broken_made_for_each_batch() -> None:
    model = network()
    for batch in batches(6):
        optimizer = Careful(model)  # expect: LG801
        optimizer.zero_grad()
        loss_of(model, batch).backward()
        optimizer.step()


def healthy_without_memory() -> None:
    model = network()
    for epoch in range(3):
        train(model, SGD(model.parameters(), lr=0.1 / (epoch + 1)))


def healthy_folds_and_stages() -> None:
    for _fold in range(3):
        model = network()
        train(model, Adam(model.parameters()))
    for rate in (1e-3, 1e-4):
        optimizer = Adam(model.parameters(), lr=rate)
        for _epoch in range(3):
            for batch in batches(4):
                optimizer.zero_grad()
                loss_of(model, batch).backward()
                optimizer.step()


def begin_again(model: nn.Module, start: list[torch.Tensor]) -> None:
    with torch.no_grad():
        for p, value in zip(model.parameters(), start, strict=True):
            p.copy_(value)


def healthy_from_the_same_start() -> None:
    model = network()
    start = [p.detach().clone() for p in model.parameters()]
    for _epoch in range(4):
        begin_again(model, start)
        train(model, Adam(model.parameters()))


def healthy_fresh_leaves() -> None:
    model = network().requires_grad_(False)
    for batch in batches(6):
        delta = torch.zeros_like(batch[0], requires_grad=True)
        optimizer = Adam([delta])
        for _ in range(4):
            optimizer.zero_grad()
            loss_of(model, (batch[0] + delta, batch[1])).backward()
            optimizer.step()


def healthy_warm_restarts() -> None:
    model = network()
    for epoch in range(6):
        if epoch % 2 == 0:
            optimizer = Adam(model.parameters())
        train(model, optimizer)


def broken_head_swapped() -> None:
    model = network()
    optimizer = Adam(model.parameters())
    model[2] = nn.Linear(6, 1)
    for batch in batches(4):
        optimizer.zero_grad()
        loss_of(model, batch).backward()
        optimizer.step()  # expect: LG802


def broken_whole_model_copied() -> None:
    model = network()
    optimizer = Adam(model.parameters())
    model = copy.deepcopy(model)
    for batch in batches(4):
        optimizer.zero_grad()
        loss_of(model, batch).backward()
        optimizer.step()  # expect: LG802


def broken_another_model() -> None:
    """Nothing was replaced: there are two models, and the wrong one has the optimizer."""
    model, other = network(), network()
    optimizer = Adam(other.parameters())
    for batch in batches(4):
        optimizer.zero_grad()
        loss_of(model, batch).backward()
        optimizer.step()  # expect: LG803


def healthy_head_swapped_before() -> None:
    model = network()
    model[2] = nn.Linear(6, 1)
    train(model, Adam(model.parameters()))
