"""DistributedDataParallel: its gradients arrive in buckets, behind the back of the tensors' own hooks."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss
from torch.nn.parallel import DistributedDataParallel
from torch.optim import SGD, AdamW


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1))


def batches(count: int = 6) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches of this rank's own."""
    return ((torch.randn(5, 4), torch.randn(5, 1)) for _ in range(count))


def healthy_plain() -> None:
    model = DistributedDataParallel(network())
    optimizer = SGD(model.parameters(), lr=0.1, momentum=0.9)
    for inputs, targets in batches():
        optimizer.zero_grad()
        mse_loss(model(inputs), targets).backward()
        optimizer.step()


def broken_plain() -> None:
    model = DistributedDataParallel(network())
    optimizer = SGD(model.parameters(), lr=0.1, momentum=0.9)
    for inputs, targets in batches():
        mse_loss(model(inputs), targets).backward()
        optimizer.step()  # expect: LG101


def healthy_zeros() -> None:
    model = DistributedDataParallel(network())
    optimizer = AdamW(model.parameters())
    for inputs, targets in batches():
        optimizer.zero_grad(set_to_none=False)
        mse_loss(model(inputs), targets).backward()
        optimizer.step()


def broken_cleared_before_the_step() -> None:
    model = DistributedDataParallel(network())
    optimizer = AdamW(model.parameters())
    for inputs, targets in batches():
        mse_loss(model(inputs), targets).backward()
        optimizer.zero_grad(set_to_none=False)  # expect: LG103
        optimizer.step()


def healthy_bucket_view() -> None:
    model = DistributedDataParallel(network(), gradient_as_bucket_view=True)
    optimizer = SGD(model.parameters(), lr=0.1)
    for inputs, targets in batches():
        optimizer.zero_grad()
        mse_loss(model(inputs), targets).backward()
        optimizer.step()


def healthy_bucket_view_zeros() -> None:
    model = DistributedDataParallel(network(), gradient_as_bucket_view=True)
    optimizer = SGD(model.parameters(), lr=0.1)
    for inputs, targets in batches():
        mse_loss(model(inputs), targets).backward()
        optimizer.step()
        model.zero_grad(set_to_none=False)


def broken_bucket_view() -> None:
    model = DistributedDataParallel(network(), gradient_as_bucket_view=True)
    optimizer = SGD(model.parameters(), lr=0.1)
    for inputs, targets in batches():
        mse_loss(model(inputs), targets).backward()
        optimizer.step()  # expect: LG101


def healthy_no_sync() -> None:
    model = DistributedDataParallel(network())
    optimizer = SGD(model.parameters(), lr=0.1)
    for step, (inputs, targets) in enumerate(batches(12)):
        if (step + 1) % 3 == 0:
            (mse_loss(model(inputs), targets) / 3).backward()
            optimizer.step()
            optimizer.zero_grad()
        else:
            with model.no_sync():
                (mse_loss(model(inputs), targets) / 3).backward()


def broken_no_sync() -> None:
    model = DistributedDataParallel(network())
    optimizer = SGD(model.parameters(), lr=0.1)
    for step, (inputs, targets) in enumerate(batches(12)):
        if (step + 1) % 3 == 0:
            (mse_loss(model(inputs), targets) / 3).backward()
            optimizer.step()  # expect: LG101
        else:
            with model.no_sync():
                (mse_loss(model(inputs), targets) / 3).backward()


def broken_no_sync_cleared() -> None:
    accumulation_steps = 3
    model = DistributedDataParallel(network())
    optimizer = SGD(model.parameters(), lr=0.1)
    for step, (inputs, targets) in enumerate(batches(12)):
        optimizer.zero_grad()  # expect: LG401
        if (step + 1) % accumulation_steps == 0:
            (mse_loss(model(inputs), targets) / accumulation_steps).backward()
            optimizer.step()
        else:
            with model.no_sync():
                (mse_loss(model(inputs), targets) / accumulation_steps).backward()


def healthy_static_graph() -> None:
    model = DistributedDataParallel(network(), static_graph=True)
    optimizer = SGD(model.parameters(), lr=0.1)
    for inputs, targets in batches():
        optimizer.zero_grad()
        mse_loss(model(inputs), targets).backward()
        optimizer.step()


def broken_static_graph() -> None:
    model = DistributedDataParallel(network(), static_graph=True)
    optimizer = SGD(model.parameters(), lr=0.1)
    for inputs, targets in batches():
        mse_loss(model(inputs), targets).backward()
        optimizer.step()  # expect: LG101


def healthy_unused_parameters() -> None:
    model = DistributedDataParallel(nn.ModuleList([network(), network()]), find_unused_parameters=True)
    model.module.forward = lambda inputs: model.module[0](inputs)
    optimizer = SGD(model.parameters(), lr=0.1)
    for inputs, targets in batches():
        optimizer.zero_grad()
        mse_loss(model(inputs), targets).backward()
        optimizer.step()


def healthy_uneven_inputs() -> None:
    model = DistributedDataParallel(network())
    optimizer = SGD(model.parameters(), lr=0.1)
    with model.join():
        for inputs, targets in batches(5 + torch.distributed.get_rank()):
            optimizer.zero_grad()
            mse_loss(model(inputs), targets).backward()
            optimizer.step()
