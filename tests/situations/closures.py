"""An optimizer that is given a closure clears and computes gradients within its step, once or many times."""

# ruff: noqa: B023 - each closure is called in the iteration that defines it

import torch
from tiny import batches, loss_of, network
from torch import Tensor
from torch.optim import LBFGS, SGD, Adam


def healthy() -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.01)
    for batch in batches():

        def closure() -> Tensor:
            optimizer.zero_grad()
            loss = loss_of(model, batch)
            loss.backward()
            return loss

        optimizer.step(closure)


def broken() -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.01)
    for batch in batches():

        def closure() -> Tensor:
            loss = loss_of(model, batch)
            loss.backward()
            return loss

        optimizer.step(closure)  # expect: LG101


def healthy_cleared_outside() -> None:
    model = network()
    optimizer = Adam(model.parameters())
    for batch in batches():
        optimizer.zero_grad()

        def closure() -> Tensor:
            loss = loss_of(model, batch)
            loss.backward()
            return loss

        optimizer.step(closure=closure)


def healthy_many_evaluations() -> None:
    model = network()
    optimizer = LBFGS(model.parameters(), lr=0.1, max_iter=4)
    for batch in batches(10):

        def closure() -> Tensor:
            optimizer.zero_grad()
            loss = loss_of(model, batch)
            loss.backward()
            return loss

        optimizer.step(closure)


def broken_many_evaluations() -> None:
    model = network()
    optimizer = LBFGS(model.parameters(), lr=0.1, max_iter=4)
    for batch in batches(10):

        def closure() -> Tensor:
            loss = loss_of(model, batch)
            loss.backward()
            return loss

        optimizer.step(closure)  # expect: LG205


def healthy_line_search() -> None:
    model = network()
    optimizer = LBFGS(model.parameters(), line_search_fn="strong_wolfe", max_iter=4)
    for batch in batches(5):

        def closure() -> Tensor:
            for p in model.parameters():
                p.grad = None
            loss = loss_of(model, batch)
            loss.backward()
            return loss

        optimizer.step(closure)


def broken_without_closure() -> None:
    model = network()
    optimizer = LBFGS(model.parameters())
    for batch in batches(5):
        optimizer.zero_grad()
        loss_of(model, batch).backward()
        try:
            optimizer.step()  # expect: LG205
        except TypeError:
            break


def broken_without_loss() -> None:
    model = network()
    optimizer = LBFGS(model.parameters())
    for batch in batches(5):

        def closure() -> None:
            optimizer.zero_grad()
            loss_of(model, batch).backward()

        try:
            optimizer.step(closure)  # expect: LG205
        except (TypeError, ValueError):
            break


def healthy_without_loss() -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.01)
    for batch in batches():

        def closure() -> None:
            optimizer.zero_grad()
            loss_of(model, batch).backward()

        optimizer.step(closure)


def healthy_gradients_by_hand() -> None:
    model = network()
    optimizer = LBFGS(model.parameters(), max_iter=3)
    for batch in batches(5):

        def closure() -> Tensor:
            loss = loss_of(model, batch)
            parameters = list(model.parameters())
            for p, gradient in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
                p.grad = gradient
            return loss

        optimizer.step(closure)
