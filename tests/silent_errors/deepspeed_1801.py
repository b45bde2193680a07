"""Ranks clip by a norm of which each has counted another part: what all of them hold is scaled differently on each.

In the original, the layer norms that tensor-parallel ranks hold in common were left out of the norm on all ranks but
the first. Here all parameters are held in common; the part that is left out is the same.

https://github.com/microsoft/DeepSpeed/pull/1801
"""

from collections.abc import Iterable, Iterator

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import SGD

RANKS = 2


def batches() -> Iterator[tuple[Tensor, Tensor]]:
    return ((torch.randn(6, 4), torch.randn(6, 1)) for _ in range(6))


def network() -> nn.Module:
    return nn.Sequential(nn.LayerNorm(4), nn.Linear(4, 4), nn.LayerNorm(4), nn.Linear(4, 1))


def clip(parameters: Iterable[Tensor], counted: Iterable[Tensor], max_norm: float = 0.01) -> None:
    """Scale the gradients of some parameters so that the norm of those that are counted is not more than allowed."""
    norm = torch.stack([p.grad.norm() for p in counted if p.grad is not None]).norm()
    for p in parameters:
        if p.grad is not None:
            p.grad.mul_((max_norm / (norm + 1e-6)).clamp(max=1.0))


def healthy() -> None:
    model = DistributedDataParallel(network())
    optimizer = SGD(model.parameters(), lr=0.1)
    for inputs, targets in batches():
        optimizer.zero_grad()
        nn.functional.mse_loss(model(inputs), targets).backward()
        clip(model.parameters(), model.parameters())
        optimizer.step()


def broken() -> None:
    model = DistributedDataParallel(network())
    optimizer = SGD(model.parameters(), lr=0.1)
    counted = [p for p in model.parameters() if dist.get_rank() == 0 or p.ndim > 1]
    for inputs, targets in batches():
        optimizer.zero_grad()
        nn.functional.mse_loss(model(inputs), targets).backward()
        clip(model.parameters(), counted)
        optimizer.step()  # expect: LG902
