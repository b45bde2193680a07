"""The gradients are never cleared: the loss falls at a small learning rate, and jumps about at a larger one.

https://stackoverflow.com/questions/60335387
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.optim import SGD


def network() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(36, 16), nn.ReLU(), nn.Linear(16, 10)
    )


def digits() -> Iterator[tuple[Tensor, Tensor]]:
    return ((torch.randn(8, 1, 8, 8), torch.randint(10, (8,))) for _ in range(5))


@torch.no_grad()
def accuracy(model: nn.Module) -> float:
    model.eval()
    return sum(int((model(images).argmax(1) == labels).sum()) for images, labels in digits()) / 40


def healthy() -> None:
    model, criterion = network(), nn.CrossEntropyLoss()
    optimizer = SGD(model.parameters(), lr=1e-4, momentum=0.9)
    for _ in range(2):
        model.train()
        for images, labels in digits():
            optimizer.zero_grad()
            loss = criterion(model(images), labels)
            loss.backward()
            optimizer.step()
        accuracy(model)


def broken() -> None:
    model, criterion = network(), nn.CrossEntropyLoss()
    optimizer = SGD(model.parameters(), lr=1e-4, momentum=0.9)
    for _ in range(2):
        model.train()
        for images, labels in digits():
            loss = criterion(model(images), labels)
            loss.backward()
            optimizer.step()  # expect: LG101
        accuracy(model)
