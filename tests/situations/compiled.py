"""Compiled pieces of a training: the model, the step of the optimizer, the whole iteration."""

import torch
from tiny import batches, loss_of, network
from torch import Tensor
from torch.optim import SGD, Adam

Batch = tuple[Tensor, Tensor]


def healthy_model() -> None:
    model = network()
    compiled = torch.compile(model, backend="aot_eager")
    optimizer = SGD(model.parameters(), lr=0.01)
    for batch in batches():
        optimizer.zero_grad()
        loss_of(compiled, batch).backward()
        optimizer.step()


def broken_model() -> None:
    model = network()
    compiled = torch.compile(model, backend="aot_eager")
    optimizer = SGD(model.parameters(), lr=0.01)
    for batch in batches():
        loss_of(compiled, batch).backward()
        optimizer.step()  # expect: LG101


def healthy_cleared_by_the_compiled_model() -> None:
    model = torch.compile(network(), backend="eager")
    optimizer = SGD(model.parameters(), lr=0.01)
    for batch in batches():
        model.zero_grad()
        loss_of(model, batch).backward()
        optimizer.step()


def broken_cleared_by_the_compiled_model() -> None:
    model = torch.compile(network(), backend="eager")
    optimizer = SGD(model.parameters(), lr=0.01)
    for batch in batches():
        loss_of(model, batch).backward()
        model.zero_grad()  # expect: LG103
        optimizer.step()


def healthy_in_place() -> None:
    model = network()
    model.compile(backend="eager")
    optimizer = SGD(model.parameters(), lr=0.01)
    for number, batch in enumerate(batches(), 1):
        (loss_of(model, batch) / 2).backward()
        if number % 2 == 0:
            optimizer.step()
            optimizer.zero_grad()


def broken_in_place() -> None:
    model = network()
    model.compile(backend="eager")
    optimizer = SGD(model.parameters(), lr=0.01)
    for number, batch in enumerate(batches(), 1):
        optimizer.zero_grad()  # expect: LG401
        (loss_of(model, batch) / 2).backward()
        if number % 2 == 0:
            optimizer.step()


def healthy_step() -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.01)

    @torch.compile(backend="eager")
    def update() -> None:
        optimizer.step()

    for batch in batches():
        optimizer.zero_grad()
        loss_of(model, batch).backward()
        update()


def broken_step() -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.01)

    @torch.compile(backend="eager")
    def update() -> None:
        optimizer.step()  # expect: LG101

    for batch in batches():
        loss_of(model, batch).backward()
        update()


def healthy_whole() -> None:
    model = network()
    optimizer = Adam(model.parameters())

    @torch.compile(backend="aot_eager")
    def train(batch: Batch) -> Tensor:
        optimizer.zero_grad()
        loss = loss_of(model, batch)
        loss.backward()
        optimizer.step()
        return loss

    for batch in batches():
        train(batch)


def broken_whole() -> None:
    model = network()
    optimizer = Adam(model.parameters())

    @torch.compile(backend="aot_eager")
    def train(batch: Batch) -> Tensor:
        loss = loss_of(model, batch)
        loss.backward()
        optimizer.step()  # expect: LG101
        return loss

    for batch in batches():
        train(batch)


def broken_whole_cleared_too_late() -> None:
    model = network()
    optimizer = Adam(model.parameters())

    @torch.compile(backend="eager")
    def train(batch: Batch) -> Tensor:
        loss = loss_of(model, batch)
        loss.backward()
        optimizer.zero_grad()  # expect: LG103
        optimizer.step()
        return loss

    for batch in batches():
        train(batch)


def healthy_without_step() -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.01)

    @torch.compile(backend="eager")
    def compute(batch: Batch) -> Tensor:
        loss = loss_of(model, batch)
        loss.backward()
        return loss

    for batch in batches():
        optimizer.zero_grad(set_to_none=False)
        compute(batch)
        optimizer.step()


def broken_without_step() -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.01)

    @torch.compile(backend="eager")
    def compute(batch: Batch) -> Tensor:
        loss = loss_of(model, batch)
        loss.backward()
        return loss

    for batch in batches():
        compute(batch)
        optimizer.step()  # expect: LG101
