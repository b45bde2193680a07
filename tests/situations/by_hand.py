"""Gradients from `torch.autograd.grad` that are put in their place by hand, and gradients that are edited there."""

import torch
from tiny import batches, loss_of, network
from torch import nn
from torch.optim import SGD


def healthy_assigned() -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.01)
    for batch in batches():
        parameters = list(model.parameters())
        gradients = torch.autograd.grad(loss_of(model, batch), parameters)
        for p, gradient in zip(parameters, gradients, strict=True):
            p.grad = gradient
        optimizer.step()


def healthy_assigned_and_cleared() -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.01)
    for batch in batches():
        optimizer.zero_grad()
        parameters = list(model.parameters())
        gradients = torch.autograd.grad(loss_of(model, batch), parameters)
        for p, gradient in zip(parameters, gradients, strict=True):
            p.grad = gradient
        optimizer.step()


def broken_assigned() -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.01)
    for batch in batches():
        parameters = list(model.parameters())
        gradients = torch.autograd.grad(loss_of(model, batch), parameters)
        for p, gradient in zip(parameters, gradients, strict=True):
            p.grad = gradient
        optimizer.step()
        optimizer.step()  # expect: LG204


def healthy_added() -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.01)
    for batch in batches():
        optimizer.zero_grad()
        loss_of(model, batch).backward()
        parameters = list(model.parameters())
        decay = torch.autograd.grad(sum(p.square().sum() for p in parameters), parameters)
        for p, gradient in zip(parameters, decay, strict=True):
            p.grad += 0.01 * gradient
        optimizer.step()


def broken_added() -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.01)
    for batch in batches():
        loss_of(model, batch).backward()
        parameters = list(model.parameters())
        decay = torch.autograd.grad(sum(p.square().sum() for p in parameters), parameters)
        for p, gradient in zip(parameters, decay, strict=True):
            p.grad += 0.01 * gradient
        optimizer.step()  # expect: LG101


def healthy_noise() -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.01)
    for batch in batches():
        loss_of(model, batch).backward()
        for p in model.parameters():
            p.grad.add_(torch.randn_like(p.grad), alpha=0.01)
        optimizer.step()
        optimizer.zero_grad()


def healthy_momentum_in_the_gradient() -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.01)
    for batch in batches():
        for p in model.parameters():
            if p.grad is not None:
                p.grad.mul_(0.9)
        loss_of(model, batch).backward()
        optimizer.step()


def healthy_put_aside() -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.01)
    for batch in batches():
        optimizer.zero_grad()
        loss_of(model, batch).backward()
        kept = [p.grad.clone() for p in model.parameters()]
        optimizer.zero_grad()
        loss_of(model, batch).backward()
        for p, gradient in zip(model.parameters(), kept, strict=True):
            p.grad = (p.grad + gradient) / 2
        optimizer.step()


def broken_put_aside() -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.01)
    for batch in batches():
        loss_of(model, batch).backward()
        kept = [p.grad.clone() for p in model.parameters()]
        optimizer.step()  # expect: LG101
        del kept


def healthy_without_optimizer() -> None:
    model = network()
    for batch in batches():
        model.zero_grad()
        loss_of(model, batch).backward()
        with torch.no_grad():
            for p in model.parameters():
                p -= 0.01 * p.grad


def healthy_attack() -> None:
    model = network().requires_grad_(False)
    for inputs, targets in batches(5):
        change = nn.Parameter(torch.zeros_like(inputs))
        optimizer = SGD([change], lr=0.1)
        for _ in range(10):
            optimizer.zero_grad()
            (-loss_of(model, (inputs + change, targets))).backward()
            optimizer.step()
            with torch.no_grad():
                change.clamp_(-0.1, 0.1)


def broken_attack() -> None:
    model = network().requires_grad_(False)
    for inputs, targets in batches(5):
        change = nn.Parameter(torch.zeros_like(inputs))
        optimizer = SGD([change], lr=0.1)
        for _ in range(10):
            (-loss_of(model, (inputs + change, targets))).backward()
            optimizer.step()  # expect: LG101
            with torch.no_grad():
                change.clamp_(-0.1, 0.1)
