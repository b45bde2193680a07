"""A GradScaler steps, or skips a step that found infinite gradients; both use them up."""

import torch
from tiny import batches, loss_of, network
from torch import nn
from torch.optim import SGD, Adam


def scaler_of(**settings: float) -> torch.amp.GradScaler:
    return torch.amp.GradScaler("cpu", init_scale=8.0, **settings)


def healthy() -> None:
    model, scaler = network(), scaler_of()
    optimizer = SGD(model.parameters(), lr=0.01)
    for batch in batches():
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            loss = loss_of(model, batch)
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()


def broken() -> None:
    model, scaler = network(), scaler_of()
    optimizer = SGD(model.parameters(), lr=0.01)
    for batch in batches():
        with torch.autocast("cpu", torch.bfloat16):
            loss = loss_of(model, batch)
        scaler.scale(loss).backward()
        scaler.step(optimizer)  # expect: LG101
        scaler.update()


def healthy_skipped() -> None:
    model, scaler = network(), scaler_of()
    optimizer = Adam(model.parameters(), fused=False)
    for number, batch in enumerate(batches()):
        optimizer.zero_grad()
        loss = loss_of(model, batch)
        if number in (0, 7, 25, 30):
            loss = loss * float("inf")
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()


def healthy_skipped_fused() -> None:
    model, scaler = network(), scaler_of()
    optimizer = Adam(model.parameters(), fused=True)
    for number, batch in enumerate(batches()):
        optimizer.zero_grad(set_to_none=False)
        loss = loss_of(model, batch)
        if number in (0, 7, 25, 30):
            loss = loss * float("inf")
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()


def broken_skipped() -> None:
    model, scaler = network(), scaler_of()
    optimizer = Adam(model.parameters())
    for number, batch in enumerate(batches()):
        if number < 25:
            optimizer.zero_grad()
        loss = loss_of(model, batch)
        if number == 25:
            loss = loss * float("inf")
        scaler.scale(loss).backward()
        scaler.step(optimizer)  # expect: LG105
        scaler.update()


def healthy_unscaled_and_clipped() -> None:
    model, scaler = network(), scaler_of()
    optimizer = SGD(model.parameters(), lr=0.01)
    for batch in batches():
        scaler.scale(loss_of(model, batch)).backward()
        scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()


def broken_unscaled_and_clipped() -> None:
    model, scaler = network(), scaler_of()
    optimizer = SGD(model.parameters(), lr=0.01)
    for batch in batches():
        scaler.scale(loss_of(model, batch)).backward()
        scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        scaler.step(optimizer)  # expect: LG101
        scaler.update()


def healthy_disabled() -> None:
    model, scaler = network(), torch.amp.GradScaler("cpu", enabled=False)
    optimizer = SGD(model.parameters(), lr=0.01)
    for batch in batches():
        optimizer.zero_grad()
        scaler.scale(loss_of(model, batch)).backward()
        scaler.step(optimizer)
        scaler.update()


def broken_disabled() -> None:
    model, scaler = network(), torch.amp.GradScaler("cpu", enabled=False)
    optimizer = SGD(model.parameters(), lr=0.01)
    for batch in batches():
        scaler.scale(loss_of(model, batch)).backward()
        optimizer.zero_grad()  # expect: LG103
        scaler.step(optimizer)
        scaler.update()


def broken_bypassed() -> None:
    model, scaler = network(), scaler_of()
    optimizer = SGD(model.parameters(), lr=0.01)
    for batch in batches():
        optimizer.zero_grad()
        scaler.scale(loss_of(model, batch)).backward()
        scaler.step(optimizer)
        optimizer.step()  # expect: LG204
        scaler.update()


def healthy_two_optimizers() -> None:
    first, second, scaler = network(), network(), scaler_of()
    one, two = SGD(first.parameters(), lr=0.01), Adam(second.parameters())
    for number, batch in enumerate(batches()):
        one.zero_grad()
        two.zero_grad()
        loss = loss_of(first, batch) + loss_of(second, batch) * (float("inf") if number in (3, 22) else 1.0)
        scaler.scale(loss).backward()
        scaler.step(one)
        scaler.step(two)
        scaler.update()


def broken_two_optimizers() -> None:
    first, second, scaler = network(), network(), scaler_of()
    one, two = SGD(first.parameters(), lr=0.01), Adam(second.parameters())
    for batch in batches():
        one.zero_grad()
        loss = loss_of(first, batch) + loss_of(second, batch)
        scaler.scale(loss).backward()
        scaler.step(one)
        scaler.step(two)  # expect: LG101
        scaler.update()


def healthy_window() -> None:
    model, scaler = network(), scaler_of()
    optimizer = SGD(model.parameters(), lr=0.01)
    for number, batch in enumerate(batches(), 1):
        scaler.scale(loss_of(model, batch) / 4).backward()
        if number % 4 == 0:
            scaler.step(optimizer)
            scaler.update()
            optimizer.zero_grad()


def broken_window() -> None:
    model, scaler = network(), scaler_of()
    optimizer = SGD(model.parameters(), lr=0.01)
    for number, batch in enumerate(batches(), 1):
        optimizer.zero_grad()  # expect: LG401
        scaler.scale(loss_of(model, batch) / 4).backward()
        if number % 4 == 0:
            scaler.step(optimizer)
            scaler.update()
