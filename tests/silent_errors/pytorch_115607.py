"""A compiled step meets an iteration without gradients, and updates nothing from then on.

The compiler traced the step once for parameters with gradients, once for parameters without, and chose the second
from then on. A step that keeps the list of parameters which it has to update does the same without a compiler.

https://github.com/pytorch/pytorch/issues/115607
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.optim import SGD


class TracedSGD(SGD):
    """Traces its update when gradients come or go, and replays what it has traced. With `stuck`, only when they go."""

    stuck = False

    def step(self, closure: None = None) -> None:  # type: ignore[override]
        fed = [p for group in self.param_groups for p in group["params"] if p.grad is not None]
        traced = getattr(self, "traced", None)
        if traced is None or len(fed) < len(traced) or (not self.stuck and len(fed) > len(traced)):
            self.traced = fed
        for p in self.traced:
            p.data.sub_(self.param_groups[0]["lr"] * p.grad)


class StuckSGD(TracedSGD):
    stuck = True


def batches() -> Iterator[tuple[Tensor, Tensor]]:
    """Batches of which one has nothing to learn from."""
    sizes = [6, 6, 0, *[6] * 30]
    return ((torch.randn(size, 3), torch.randn(size, 1)) for size in sizes)


def healthy() -> None:
    model = nn.Linear(3, 1)
    optimizer = TracedSGD(model.parameters(), lr=0.1)
    for inputs, targets in batches():
        optimizer.zero_grad()
        if len(inputs):
            nn.functional.mse_loss(model(inputs), targets).backward()
        optimizer.step()


def healthy_compiled() -> None:
    """With the compiler as it is now."""
    model = nn.Linear(3, 1)
    optimizer = SGD(model.parameters(), lr=0.1)
    step = torch.compile(optimizer.step, backend="eager")
    for inputs, targets in batches():
        optimizer.zero_grad()
        if len(inputs):
            nn.functional.mse_loss(model(inputs), targets).backward()
        step()


def broken() -> None:
    model = nn.Linear(3, 1)
    optimizer = StuckSGD(model.parameters(), lr=0.1)
    for inputs, targets in batches():
        optimizer.zero_grad()
        if len(inputs):
            nn.functional.mse_loss(model(inputs), targets).backward()
        optimizer.step()  # expect: LG803
