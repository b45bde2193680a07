"""What autograd records, and for whom."""

import torch
from tiny import batches, loss_of, network
from torch import nn
from torch.optim import SGD

SELECTED = ("LG703",)


def healthy_without_a_graph() -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.01)
    loader = list(batches(6))
    for _ in range(3):
        model.train()
        for batch in loader:
            optimizer.zero_grad()
            loss_of(model, batch).backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            for batch in loader:
                loss_of(model, batch)


def broken_with_a_graph() -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.01)
    loader = list(batches(6))
    for _ in range(2):
        model.train()
        for batch in loader:
            optimizer.zero_grad()
            loss_of(model, batch).backward()
            optimizer.step()
        model.eval()
        for inputs, _ in loader:
            print(model(inputs).mean().item(), end="\r")  # expect: LG703


def broken_with_a_graph_after_long() -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.01)
    loader = list(batches(60))
    for batch in loader:
        optimizer.zero_grad()
        loss_of(model, batch).backward()
        optimizer.step()
    model.eval()
    print(sum(model(inputs).mean().item() for inputs, _ in loader), end="\r")
    for inputs, _ in loader:
        print(model(inputs).mean().item(), end="\r")  # expect: LG703


def broken_whole_iteration() -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.01)
    for batch in batches():
        optimizer.zero_grad()
        with torch.inference_mode():
            loss = loss_of(model, batch)
            try:
                loss.backward()  # expect: LG704
            except RuntimeError:
                break


def healthy_graph_from_before() -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.01)
    for batch in batches():
        optimizer.zero_grad()
        loss = loss_of(model, batch)
        with torch.no_grad():
            loss.backward()
            optimizer.step()


def broken_only_the_forward_pass() -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.01)
    for inputs, targets in batches():
        with torch.no_grad():
            outputs = model(inputs)
        optimizer.zero_grad()
        try:
            nn.functional.mse_loss(outputs, targets).backward()  # expect: LG303
        except RuntimeError:
            break


def broken_after_long() -> None:
    """Evaluated without a graph, trained for long, and then cut off."""
    model = network()
    optimizer = SGD(model.parameters(), lr=0.01)
    for number, batch in enumerate(batches()):
        with torch.no_grad():
            loss_of(model, batch)
        loss = loss_of(model, batch)
        optimizer.zero_grad()
        try:
            (loss if number < 35 else loss.detach()).backward()  # expect: LG303
        except RuntimeError:
            break
        optimizer.step()
