"""A wrapped model is moved away and back: its parameters are new to the graph, and the wrapper's hooks are gone.

From one device to another or from one type to another is the same to autograd.

https://github.com/pytorch/pytorch/issues/104336
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import SGD

RANKS = 2


def batches() -> Iterator[tuple[Tensor, Tensor]]:
    return ((torch.randn(20, 10), torch.randn(20, 5)) for _ in range(6))


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(10, 10), nn.ReLU(), nn.Linear(10, 5))


def healthy() -> None:
    """Wrapped when it is back."""
    model = network()
    optimizer = SGD(model.parameters(), lr=0.001)
    model.double()
    model.float()
    wrapped = DistributedDataParallel(model)
    for inputs, targets in batches():
        outputs = wrapped(inputs)
        optimizer.zero_grad()
        nn.functional.mse_loss(outputs, targets).backward()
        optimizer.step()


def broken() -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.001)
    wrapped = DistributedDataParallel(model)
    wrapped.double()
    wrapped.float()
    for inputs, targets in batches():
        outputs = wrapped(inputs)
        optimizer.zero_grad()
        nn.functional.mse_loss(outputs, targets).backward()
        optimizer.step()  # expect: LG902
