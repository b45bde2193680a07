"""Exceptions that a training catches and outlives, in the forward pass, the backward pass, the step, and its hooks."""

import torch
from tiny import batches, loss_of, network
from torch import Tensor
from torch.optim import SGD


class OutOfMemory(RuntimeError):
    """Raised where a device would have no room left."""


class Fails(torch.autograd.Function):
    """Its backward pass fails."""

    @staticmethod
    def forward(ctx: object, loss: Tensor) -> Tensor:
        return loss.clone()

    @staticmethod
    def backward(ctx: object, *gradients: Tensor) -> Tensor:
        raise OutOfMemory


def healthy_forward() -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.01)
    for number, batch in enumerate(batches()):
        optimizer.zero_grad()
        try:
            loss = loss_of(model, batch)
            if number % 10 == 5:
                raise OutOfMemory
        except OutOfMemory:
            continue
        loss.backward()
        optimizer.step()


def healthy_backward() -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.01)
    for number, batch in enumerate(batches(80)):
        try:
            loss = loss_of(model, batch)
            (Fails.apply(loss) if number % 20 == 5 else loss).backward()
        except OutOfMemory:
            optimizer.zero_grad()
            continue
        optimizer.step()
        optimizer.zero_grad()


def broken_backward() -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.01)
    for number, batch in enumerate(batches(80)):
        try:
            loss = loss_of(model, batch)
            (Fails.apply(loss) if number % 20 == 5 else loss).backward()
        except OutOfMemory:
            optimizer.zero_grad()
            continue
        optimizer.step()  # expect: LG105


def healthy_half_of_a_batch() -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.01)
    for number, (inputs, targets) in enumerate(batches()):
        optimizer.zero_grad()
        try:
            loss = loss_of(model, (inputs, targets))
            (Fails.apply(loss) if number % 9 == 2 else loss).backward()
        except OutOfMemory:
            optimizer.zero_grad()
            for part in range(3):
                (loss_of(model, (inputs[part], targets[part])) / 3).backward()
        optimizer.step()


def broken_half_of_a_batch() -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.01)
    for number, (inputs, targets) in enumerate(batches()):
        try:
            loss = loss_of(model, (inputs, targets))
            (Fails.apply(loss) if number % 9 == 2 else loss).backward()
        except OutOfMemory:
            for part in range(3):
                (loss_of(model, (inputs[part], targets[part])) / 3).backward()
        optimizer.step()  # expect: LG101


def healthy_in_a_hook() -> None:
    model, count = network(), 0
    optimizer = SGD(model.parameters(), lr=0.01)

    def refuse(*args: object) -> None:
        nonlocal count
        count += 1
        if count % 10 == 3:
            raise OutOfMemory

    optimizer.register_step_pre_hook(refuse)
    for batch in batches():
        optimizer.zero_grad()
        loss_of(model, batch).backward()
        try:
            optimizer.step()
        except OutOfMemory:
            continue


def broken_in_a_hook() -> None:
    model, count = network(), 0
    optimizer = SGD(model.parameters(), lr=0.01)

    def refuse(*args: object) -> None:
        nonlocal count
        count += 1
        if count % 10 == 3:
            raise OutOfMemory

    optimizer.register_step_pre_hook(refuse)
    for batch in batches():
        loss_of(model, batch).backward()
        try:
            optimizer.step()  # expect: LG101
        except OutOfMemory:
            continue


def healthy_interrupted() -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.01)
    for _ in range(3):
        try:
            for number, batch in enumerate(batches(30)):
                optimizer.zero_grad()
                loss = loss_of(model, batch)
                (Fails.apply(loss) if number == 25 else loss).backward()
                optimizer.step()
        except OutOfMemory:
            model = network()
            optimizer = SGD(model.parameters(), lr=0.01)


def healthy_in_a_closure() -> None:
    model, count = network(), 0
    optimizer = SGD(model.parameters(), lr=0.01)

    def update(batch: tuple[Tensor, Tensor]) -> None:
        def closure() -> Tensor:
            nonlocal count
            count += 1
            optimizer.zero_grad()
            loss = loss_of(model, batch)
            (Fails.apply(loss) if count % 10 == 3 else loss).backward()
            return loss

        optimizer.step(closure)

    for batch in batches():
        try:
            update(batch)
        except OutOfMemory:
            optimizer.zero_grad()


def broken_in_a_closure() -> None:
    model, count = network(), 0
    optimizer = SGD(model.parameters(), lr=0.01)

    def update(batch: tuple[Tensor, Tensor]) -> None:
        def closure() -> Tensor:
            nonlocal count
            count += 1
            loss = loss_of(model, batch)
            (Fails.apply(loss) if count % 10 == 3 else loss).backward()
            return loss

        optimizer.step(closure)  # expect: LG101

    for batch in batches():
        try:
            update(batch)
        except OutOfMemory:
            continue
