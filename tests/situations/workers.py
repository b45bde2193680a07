"""Data that is loaded in other processes, some of which compute gradients there."""

import torch
from tiny import loss_of, network
from torch import Tensor
from torch.optim import SGD
from torch.utils.data import DataLoader, Dataset


class Adversarial(Dataset[tuple[Tensor, Tensor]]):
    """Moves each input along the gradient of a model of its own, which is trained a little on the way."""

    def __init__(self) -> None:
        self.model = network()
        self.optimizer = SGD(self.model.parameters(), lr=0.01)

    def __len__(self) -> int:
        return 40

    def __getitem__(self, number: int) -> tuple[Tensor, Tensor]:
        inputs, target = torch.full((4,), float(number)).requires_grad_(), torch.zeros(1)
        loss_of(self.model, (inputs, target)).backward()
        self.optimizer.step()
        assert inputs.grad is not None
        return inputs.detach() + 0.01 * inputs.grad.sign(), target


def healthy() -> None:
    model, data = network(), [(torch.randn(4), torch.randn(1)) for _ in range(40)]
    optimizer = SGD(model.parameters(), lr=0.01)
    for batch in DataLoader(data, batch_size=2, num_workers=1, multiprocessing_context="fork"):
        optimizer.zero_grad()
        loss_of(model, batch).backward()
        optimizer.step()


def broken() -> None:
    model, data = network(), [(torch.randn(4), torch.randn(1)) for _ in range(40)]
    optimizer = SGD(model.parameters(), lr=0.01)
    for batch in DataLoader(data, batch_size=2, num_workers=1, multiprocessing_context="fork"):
        loss_of(model, batch).backward()
        optimizer.step()  # expect: LG101


def healthy_gradients_in_the_worker() -> None:
    model, data = network(), Adversarial()
    optimizer = SGD(model.parameters(), lr=0.01)
    for batch in DataLoader(data, batch_size=2, num_workers=1, multiprocessing_context="fork"):
        optimizer.zero_grad()
        loss_of(model, batch).backward()
        optimizer.step()


def broken_gradients_in_the_worker() -> None:
    model, data = network(), Adversarial()
    optimizer = SGD(model.parameters(), lr=0.01)
    for batch in DataLoader(data, batch_size=2, num_workers=1, multiprocessing_context="fork"):
        loss_of(model, batch).backward()
        optimizer.zero_grad()  # expect: LG103
        optimizer.step()
