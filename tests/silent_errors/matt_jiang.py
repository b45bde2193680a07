"""A wrapper for several devices trains a copy of the module: gradient norms look well, and no weight moves.

https://x.com/_MattJiang_/status/1942338254906261616
"""

import copy
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.optim import AdamW


class Spread(nn.Module):
    """Spreads batches over replicas of a module. The first of them is the module itself, or should be."""

    def __init__(self, module: nn.Module, count: int, *, keep: bool) -> None:
        super().__init__()
        first = module if keep else copy.deepcopy(module)
        self.replicas = [first] * count

    def forward(self, inputs: Tensor) -> Tensor:
        chunks = inputs.chunk(len(self.replicas))
        return torch.cat([replica(chunk) for replica, chunk in zip(self.replicas, chunks, strict=True)])


def batches() -> Iterator[tuple[Tensor, Tensor]]:
    return ((torch.randn(6, 3), torch.randn(6, 1)) for _ in range(6))


def healthy() -> None:
    model = nn.Linear(3, 1)
    optimizer = AdamW(model.parameters())
    spread = Spread(model, 2, keep=True)
    for inputs, targets in batches():
        optimizer.zero_grad()
        nn.functional.mse_loss(spread(inputs), targets).backward()
        nn.utils.clip_grad_norm_(spread.replicas[0].parameters(), 1.0)
        optimizer.step()


def broken() -> None:
    model = nn.Linear(3, 1)
    optimizer = AdamW(model.parameters())
    spread = Spread(model, 2, keep=False)
    for inputs, targets in batches():
        optimizer.zero_grad()
        nn.functional.mse_loss(spread(inputs), targets).backward()
        nn.utils.clip_grad_norm_(spread.replicas[0].parameters(), 1.0)
        optimizer.step()  # expect: LG803
