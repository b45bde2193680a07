"""Sparse gradients, which are summed by concatenation."""

import torch
from tiny import LONG
from torch import Tensor, nn
from torch.optim import SGD, Adagrad, Adam, SparseAdam


class Words(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(20, 4, sparse=True)
        self.output = nn.Linear(4, 1)

    def loss(self) -> Tensor:
        loss: Tensor = self.output(self.embedding(torch.randint(20, (3,)))).square().mean()
        return loss


def healthy() -> None:
    model = Words()
    optimizer = SGD(model.parameters(), lr=0.01)
    for _ in range(LONG):
        optimizer.zero_grad()
        model.loss().backward()
        optimizer.step()


def broken() -> None:
    model = Words()
    optimizer = SGD(model.parameters(), lr=0.01)
    for _ in range(LONG):
        model.loss().backward()
        optimizer.step()  # expect: LG101


def healthy_set_to_zero() -> None:
    model = Words()
    optimizer = Adagrad(model.parameters())
    for _ in range(LONG):
        optimizer.zero_grad(set_to_none=False)
        model.loss().backward()
        optimizer.step()


def broken_set_to_zero() -> None:
    model = Words()
    optimizer = Adagrad(model.parameters())
    for _ in range(LONG):
        model.loss().backward()
        optimizer.zero_grad(set_to_none=False)  # expect: LG103
        optimizer.step()


def healthy_two_optimizers() -> None:
    model = Words()
    sparse, dense = SparseAdam(model.embedding.parameters()), Adam(model.output.parameters())
    for _ in range(LONG):
        sparse.zero_grad()
        dense.zero_grad()
        model.loss().backward()
        sparse.step()
        dense.step()


def broken_two_optimizers() -> None:
    model = Words()
    sparse, dense = SparseAdam(model.embedding.parameters()), Adam(model.output.parameters())
    for _ in range(LONG):
        dense.zero_grad()
        model.loss().backward()
        sparse.step()  # expect: LG101
        dense.step()


def healthy_no_words() -> None:
    model = Words()
    model.output.requires_grad_(False)
    optimizer = SparseAdam(model.embedding.parameters())
    for number in range(LONG):
        optimizer.zero_grad()
        words = torch.randint(20, (3 * (number % 2),))
        model.output(model.embedding(words)).sum().backward()
        optimizer.step()
