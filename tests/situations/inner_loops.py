"""Trainings within trainings: meta-learning, perturbed weights, and fine-tuning of copies."""

import copy

import torch
from tiny import batches, loss_of, network
from torch import Tensor, nn
from torch.func import functional_call
from torch.optim import SGD, Adam


def adapted(model: nn.Module, batch: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
    """The parameters of a model after one differentiable step."""
    names, parameters = zip(*model.named_parameters(), strict=True)
    gradients = torch.autograd.grad(loss_of(model, batch), parameters, create_graph=True)
    return {name: p - 0.1 * gradient for name, p, gradient in zip(names, parameters, gradients, strict=True)}


def healthy_differentiated() -> None:
    model = network()
    meta = Adam(model.parameters())
    for task in batches():
        meta.zero_grad()
        inputs, targets = task
        nn.functional.mse_loss(functional_call(model, adapted(model, task), (inputs,)), targets).backward()
        meta.step()


def broken_differentiated() -> None:
    model = network()
    meta = Adam(model.parameters())
    for task in batches():
        inputs, targets = task
        nn.functional.mse_loss(functional_call(model, adapted(model, task), (inputs,)), targets).backward()
        meta.step()  # expect: LG101


def healthy_on_a_copy() -> None:
    model = network()
    meta = SGD(model.parameters(), lr=0.1)
    for _ in range(10):
        learner = copy.deepcopy(model)
        inner = SGD(learner.parameters(), lr=0.01)
        for batch in batches(4):
            inner.zero_grad()
            loss_of(learner, batch).backward()
            inner.step()
        meta.zero_grad()
        for p, learned in zip(model.parameters(), learner.parameters(), strict=True):
            p.grad = p.detach() - learned.detach()
        meta.step()


def broken_on_a_copy() -> None:
    model = network()
    meta = SGD(model.parameters(), lr=0.1)
    for _ in range(10):
        learner = copy.deepcopy(model)
        inner = SGD(learner.parameters(), lr=0.01)
        for batch in batches(4):
            loss_of(learner, batch).backward()
            inner.step()  # expect: LG101
        meta.zero_grad()
        for p, learned in zip(model.parameters(), learner.parameters(), strict=True):
            p.grad = p.detach() - learned.detach()
        meta.step()


def healthy_first_order() -> None:
    model = network()
    meta = SGD(model.parameters(), lr=0.1)
    for _ in range(10):
        meta.zero_grad()
        for task in batches(3):
            learner = copy.deepcopy(model)
            inner = SGD(learner.parameters(), lr=0.01)
            for _ in range(3):
                inner.zero_grad()
                loss_of(learner, task).backward()
                inner.step()
            inner.zero_grad()
            loss_of(learner, task).backward()
            for p, learned in zip(model.parameters(), learner.parameters(), strict=True):
                p.grad = learned.grad if p.grad is None else p.grad + learned.grad
        meta.step()


def healthy_perturbed_weights() -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.01)
    for batch in batches():
        loss_of(model, batch).backward()
        with torch.no_grad():
            moved = [(p, 0.05 * p.grad / (p.grad.norm() + 1e-12)) for p in model.parameters()]
            for p, by in moved:
                p.add_(by)
        optimizer.zero_grad()
        loss_of(model, batch).backward()
        with torch.no_grad():
            for p, by in moved:
                p.sub_(by)
        optimizer.step()
        optimizer.zero_grad()


def broken_perturbed_weights() -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.01)
    for batch in batches():
        loss_of(model, batch).backward()
        with torch.no_grad():
            moved = [(p, 0.05 * p.grad / (p.grad.norm() + 1e-12)) for p in model.parameters()]
            for p, by in moved:
                p.add_(by)
        loss_of(model, batch).backward()
        with torch.no_grad():
            for p, by in moved:
                p.sub_(by)
        optimizer.step()  # expect: LG101


def healthy_folds() -> None:
    for _ in range(3):
        model = network()
        optimizer = SGD(model.parameters(), lr=0.01)
        for batch in batches(20):
            optimizer.zero_grad()
            loss_of(model, batch).backward()
            optimizer.step()


def broken_folds() -> None:
    for _ in range(3):
        model = network()
        optimizer = SGD(model.parameters(), lr=0.01)
        for batch in batches(20):
            loss_of(model, batch).backward()
            optimizer.step()  # expect: LG101


def healthy_learned_input() -> None:
    image = torch.randn(1, 4).requires_grad_()
    critic = network().requires_grad_(False)
    optimizer = Adam([image], lr=0.1)
    for _ in range(40):
        optimizer.zero_grad()
        critic(image).sum().backward()
        optimizer.step()


def broken_learned_input() -> None:
    image = torch.randn(1, 4).requires_grad_()
    critic = network().requires_grad_(False)
    optimizer = Adam([image], lr=0.1)
    for _ in range(40):
        critic(image).sum().backward()
        optimizer.step()  # expect: LG101
