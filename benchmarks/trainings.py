"""The trainings whose steps `runtime_overhead.py` measures. Everything is synthetic and seeded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, mse_loss


class Transformer(nn.Module):
    """A classifier of sequences: 16 layers, 196 parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(100, 64)
        layer = nn.TransformerEncoderLayer(64, 4, 128, dropout=0.0, batch_first=True)
        self.layers = nn.TransformerEncoder(layer, 16, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(64, bias=False)
        self.head = nn.Linear(64, 10)

    def forward(self, tokens: Tensor) -> Tensor:
        """The scores of each class."""
        return self.head(self.norm(self.layers(self.embedding(tokens)).mean(dim=1)))


class Crumbs(nn.Module):
    """A thousand parameters of four numbers each, and little else to do than to look after them."""

    def __init__(self) -> None:
        super().__init__()
        self.crumbs = nn.ParameterList(torch.randn(4) for _ in range(1000))

    def forward(self, inputs: Tensor) -> Tensor:
        """The mean of the crumbs, each times its input."""
        return (torch.stack(list(self.crumbs)) * inputs).mean(dim=0)


@dataclass
class Training:
    """A model, its optimizer and one batch. With a scaler, it is trained in mixed precision.

    With a schedule, which takes a scaler, gradients are clipped, too.
    """

    name: str
    model: nn.Module
    optimizer: torch.optim.Optimizer
    criterion: Callable[[Tensor, Tensor], Tensor]
    inputs: Tensor
    targets: Tensor
    scaler: torch.amp.GradScaler | None = None
    schedule: torch.optim.lr_scheduler.LRScheduler | None = None

    def run(self, steps: int) -> None:
        """Train for some iterations: all of them come from the same lines, as those of a script do."""
        for _ in range(steps):
            self.optimizer.zero_grad()
            if self.scaler is None:
                loss = self.criterion(self.model(self.inputs), self.targets)
                loss.backward()
                self.optimizer.step()
            else:
                with torch.autocast(self.inputs.device.type):
                    loss = self.criterion(self.model(self.inputs), self.targets)
                self.scaler.scale(loss).backward()
                if self.schedule is not None:
                    self.scaler.unscale_(self.optimizer)
                    nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
                self.scaler.step(self.optimizer)
                self.scaler.update()
                if self.schedule is not None:
                    self.schedule.step()

    @property
    def parameters(self) -> int:
        """How many parameter tensors are trained."""
        return sum(1 for _ in self.model.parameters())


def training(case: str, device: str = "cpu") -> Training:
    """What is trained in a case: always the same."""
    torch.manual_seed(0)
    if case in "ad":
        name, model = "a perceptron", nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 4))
        name += ", scaled, clipped and scheduled" if case == "d" else ""
        inputs, targets, criterion = torch.randn(8, 16), torch.randint(4, (8,)), cross_entropy
        optimizer, rate = torch.optim.SGD, 1e-3
    elif case == "b":
        name, model = "a transformer", Transformer()
        inputs, targets, criterion = torch.randint(100, (8, 16)), torch.randint(10, (8,)), cross_entropy
        optimizer, rate = torch.optim.AdamW, 1e-4
    else:
        name, model = "tiny tensors", Crumbs()
        inputs, targets, criterion = torch.randn(1000, 4), torch.randn(4), mse_loss
        optimizer, rate = torch.optim.SGD, 1e-3
    model.to(device)
    scaler = torch.amp.GradScaler(device) if device != "cpu" or case == "d" else None
    stepped = optimizer(model.parameters(), lr=rate)
    schedule = torch.optim.lr_scheduler.StepLR(stepped, 1000) if case == "d" else None
    return Training(name, model, stepped, criterion, inputs.to(device), targets.to(device), scaler, schedule)
