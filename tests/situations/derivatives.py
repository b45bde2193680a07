"""Gradients of gradients: `create_graph=True` puts a new tensor in the place of each sum."""

import torch
from tiny import batches, loss_of, network
from torch import Tensor, nn
from torch.optim import SGD, Adam


def penalty(model: nn.Module) -> Tensor:
    inputs = torch.randn(3, 4, requires_grad=True)
    (gradient,) = torch.autograd.grad(model(inputs).sum(), inputs, create_graph=True)
    result: Tensor = (gradient.norm(dim=1) - 1).square().mean()
    return result


def healthy_penalty() -> None:
    model = network()
    optimizer = Adam(model.parameters())
    for batch in batches():
        optimizer.zero_grad()
        (loss_of(model, batch) + 10 * penalty(model)).backward()
        optimizer.step()


def broken_penalty() -> None:
    model = network()
    optimizer = Adam(model.parameters())
    for batch in batches():
        (loss_of(model, batch) + 10 * penalty(model)).backward()
        optimizer.step()  # expect: LG101


def healthy_second_pass() -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.01)
    for batch in batches():
        optimizer.zero_grad()
        gradients = torch.autograd.grad(loss_of(model, batch), list(model.parameters()), create_graph=True)
        loss_of(model, batch).backward()
        sum(gradient.square().sum() for gradient in gradients).backward()
        optimizer.step()


def broken_second_pass() -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.01)
    for batch in batches():
        gradients = torch.autograd.grad(loss_of(model, batch), list(model.parameters()), create_graph=True)
        optimizer.zero_grad()
        optimizer.step()  # expect: LG202
        sum(gradient.square().sum() for gradient in gradients).backward()


def healthy_graph_of_gradients() -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.01)
    for batch in batches():
        loss_of(model, batch).backward(create_graph=True)
        sum(p.grad.square().sum() for p in model.parameters()).backward()
        optimizer.step()
        for p in model.parameters():
            p.grad = None  # breaks the cycle of parameter, gradient and graph


def broken_graph_of_gradients() -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.0001)
    for batch in batches(8):
        loss_of(model, batch).backward(create_graph=True)
        optimizer.step()  # expect: LG101
    for p in model.parameters():
        p.grad = None
