"""A kernel of the optimizer writes to a copy where a weight is not contiguous, and that weight never moves.

The encoder was initialised as the transpose of the decoder. On one backend the optimizer's in-place kernels copied
such a tensor, updated the copy, and forgot to copy back.

https://elanapearl.github.io/blog/2025/the-bug-that-taught-me-pytorch/
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.optim import SGD


class ContiguousSGD(SGD):
    """Updates contiguous tensors, and contiguous copies of others."""

    def step(self, closure: None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for p in group["params"]:
                p.data.contiguous().sub_(group["lr"] * p.grad)


class Autoencoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder = nn.Linear(6, 3), nn.Linear(3, 6)

    def forward(self, inputs: Tensor) -> Tensor:
        decoded: Tensor = self.decoder(torch.relu(self.encoder(inputs)))
        return decoded


def activations() -> Iterator[Tensor]:
    return (torch.randn(8, 6) for _ in range(40))


def healthy() -> None:
    model = Autoencoder()
    model.encoder.weight.data = model.decoder.weight.data.t().contiguous()
    optimizer = ContiguousSGD(model.parameters(), lr=0.1)
    for inputs in activations():
        optimizer.zero_grad()
        nn.functional.mse_loss(model(inputs), inputs).backward()
        optimizer.step()


def broken() -> None:
    model = Autoencoder()
    model.encoder.weight.data = model.decoder.weight.data.clone().t()
    optimizer = ContiguousSGD(model.parameters(), lr=0.1)
    for inputs in activations():
        optimizer.zero_grad()
        nn.functional.mse_loss(model(inputs), inputs).backward()
        optimizer.step()  # expect: LG803
