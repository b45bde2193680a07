"""Schedules wrap an optimizer's `step`, and change its groups while the training goes on."""

from tiny import batches, loss_of, network
from torch.optim import SGD, Adam
from torch.optim.lr_scheduler import CosineAnnealingWarmRestarts, OneCycleLR, ReduceLROnPlateau, StepLR


def healthy_per_batch() -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.01, momentum=0.9)
    schedule = OneCycleLR(optimizer, max_lr=0.1, total_steps=40)
    for batch in batches(40):
        optimizer.zero_grad()
        loss_of(model, batch).backward()
        optimizer.step()
        schedule.step()


def broken_per_batch() -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.01, momentum=0.9)
    schedule = OneCycleLR(optimizer, max_lr=0.1, total_steps=40)
    for batch in batches(40):
        loss_of(model, batch).backward()
        optimizer.step()  # expect: LG101
        schedule.step()


def healthy_per_epoch() -> None:
    model = network()
    optimizer = Adam(model.parameters())
    schedule = StepLR(optimizer, step_size=2)
    for _ in range(4):
        for batch in batches(10):
            optimizer.zero_grad()
            loss_of(model, batch).backward()
            optimizer.step()
        schedule.step()


def broken_per_epoch() -> None:
    model = network()
    optimizer = Adam(model.parameters())
    schedule = StepLR(optimizer, step_size=2)
    for _ in range(4):
        optimizer.zero_grad()
        for batch in batches(10):
            loss_of(model, batch).backward()
            optimizer.step()  # expect: LG102
        schedule.step()


def healthy_rate_of_zero() -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.0)
    schedule = ReduceLROnPlateau(optimizer)
    for number, batch in enumerate(batches()):
        optimizer.param_groups[0]["lr"] = number * 1e-3
        optimizer.zero_grad()
        loss = loss_of(model, batch)
        loss.backward()
        optimizer.step()
        schedule.step(loss.item())


def healthy_restarts() -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.01)
    schedule = CosineAnnealingWarmRestarts(optimizer, T_0=5)
    for batch in batches():
        loss_of(model, batch).backward()
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()


def broken_restarts() -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.01)
    schedule = CosineAnnealingWarmRestarts(optimizer, T_0=5)
    for batch in batches():
        loss_of(model, batch).backward()
        optimizer.zero_grad()  # expect: LG103
        optimizer.step()
        schedule.step()
