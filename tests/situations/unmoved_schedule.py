"""A schedule that is never moved on, in a program in which every step that is written is taken."""

from tiny import batches, loss_of, network
from torch.optim import SGD
from torch.optim.lr_scheduler import ExponentialLR


def train(optimizer: SGD, model: object) -> None:
    for batch in batches(10):
        optimizer.zero_grad()
        loss_of(model, batch).backward()
        optimizer.step()


def healthy() -> None:
    model = network()
    train(SGD(model.parameters(), lr=0.01), model)


def broken() -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.01)
    schedule = ExponentialLR(optimizer, gamma=0.9)  # expect: LG602
    train(optimizer, model)
    print(schedule.get_last_lr())
