"""Clears of a part of the parameters, and several that together cover them all."""

from tiny import batches, loss_of, network
from torch.optim import SGD


def healthy_by_layers() -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.01)
    for batch in batches():
        for layer in model:
            layer.zero_grad()
        loss_of(model, batch).backward()
        optimizer.step()


def broken_by_layers() -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.01)
    for batch in batches():
        model[2].zero_grad()
        loss_of(model, batch).backward()
        optimizer.step()  # expect: LG104


def healthy_on_two_sides() -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.01)
    for batch in batches():
        model[0].zero_grad()
        loss_of(model, batch).backward()
        optimizer.step()
        model[2].zero_grad()


def broken_on_two_sides() -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.01)
    for batch in batches():
        model[2].zero_grad()
        loss_of(model, batch).backward()
        optimizer.step()  # expect: LG104
        model[2].zero_grad()


def healthy_groups() -> None:
    model = network()
    optimizer = SGD([{"params": layer.parameters(), "lr": rate} for layer, rate in ((model[0], 0.1), (model[2], 0.01))])
    for batch in batches():
        for group in optimizer.param_groups:
            for p in group["params"]:
                p.grad = None
        loss_of(model, batch).backward()
        optimizer.step()


def broken_groups() -> None:
    model = network()
    optimizer = SGD([{"params": layer.parameters(), "lr": rate} for layer, rate in ((model[0], 0.1), (model[2], 0.01))])
    for batch in batches():
        for p in optimizer.param_groups[0]["params"]:
            p.grad = None
        loss_of(model, batch).backward()
        optimizer.step()  # expect: LG104


def broken_last_parameter_spared() -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.01)
    for batch in batches():
        for p in list(model.parameters())[:-1]:
            p.grad = None
        loss_of(model, batch).backward()
        optimizer.step()  # expect: LG104


def broken_middle_parameter_spared() -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.01)
    for batch in batches():
        for number, p in enumerate(model.parameters()):
            if number != 1:
                p.grad = None
        loss_of(model, batch).backward()
        optimizer.step()  # expect: LG104
