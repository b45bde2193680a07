"""A pretrained network is frozen for transfer learning, and with it the new head: the optimizer holds nothing else.

The loss still moves, as the normalisation layers keep on counting their statistics. What remained when the head was
set free again: the weights of those layers are spared by the freezing, receive gradients, and are in no optimizer.

https://discuss.pytorch.org/t/84911
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.optim import Adam


class Pretrained(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.bn = nn.BatchNorm2d(4)
        self.fc = nn.Linear(4, 1000)

    def forward(self, images: Tensor) -> Tensor:
        features: Tensor = self.fc(torch.relu(self.bn(self.conv(images))).mean((2, 3)))
        return features


def images() -> Iterator[tuple[Tensor, Tensor]]:
    return ((torch.randn(4, 3, 8, 8), torch.randint(10, (4,))) for _ in range(5))


def validate(model: nn.Module) -> float:
    model.eval()
    with torch.no_grad():
        return sum(float(nn.functional.cross_entropy(model(data), target)) for data, target in images())


def healthy() -> None:
    model, criterion = Pretrained(), nn.CrossEntropyLoss()
    model.requires_grad_(False)
    model.fc = nn.Linear(4, 10)
    optimizer = Adam(model.fc.parameters(), lr=0.001)
    for _ in range(2):
        model.train()
        for data, target in images():
            optimizer.zero_grad()
            criterion(model(data), target).backward()
            optimizer.step()
        validate(model)


def broken() -> None:
    model, criterion = Pretrained(), nn.CrossEntropyLoss()
    model.fc = nn.Linear(4, 10)
    optimizer = Adam(model.fc.parameters(), lr=0.001)
    for name, parameter in model.named_parameters():
        if "bn" not in name:
            parameter.requires_grad = False
    for parameter in model.fc.parameters():
        parameter.requires_grad = False
    for _ in range(2):
        model.train()
        for data, target in images():
            optimizer.zero_grad()
            criterion(model(data), target).backward()
            optimizer.step()  # expect: LG803
        validate(model)


def broken_still() -> None:
    model, criterion = Pretrained(), nn.CrossEntropyLoss()
    model.fc = nn.Linear(4, 10)
    optimizer = Adam(model.fc.parameters(), lr=0.001)
    for name, parameter in model.named_parameters():
        if "bn" not in name:
            parameter.requires_grad = False
    for parameter in model.fc.parameters():
        parameter.requires_grad = True
    for _ in range(2):
        model.train()
        for data, target in images():
            optimizer.zero_grad()
            criterion(model(data), target).backward()
            optimizer.step()  # expect: LG803
        validate(model)
