"""Models and optimizers that are pickled, copied, saved and loaded while they train."""

import copy
import io
import pickle

import torch
from tiny import batches, loss_of, network
from torch import nn
from torch.optim import SGD, Adam


def again(thing: object) -> io.BytesIO:
    """A file that a checkpoint was saved to."""
    file = io.BytesIO()
    torch.save(thing, file)
    file.seek(0)
    return file


def healthy_checkpoints() -> None:
    model = network()
    optimizer = Adam(model.parameters())
    for number, batch in enumerate(batches()):
        optimizer.zero_grad()
        loss_of(model, batch).backward()
        optimizer.step()
        if number % 15 == 14:
            file = again({"model": model.state_dict(), "optimizer": optimizer.state_dict()})
            model = network()
            optimizer = Adam(model.parameters())
            saved = torch.load(file)
            model.load_state_dict(saved["model"])
            optimizer.load_state_dict(saved["optimizer"])


def broken_checkpoints() -> None:
    model = network()
    optimizer = Adam(model.parameters())
    for number, batch in enumerate(batches()):
        loss_of(model, batch).backward()
        optimizer.step()  # expect: LG101
        if number % 15 == 14:
            saved = torch.load(again({"model": model.state_dict(), "optimizer": optimizer.state_dict()}))
            model.load_state_dict(saved["model"])
            optimizer.load_state_dict(saved["optimizer"])


def healthy_pickled() -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.01, momentum=0.9)
    for number, batch in enumerate(batches()):
        if number in (3, 30):
            model, optimizer = pickle.loads(pickle.dumps((model, optimizer)))
        optimizer.zero_grad()
        loss_of(model, batch).backward()
        optimizer.step()


def broken_pickled() -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.01, momentum=0.9)
    for number, batch in enumerate(batches()):
        if number in (3, 30):
            model, optimizer = pickle.loads(pickle.dumps((model, optimizer)))
        loss_of(model, batch).backward()
        optimizer.step()  # expect: LG101


def healthy_copied() -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.01)
    best = (copy.deepcopy(model), copy.deepcopy(optimizer))
    for number, batch in enumerate(batches()):
        optimizer.zero_grad()
        loss_of(model, batch).backward()
        optimizer.step()
        if number % 10 == 5:
            best = (copy.deepcopy(model), copy.deepcopy(optimizer))
    assert best[1].param_groups[0]["lr"] == 0.01


def broken_copied() -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.01)
    model = copy.deepcopy(model)
    for batch in batches():
        optimizer.zero_grad()
        loss_of(model, batch).backward()
        optimizer.step()  # expect: LG802


def healthy_copied_together() -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.01)
    for batch in batches(10):
        optimizer.zero_grad()
        loss_of(model, batch).backward()
        optimizer.step()
    model, optimizer = copy.deepcopy((model, optimizer))
    for batch in batches(10):
        optimizer.zero_grad()
        loss_of(model, batch).backward()
        optimizer.step()


def broken_copied_together() -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.01)
    for batch in batches(10):
        optimizer.zero_grad()
        loss_of(model, batch).backward()
        optimizer.step()
    model, optimizer = copy.deepcopy((model, optimizer))
    for batch in batches(10):
        loss_of(model, batch).backward()
        optimizer.step()  # expect: LG101


def healthy_assigned_state() -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.01)
    with torch.device("meta"):
        twin = network()
    for batch in batches(10):
        optimizer.zero_grad()
        loss_of(model, batch).backward()
        optimizer.step()
    twin.load_state_dict(model.state_dict(), assign=True)
    optimizer = SGD(twin.parameters(), lr=0.01)
    for batch in batches(10):
        optimizer.zero_grad()
        loss_of(twin, batch).backward()
        optimizer.step()


def broken_assigned_state() -> None:
    model, other = network(), network()
    optimizer = SGD(model.parameters(), lr=0.01)
    state = {name: nn.Parameter(p.detach().clone()) for name, p in other.named_parameters()}
    model.load_state_dict(state, assign=True)
    for batch in batches():
        optimizer.zero_grad()
        loss_of(model, batch).backward()
        optimizer.step()  # expect: LG802
