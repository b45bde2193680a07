"""What comes between a backward pass and its step, and behind it: scalers, clips, schedules."""

import torch
from tiny import batches, loss_of, network
from torch import nn
from torch.nn.utils import clip_grad_norm_, clip_grad_value_
from torch.optim import SGD, Adam
from torch.optim.lr_scheduler import ChainedScheduler, ExponentialLR, LambdaLR, ReduceLROnPlateau, SequentialLR


def scaler_of(**settings: float) -> torch.amp.GradScaler:
    return torch.amp.GradScaler("cpu", init_scale=8.0, **settings)


def healthy_whole() -> None:
    model, scaler = network(), scaler_of()
    optimizer = Adam(model.parameters())
    schedule = ExponentialLR(optimizer, gamma=0.99)
    for batch in batches(60):
        optimizer.zero_grad()
        scaler.scale(loss_of(model, batch)).backward()
        scaler.unscale_(optimizer)
        clip_grad_norm_(model.parameters(), 1.0)
        clip_grad_value_(model.parameters(), 0.5)
        scaler.step(optimizer)
        scaler.update()
        schedule.step()


def broken_update_missing_later() -> None:
    model, scaler = network(), scaler_of()
    optimizer = SGD(model.parameters(), lr=0.01)
    try:
        for number, batch in enumerate(batches(60)):
            optimizer.zero_grad()
            scaler.scale(loss_of(model, batch)).backward()
            scaler.step(optimizer)  # expect: LG501
            if number < 50:
                scaler.update()
    except RuntimeError as error:
        assert "already been called" in str(error)


def healthy_disabled() -> None:
    model, scaler = network(), torch.amp.GradScaler("cpu", enabled=False)
    optimizer = SGD(model.parameters(), lr=0.01)
    for batch in batches(40):
        optimizer.zero_grad()
        scaler.scale(loss_of(model, batch)).backward()
        scaler.unscale_(optimizer)
        scaler.unscale_(optimizer)
        clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()


def broken_bypassed() -> None:
    model, scaler = network(), scaler_of()
    optimizer = SGD(model.parameters(), lr=0.0001)
    for batch in batches(40):
        optimizer.zero_grad()
        scaler.scale(loss_of(model, batch)).backward()
        optimizer.step()  # expect: LG502


def healthy_derived() -> None:
    """A backward pass from what was derived from a scaled loss is of a scaled loss, too."""
    model, scaler = network(), scaler_of()
    optimizer = SGD(model.parameters(), lr=0.01)
    for batch in batches(40):
        optimizer.zero_grad()
        (scaler.scale(loss_of(model, batch)) / 2).backward()
        scaler.step(optimizer)
        scaler.update()


def healthy_scaled_by_hand() -> None:
    model, scaler = network(), scaler_of()
    optimizer = SGD(model.parameters(), lr=0.01)
    scaler.scale(torch.ones(()))
    scale = 8.0
    for batch in batches(40):
        optimizer.zero_grad()
        (loss_of(model, batch) * scale).backward()
        for p in model.parameters():
            p.grad.div_(scale)
        optimizer.step()


def broken_clipped_scaled() -> None:
    model, scaler = network(), scaler_of()
    optimizer = SGD(model.parameters(), lr=0.01)
    for batch in batches(40):
        optimizer.zero_grad()
        scaler.scale(loss_of(model, batch)).backward()
        clip_grad_value_(model.parameters(), 1.0)  # expect: LG503
        scaler.step(optimizer)
        scaler.update()


def healthy_measured() -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.01)
    for batch in batches(40):
        optimizer.zero_grad()
        loss_of(model, batch).backward()
        optimizer.step()
        clip_grad_norm_(model.parameters(), float("inf"))


def broken_clipped_late() -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.01)
    for batch in batches(40):
        loss_of(model, batch).backward()
        optimizer.step()
        clip_grad_norm_(model.parameters(), 1.0)  # expect: LG504
        optimizer.zero_grad()


def healthy_clipped_together() -> None:
    """One clip for two optimizers that take turns."""
    first, second = network(), network()
    optimizers = [SGD(first.parameters(), lr=0.01), SGD(second.parameters(), lr=0.01)]
    both = [*first.parameters(), *second.parameters()]
    for batch in batches(40):
        for model, optimizer in zip((first, second), optimizers, strict=True):
            optimizer.zero_grad()
            loss_of(model, batch).backward()
            clip_grad_norm_(both, 1.0)
            optimizer.step()


def broken_unscaled_twice() -> None:
    model, scaler = network(), scaler_of()
    optimizer = SGD(model.parameters(), lr=0.01)
    try:
        for batch in batches(4):
            optimizer.zero_grad()
            scaler.scale(loss_of(model, batch)).backward()
            scaler.unscale_(optimizer)
            scaler.unscale_(optimizer)  # expect: LG505
            scaler.step(optimizer)
            scaler.update()
    except RuntimeError as error:
        assert "unscale_" in str(error)


def broken_clipped_other() -> None:
    model, other = network(), nn.Linear(4, 1)
    optimizer = SGD(model.parameters(), lr=0.01)
    for batch in batches(10):
        optimizer.zero_grad()
        loss_of(model, batch).backward()
        clip_grad_norm_(other.parameters(), 1.0)  # expect: LG506
        optimizer.step()


def broken_schedule_first() -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.01)
    schedule = LambdaLR(optimizer, lambda step: 0.99**step)
    for batch in batches(10):
        optimizer.zero_grad()
        loss_of(model, batch).backward()
        schedule.step()  # expect: LG601
        optimizer.step()


def healthy_schedules_of_schedules() -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.01)
    parts = [ExponentialLR(optimizer, gamma=0.99), ExponentialLR(optimizer, gamma=0.9)]
    schedule = SequentialLR(optimizer, parts, milestones=[10])
    for batch in batches(20):
        optimizer.zero_grad()
        loss_of(model, batch).backward()
        optimizer.step()
        schedule.step()
    chained = ChainedScheduler([ExponentialLR(optimizer, gamma=0.99), ExponentialLR(optimizer, gamma=0.9)])
    for batch in batches(5):
        optimizer.zero_grad()
        loss_of(model, batch).backward()
        optimizer.step()
        chained.step()


def healthy_fast_forward() -> None:
    """Where a training goes on, its schedule is moved to where it was."""
    model = network()
    optimizer = SGD(model.parameters(), lr=0.01)
    schedule = ExponentialLR(optimizer, gamma=0.99)
    for _ in range(5):
        schedule.step()
    for batch in batches(20):
        optimizer.zero_grad()
        loss_of(model, batch).backward()
        optimizer.step()
        schedule.step()


def healthy_skipped_first() -> None:
    """A step that the scaler skips is a step of the period all the same."""
    model, scaler = network(), scaler_of()
    optimizer = SGD(model.parameters(), lr=0.01)
    schedule = ExponentialLR(optimizer, gamma=0.99)
    for number, batch in enumerate(batches(20)):
        optimizer.zero_grad()
        loss = loss_of(model, batch) * (float("inf") if number < 2 else 1.0)
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        schedule.step()


def broken_plateau() -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.01)
    schedule = ReduceLROnPlateau(optimizer)
    try:
        for batch in batches(5):
            optimizer.zero_grad()
            loss_of(model, batch).backward()
            optimizer.step()
            schedule.step()  # expect: LG604
    except TypeError as error:
        assert "metrics" in str(error)
