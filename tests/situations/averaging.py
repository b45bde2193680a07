"""A second model follows the first one: exponential moving averages, stochastic weight averaging, target networks."""

import copy

import torch
from tiny import batches, loss_of, network
from torch import nn
from torch.optim import SGD, Adam
from torch.optim.swa_utils import SWALR, AveragedModel, get_ema_multi_avg_fn


def healthy_moving_average() -> None:
    model = network()
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.99))
    optimizer = SGD(model.parameters(), lr=0.01)
    for batch in batches():
        optimizer.zero_grad()
        loss_of(model, batch).backward()
        optimizer.step()
        average.update_parameters(model)


def broken_moving_average() -> None:
    model = network()
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.99))
    optimizer = SGD(model.parameters(), lr=0.01)
    for batch in batches():
        average.zero_grad()
        loss_of(model, batch).backward()
        optimizer.step()  # expect: LG104
        average.update_parameters(model)


def healthy_weight_averaging() -> None:
    model = network()
    average = AveragedModel(model)
    optimizer = SGD(model.parameters(), lr=0.01)
    schedule = SWALR(optimizer, swa_lr=0.005)
    for epoch in range(6):
        for batch in batches(8):
            optimizer.zero_grad()
            loss_of(model, batch).backward()
            optimizer.step()
        if epoch > 2:
            average.update_parameters(model)
            schedule.step()


def broken_weight_averaging() -> None:
    model = network()
    average = AveragedModel(model)
    optimizer = SGD(model.parameters(), lr=0.01)
    schedule = SWALR(optimizer, swa_lr=0.005)
    for epoch in range(6):
        for batch in batches(8):
            loss_of(model, batch).backward()
            optimizer.step()  # expect: LG101
        if epoch > 2:
            average.update_parameters(model)
            schedule.step()


def healthy_target_network() -> None:
    online = network()
    target = copy.deepcopy(online)
    optimizer = Adam(online.parameters())
    for number, (inputs, _) in enumerate(batches()):
        with torch.no_grad():
            wanted = target(inputs) * 0.9 + 1
        optimizer.zero_grad()
        nn.functional.smooth_l1_loss(online(inputs), wanted).backward()
        optimizer.step()
        if number % 5 == 0:
            target.load_state_dict(online.state_dict())


def broken_target_network() -> None:
    online = network()
    target = copy.deepcopy(online)
    optimizer = Adam(online.parameters())
    for number, (inputs, _) in enumerate(batches()):
        with torch.no_grad():
            wanted = target(inputs) * 0.9 + 1
        target.zero_grad()
        nn.functional.smooth_l1_loss(online(inputs), wanted).backward()
        optimizer.step()  # expect: LG104
        if number % 5 == 0:
            target.load_state_dict(online.state_dict())


def healthy_teacher() -> None:
    student, teacher = network(), network()
    optimizer = SGD(student.parameters(), lr=0.01)
    for inputs, _ in batches():
        optimizer.zero_grad()
        nn.functional.mse_loss(student(inputs), teacher(inputs).detach()).backward()
        optimizer.step()
        with torch.no_grad():
            for mine, its in zip(teacher.parameters(), student.parameters(), strict=True):
                mine.lerp_(its, 0.01)
