"""The optimizer is built before the model is sharded, and holds parameters that are not the model's any more.

https://github.com/huggingface/accelerate/issues/2665
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.optim import AdamW

RANKS = 2


def batches() -> Iterator[tuple[Tensor, Tensor]]:
    return ((torch.randn(6, 4), torch.randn(6, 2)) for _ in range(6))


def prepare(model: nn.Module) -> None:
    mesh = init_device_mesh("cpu", (torch.distributed.get_world_size(),))
    for layer in model:
        fully_shard(layer, mesh=mesh)
    fully_shard(model, mesh=mesh)


def healthy() -> None:
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    prepare(model)
    optimizer = AdamW(model.parameters(), lr=1e-2)
    for inputs, targets in batches():
        nn.functional.mse_loss(model(inputs), targets).backward()
        optimizer.step()
        optimizer.zero_grad()


def broken() -> None:
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    optimizer = AdamW(model.parameters(), lr=1e-2)
    prepare(model)
    for inputs, targets in batches():
        nn.functional.mse_loss(model(inputs), targets).backward()
        optimizer.step()  # expect: LG802
        optimizer.zero_grad()
