"""Layers that are trained one after the other, by the same lines: each has an optimizer and a loss of its own."""

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam


class Layer(nn.Sequential):
    """A layer with its optimizer."""

    def __init__(self) -> None:
        super().__init__(nn.Linear(4, 4), nn.Tanh())
        self.optimizer = Adam(self.parameters(), lr=0.01)

    def train_once(self, inputs: Tensor) -> None:
        self.optimizer.zero_grad()
        self(inputs).pow(2).mean().backward()
        self.optimizer.step()


def healthy() -> None:
    inputs = torch.randn(8, 4)
    for layer in [Layer() for _ in range(3)]:
        for _ in range(12):
            layer.train_once(inputs)
        inputs = layer(inputs).detach()


def healthy_frozen_in_turn() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 1))
    optimizers = [SGD(part.parameters(), lr=0.1) for part in (model[0], model[2])]
    for trained in optimizers:
        for optimizer in optimizers:
            for p in optimizer.param_groups[0]["params"]:
                p.requires_grad_(optimizer is trained)
        for _ in range(12):
            trained.zero_grad()
            model(torch.randn(8, 4)).pow(2).mean().backward()
            trained.step()


def broken_cleared_before_step() -> None:
    inputs = torch.randn(8, 4)
    for layer in [Layer() for _ in range(3)]:
        for _ in range(12):
            layer(inputs).pow(2).mean().backward()
            layer.optimizer.zero_grad()  # expect: LG103
            layer.optimizer.step()
        inputs = layer(inputs).detach()


def broken_step_before_backward() -> None:
    inputs = torch.randn(8, 4)
    for layer in [Layer() for _ in range(3)]:
        for _ in range(12):
            layer.optimizer.zero_grad()
            layer.optimizer.step()  # expect: LG202
            layer(inputs).pow(2).mean().backward()
        inputs = layer(inputs).detach()
