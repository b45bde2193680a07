"""Clipping writes to gradients between the backward pass and the step."""

import torch
from tiny import batches, loss_of, network
from torch import nn
from torch.optim import SGD, Adam


def healthy_norm() -> None:
    model = network()
    optimizer = Adam(model.parameters())
    for batch in batches():
        optimizer.zero_grad()
        loss_of(model, batch).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 0.1)
        optimizer.step()


def broken_norm() -> None:
    model = network()
    optimizer = Adam(model.parameters())
    for batch in batches():
        loss_of(model, batch).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 0.1)
        optimizer.step()  # expect: LG101


def healthy_norm_and_zeros() -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.01)
    for batch in batches():
        loss_of(model, batch).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 0.1, foreach=False)
        optimizer.step()
        model.zero_grad(set_to_none=False)


def broken_norm_and_zeros() -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.01)
    for batch in batches():
        loss_of(model, batch).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 0.1, foreach=False)
        model.zero_grad(set_to_none=False)  # expect: LG103
        optimizer.step()


def healthy_value() -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.01)
    for batch in batches():
        optimizer.zero_grad()
        loss_of(model, batch).backward()
        nn.utils.clip_grad_value_(model.parameters(), 0.01)
        optimizer.step()


def broken_value() -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.01)
    for batch in batches():
        loss_of(model, batch).backward()
        nn.utils.clip_grad_value_(model.parameters(), 0.01)
        optimizer.step()  # expect: LG101


def healthy_by_hooks() -> None:
    model = network()
    for p in model.parameters():
        p.register_hook(lambda gradient: gradient.clamp(-0.1, 0.1))
    optimizer = SGD(model.parameters(), lr=0.01)
    for batch in batches():
        optimizer.zero_grad()
        loss_of(model, batch).backward()
        optimizer.step()


def broken_by_hooks() -> None:
    model = network()
    for p in model.parameters():
        p.register_hook(lambda gradient: gradient.clamp(-0.1, 0.1))
    optimizer = SGD(model.parameters(), lr=0.01)
    for batch in batches():
        loss_of(model, batch).backward()
        optimizer.step()  # expect: LG101


def healthy_not_finite() -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.01)
    for number, batch in enumerate(batches()):
        optimizer.zero_grad()
        loss = loss_of(model, batch)
        if number % 9 == 4:
            loss = loss * float("nan")
        loss.backward()
        norm = nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        if torch.isfinite(norm):
            optimizer.step()


def healthy_clipped_per_layer() -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.01)
    for batch in batches():
        loss_of(model, batch).backward()
        for layer in model:
            if list(layer.parameters()):
                nn.utils.clip_grad_norm_(layer.parameters(), 0.1)
        optimizer.step()
        optimizer.zero_grad()
