"""A trainer takes the wrapped model in some steps and the bare one in others: then nobody averages the gradients.

Each new wrapper makes the parameters of the ranks equal again; what the optimizer remembers of the steps in between
stays different, and so the ranks part anew.

https://x.com/jxmnop/status/1778520637193240892
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import AdamW

RANKS = 2


class Trainer:
    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.wrapped = DistributedDataParallel(model)
        self.optimizer = AdamW(model.parameters(), lr=1e-3)

    def choose(self, step: int) -> nn.Module:
        return self.wrapped

    def train(self) -> None:
        for step, (inputs, targets) in enumerate(batches()):
            loss = nn.functional.mse_loss(self.choose(step)(inputs), targets)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()


def batches() -> Iterator[tuple[Tensor, Tensor]]:
    return ((torch.randn(6, 3), torch.randn(6, 1)) for _ in range(8))


def healthy() -> None:
    Trainer(nn.Linear(3, 1)).train()


def broken() -> None:
    class Undecided(Trainer):
        def choose(self, step: int) -> nn.Module:
            return self.model if step % 2 == 0 else DistributedDataParallel(self.model)

        def train(self) -> None:
            for step, (inputs, targets) in enumerate(batches()):
                loss = nn.functional.mse_loss(self.choose(step)(inputs), targets)
                self.optimizer.zero_grad()
                loss.backward()
                self.optimizer.step()  # expect: LG902

    Undecided(nn.Linear(3, 1)).train()
