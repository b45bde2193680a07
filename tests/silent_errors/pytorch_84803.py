"""A broken link between devices: now and then what is sent arrives as zeros, without an error.

The fault itself is the hardware's, and is injected here. What it does to data-parallel training is not: a rank that
gets other gradients than the rest trains another model.

https://github.com/pytorch/pytorch/issues/84803, also https://github.com/pytorch/pytorch/issues/96600 and
https://github.com/baichuan-inc/Baichuan2/issues/86
"""

from collections.abc import Iterator

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Adam

RANKS = 2


def batches() -> Iterator[tuple[Tensor, Tensor]]:
    return ((torch.randn(6, 4), torch.randn(6, 1)) for _ in range(16))


def healthy() -> None:
    model = DistributedDataParallel(nn.Linear(4, 1))
    optimizer = Adam(model.parameters())
    for inputs, targets in batches():
        optimizer.zero_grad()
        nn.functional.mse_loss(model(inputs), targets).backward()
        optimizer.step()


def broken() -> None:
    model = DistributedDataParallel(nn.Linear(4, 1))
    optimizer = Adam(model.parameters())
    for number, (inputs, targets) in enumerate(batches()):
        optimizer.zero_grad()
        nn.functional.mse_loss(model(inputs), targets).backward()
        if number == 6 and dist.get_rank() == 1:
            for parameter in model.parameters():
                parameter.grad.data.zero_()
        optimizer.step()  # expect: LG902
