"""Parameters without gradients: frozen ones, those of a branch or an expert that was not taken, and forgotten ones."""

import torch
from tiny import LONG, batches, loss_of, network
from torch import Tensor, nn
from torch.optim import SGD, Adam


class Experts(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.experts = nn.ModuleList(nn.Linear(4, 1) for _ in range(3))

    def forward(self, inputs: Tensor) -> Tensor:
        chosen = int(torch.randint(3, ()))
        output: Tensor = self.experts[chosen](inputs)
        return output


class Forgetful(nn.Module):
    """Holds a layer that its forward pass does not use."""

    def __init__(self) -> None:
        super().__init__()
        self.used, self.unused = nn.Linear(4, 1), nn.Linear(4, 1)

    def forward(self, inputs: Tensor) -> Tensor:
        output: Tensor = self.used(inputs)
        return output


def healthy_frozen() -> None:
    model = network()
    model[0].requires_grad_(False)
    optimizer = SGD(model.parameters(), lr=0.01)
    for batch in batches():
        optimizer.zero_grad()
        loss_of(model, batch).backward()
        optimizer.step()


def broken_frozen() -> None:
    model = network()
    model[0].requires_grad_(False)
    optimizer = SGD(model[0].parameters(), lr=0.01)
    for batch in batches():
        optimizer.zero_grad()
        loss_of(model, batch).backward()
        optimizer.step()  # expect: LG803


def broken_frozen_and_never_cleared() -> None:
    model = network()
    model[0].requires_grad_(False)
    optimizer = SGD(model.parameters(), lr=0.01)
    for batch in batches():
        loss_of(model, batch).backward()
        optimizer.step()  # expect: LG101


def healthy_thawed_later() -> None:
    model = network()
    model[0].requires_grad_(False)
    optimizer = SGD(model.parameters(), lr=0.01)
    for number, batch in enumerate(batches(80)):
        if number == 50:
            model[0].requires_grad_(True)
        optimizer.zero_grad()
        loss_of(model, batch).backward()
        optimizer.step()


def broken_thawed_later() -> None:
    model = network()
    model[0].requires_grad_(False)
    optimizer = SGD(model.parameters(), lr=0.01)
    for number, batch in enumerate(batches(80)):
        if number == 50:
            model[0].requires_grad_(True)
        for p in model[2].parameters():
            p.grad = None
        loss_of(model, batch).backward()
        optimizer.step()  # expect: LG104


def healthy_new_group() -> None:
    model = network()
    optimizer = SGD(model[2].parameters(), lr=0.01)
    model[0].requires_grad_(False)
    for number, batch in enumerate(batches(80)):
        if number == 50:
            model[0].requires_grad_(True)
            optimizer.add_param_group({"params": model[0].parameters()})
        optimizer.zero_grad()
        loss_of(model, batch).backward()
        optimizer.step()


def broken_head_replaced() -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.01)
    model[2] = nn.Linear(6, 1)
    for batch in batches():
        optimizer.zero_grad()
        loss_of(model, batch).backward()
        optimizer.step()  # expect: LG802


def healthy_unused_layer() -> None:
    model = Forgetful()
    optimizer = Adam(model.parameters())
    for batch in batches():
        optimizer.zero_grad()
        loss_of(model, batch).backward()
        optimizer.step()


def broken_unused_layer() -> None:
    model = Forgetful()
    optimizer = Adam(model.unused.parameters())
    for batch in batches():
        optimizer.zero_grad()
        loss_of(model, batch).backward()
        optimizer.step()  # expect: LG803


def healthy_branches() -> None:
    one, two = nn.Linear(4, 1), nn.Linear(4, 1)
    optimizer = Adam([*one.parameters(), *two.parameters()])
    for number, batch in enumerate(batches()):
        optimizer.zero_grad()
        loss_of(one if number % 2 else two, batch).backward()
        optimizer.step()


def broken_branches() -> None:
    one, two = nn.Linear(4, 1), nn.Linear(4, 1)
    optimizer = Adam([*one.parameters(), *two.parameters()])
    for number, batch in enumerate(batches()):
        loss_of(one if number % 2 else two, batch).backward()
        optimizer.step()  # expect: LG101


def healthy_experts() -> None:
    model = Experts()
    optimizer = Adam(model.parameters())
    for batch in batches(2 * LONG):
        optimizer.zero_grad()
        loss_of(model, batch).backward()
        optimizer.step()


def healthy_experts_set_to_zero() -> None:
    model = Experts()
    optimizer = SGD(model.parameters(), lr=0.01)
    for batch in batches(2 * LONG):
        optimizer.zero_grad(set_to_none=False)
        loss_of(model, batch).backward()
        optimizer.step()


def broken_experts() -> None:
    model = Experts()
    optimizer = Adam(model.parameters())
    for batch in batches(2 * LONG):
        loss_of(model, batch).backward()
        optimizer.step()  # expect: LG101


def broken_experts_cleared_in_part() -> None:
    model = Experts()
    optimizer = Adam(model.parameters())
    for batch in batches(2 * LONG):
        model.experts[0].zero_grad()
        loss_of(model, batch).backward()
        optimizer.step()  # expect: LG104


def healthy_dead_units() -> None:
    model = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 1))
    nn.init.constant_(model[0].bias, -100.0)
    optimizer = SGD(model.parameters(), lr=0.01)
    for batch in batches():
        optimizer.zero_grad()
        loss_of(model, batch).backward()
        optimizer.step()


def healthy_loss_of_zero() -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.01)
    for number, batch in enumerate(batches()):
        optimizer.zero_grad()
        (loss_of(model, batch) * (number % 3 > 0)).backward()
        optimizer.step()
