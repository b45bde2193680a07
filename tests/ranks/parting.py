"""Ranks that part: what each of them holds goes its own way, and no message says so."""

from collections.abc import Iterator

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.functional import mse_loss
from torch.nn.parallel import DistributedDataParallel
from torch.optim import SGD, AdamW


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 1))


def batches(count: int = 6) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches of this rank's own."""
    return ((torch.randn(5, 4), torch.randn(5, 1)) for _ in range(count))


def healthy() -> None:
    """Statistics of batch normalisation are each rank's own, and are not compared."""
    model = DistributedDataParallel(network(), broadcast_buffers=False)
    optimizer = AdamW(model.parameters())
    for inputs, targets in batches():
        optimizer.zero_grad()
        mse_loss(model(inputs), targets).backward()
        optimizer.step()


def broken_around_the_wrapper() -> None:
    """The barrier keeps the ranks together: one that ran ahead would have let go of its optimizer when the other comes."""
    model = DistributedDataParallel(network())
    optimizer = AdamW(model.parameters())
    for inputs, targets in batches():
        optimizer.zero_grad()
        mse_loss(model.module(inputs), targets).backward()
        optimizer.step()  # expect: LG902
        dist.barrier()


def broken_by_a_replaced_layer() -> None:
    model = DistributedDataParallel(network(), find_unused_parameters=True)
    torch.manual_seed(0)
    model.module[3] = nn.Linear(8, 1)
    optimizer = SGD(model.parameters(), lr=0.1)
    torch.manual_seed(dist.get_rank())
    for inputs, targets in batches():
        optimizer.zero_grad()
        mse_loss(model(inputs), targets).backward()
        optimizer.step()  # expect: LG902


def healthy_with_an_extra_model_on_one_rank() -> None:
    """The first rank trains a probe of its own, before and in between."""
    probe = nn.Linear(4, 1)
    if dist.get_rank() == 0:
        own = SGD(probe.parameters(), lr=0.1)
    model = DistributedDataParallel(network())
    optimizer = SGD(model.parameters(), lr=0.1)
    for inputs, targets in batches():
        if dist.get_rank() == 0:
            own.zero_grad()
            mse_loss(probe(inputs), targets).backward()
            own.step()
        optimizer.zero_grad()
        mse_loss(model(inputs), targets).backward()
        optimizer.step()


def healthy_on_one_rank() -> None:
    """What one rank trains alone is not waited for."""
    if dist.get_rank() == 1:
        model = network()
        optimizer = SGD(model.parameters(), lr=0.1)
        for inputs, targets in batches():
            optimizer.zero_grad()
            mse_loss(model(inputs), targets).backward()
            optimizer.step()


def healthy_in_groups_of_one() -> None:
    """Replicas of a group of one rank have nobody to be equal to."""
    groups = [dist.new_group([rank]) for rank in range(dist.get_world_size())]
    model = DistributedDataParallel(network(), process_group=groups[dist.get_rank()])
    optimizer = SGD(model.parameters(), lr=0.1)
    for inputs, targets in batches():
        optimizer.zero_grad()
        mse_loss(model(inputs), targets).backward()
        optimizer.step()


def healthy_at_different_speeds() -> None:
    """Local training without a wrapper: ranks go as fast as they can, as far as they like."""
    model = network()
    optimizer = SGD(model.parameters(), lr=0.1)
    for inputs, targets in batches(3 + 4 * dist.get_rank()):
        optimizer.zero_grad()
        mse_loss(model(inputs), targets).backward()
        optimizer.step()
