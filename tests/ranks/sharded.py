"""Parameters and optimizer states in shards: FSDP2 and ZeroRedundancyOptimizer."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.optim import ZeroRedundancyOptimizer
from torch.nn.functional import mse_loss
from torch.nn.parallel import DistributedDataParallel
from torch.optim import SGD, AdamW


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))


def shard(model: nn.Module) -> nn.Module:
    mesh = init_device_mesh("cpu", (torch.distributed.get_world_size(),))
    for layer in model:
        fully_shard(layer, mesh=mesh)
    return fully_shard(model, mesh=mesh)


def batches(count: int = 6) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches of this rank's own."""
    return ((torch.randn(5, 4), torch.randn(5, 2)) for _ in range(count))


def healthy_fully_shard() -> None:
    model = shard(network())
    optimizer = AdamW(model.parameters())
    for inputs, targets in batches():
        optimizer.zero_grad()
        mse_loss(model(inputs), targets).backward()
        optimizer.step()


def healthy_fully_shard_zeros() -> None:
    model = shard(network())
    optimizer = AdamW(model.parameters())
    for inputs, targets in batches():
        mse_loss(model(inputs), targets).backward()
        optimizer.step()
        model.zero_grad(set_to_none=False)


def healthy_fully_shard_accumulation() -> None:
    model = shard(network())
    optimizer = SGD(model.parameters(), lr=0.1)
    for step, (inputs, targets) in enumerate(batches(8)):
        is_last = step % 2 == 1
        model.set_requires_gradient_sync(is_last)
        (mse_loss(model(inputs), targets) / 2).backward()
        if is_last:
            optimizer.step()
            optimizer.zero_grad()


def broken_fully_shard() -> None:
    model = shard(network())
    optimizer = AdamW(model.parameters())
    for inputs, targets in batches():
        mse_loss(model(inputs), targets).backward()
        optimizer.step()  # expect: LG101


def broken_optimizer_before_fully_shard() -> None:
    model = network()
    optimizer = AdamW(model.parameters())
    shard(model)
    for inputs, targets in batches():
        optimizer.zero_grad()
        mse_loss(model(inputs), targets).backward()
        optimizer.step()  # expect: LG802


def healthy_zero_redundancy() -> None:
    model = DistributedDataParallel(network())
    optimizer = ZeroRedundancyOptimizer(model.parameters(), SGD, lr=0.1, momentum=0.9)
    for inputs, targets in batches():
        optimizer.zero_grad()
        mse_loss(model(inputs), targets).backward()
        optimizer.step()


def broken_zero_redundancy() -> None:
    model = DistributedDataParallel(network())
    optimizer = ZeroRedundancyOptimizer(model.parameters(), SGD, lr=0.1, momentum=0.9)
    for inputs, targets in batches():
        mse_loss(model(inputs), targets).backward()
        optimizer.step()  # expect: LG101


def broken_zero_redundancy_around_the_wrapper() -> None:
    """Each rank updates its part of the parameters with gradients of its own, and gives it to the others."""
    model = network()
    optimizer = ZeroRedundancyOptimizer(model.parameters(), SGD, lr=0.1)
    for inputs, targets in batches():
        mse_loss(model(inputs), targets).backward()
        optimizer.step()  # expect: LG101
