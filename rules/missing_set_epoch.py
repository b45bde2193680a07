"""A distributed sampler is never told which epoch it is.

## What it does

Finds a `DistributedSampler` that shuffles, and epochs that are trained with it without a `set_epoch()` anywhere.

## Why is this bad?

The sampler shuffles by a seed that it adds to the number of the epoch, so that all ranks agree on the order. Without
`set_epoch()` the number stays 0: each epoch brings the same samples in the same order, in the same batches and to the
same rank. Training works, and learns less from the data than it could.

## Known limits

With `shuffle=False` there is nothing to tell. Accelerate, Lightning and Ignite call `set_epoch` themselves: files that
use them are left alone, and so are samplers that reach code which cannot be read.

## References

- [`DistributedSampler`](https://docs.pytorch.org/docs/stable/data.html#torch.utils.data.distributed.DistributedSampler)
"""

from loopguard.rule import Case, Level, Rule, sampling


class MissingSetEpoch(Rule):
    code = "LG901"
    level = Level.WARNING
    engines = "S"
    mistakes = frozenset({sampling.Mistake.NO_EPOCH})

    bad = (
        """\
from torch.utils.data import DataLoader, TensorDataset
from torch.utils.data.distributed import DistributedSampler

dataset = TensorDataset(torch.randn(24, 4), torch.randint(3, (24,)))
sampler = DistributedSampler(dataset, num_replicas=2, rank=0)
train_loader = DataLoader(dataset, batch_size=4, sampler=sampler)
for epoch in range(num_epochs):  # expect: LG901
    for inputs, targets in train_loader:
        optimizer.zero_grad()
        criterion(model(inputs), targets).backward()
        optimizer.step()
""",
        # One function makes the loader, another one goes through it.
        """\
from torch.utils.data import DataLoader, TensorDataset
from torch.utils.data.distributed import DistributedSampler


def loader_of(dataset):
    sampler = DistributedSampler(dataset, num_replicas=2, rank=0, shuffle=True)
    return DataLoader(dataset, batch_size=4, shuffle=False, sampler=sampler)


def main(dataset):
    train_loader = loader_of(dataset)
    for epoch in range(num_epochs):  # expect: LG901
        for inputs, targets in train_loader:
            optimizer.zero_grad()
            criterion(model(inputs), targets).backward()
            optimizer.step()


main(TensorDataset(torch.randn(24, 4), torch.randint(3, (24,))))
""",
        # The sampler has no name of its own, and the trainer knows only its loader.
        """\
from torch.utils.data import DataLoader, TensorDataset
from torch.utils.data.distributed import DistributedSampler


class Trainer:
    def __init__(self, model, train_data):
        self.model, self.train_data = model, train_data
        self.optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    def run_batch(self, inputs, targets):
        self.optimizer.zero_grad()
        F.cross_entropy(self.model(inputs), targets).backward()
        self.optimizer.step()

    def run_epoch(self, epoch):
        for inputs, targets in self.train_data:
            self.run_batch(inputs, targets)

    def train(self, max_epochs):
        for epoch in range(max_epochs):  # expect: LG901
            self.run_epoch(epoch)


def prepare(dataset):
    return DataLoader(
        dataset,
        batch_size=4,
        sampler=DistributedSampler(dataset, num_replicas=2, rank=0),
    )


train_data = prepare(TensorDataset(torch.randn(24, 4), torch.randint(3, (24,))))
Trainer(model, train_data).train(num_epochs)
""",
        # Only with several ranks.
        """\
from torch.utils.data import DataLoader, TensorDataset, distributed


def main(dataset, ranks):
    sampler = distributed.DistributedSampler(dataset, ranks, 0) if ranks > 1 else None
    train_loader = DataLoader(dataset, batch_size=4, shuffle=sampler is None, sampler=sampler)
    epoch = 0
    while epoch < num_epochs:  # expect: LG901
        for inputs, targets in train_loader:
            loss = criterion(model(inputs), targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        epoch += 1


main(TensorDataset(torch.randn(24, 4), torch.randint(3, (24,))), ranks=2)
""",
    )
    good = (
        """\
from torch.utils.data import DataLoader, TensorDataset
from torch.utils.data.distributed import DistributedSampler

dataset = TensorDataset(torch.randn(24, 4), torch.randint(3, (24,)))
sampler = DistributedSampler(dataset, num_replicas=2, rank=0)
train_loader = DataLoader(dataset, batch_size=4, sampler=sampler)
for epoch in range(num_epochs):
    sampler.set_epoch(epoch)
    for inputs, targets in train_loader:
        optimizer.zero_grad()
        criterion(model(inputs), targets).backward()
        optimizer.step()
""",
        # It does not shuffle.
        """\
from torch.utils.data import DataLoader, TensorDataset
from torch.utils.data.distributed import DistributedSampler

dataset = TensorDataset(torch.randn(24, 4), torch.randint(3, (24,)))
sampler = DistributedSampler(dataset, num_replicas=2, rank=0, shuffle=False)
train_loader = DataLoader(dataset, batch_size=4, sampler=sampler)
for epoch in range(num_epochs):
    for inputs, targets in train_loader:
        optimizer.zero_grad()
        criterion(model(inputs), targets).backward()
        optimizer.step()
""",
        # The function that trains tells the sampler, by way of the loader.
        """\
from torch.utils.data import DataLoader, TensorDataset
from torch.utils.data.distributed import DistributedSampler


def train_epoch(epoch, train_loader):
    if hasattr(train_loader.sampler, "set_epoch"):
        train_loader.sampler.set_epoch(epoch)
    for inputs, targets in train_loader:
        optimizer.zero_grad()
        criterion(model(inputs), targets).backward()
        optimizer.step()


dataset = TensorDataset(torch.randn(24, 4), torch.randint(3, (24,)))
sampler = DistributedSampler(dataset, num_replicas=2, rank=0)
train_loader = DataLoader(dataset, batch_size=4, sampler=sampler)
for epoch in range(num_epochs):
    train_epoch(epoch, train_loader)
""",
        # The samples of the validation may come in any order.
        """\
from torch.utils.data import DataLoader, TensorDataset
from torch.utils.data.distributed import DistributedSampler

dataset = TensorDataset(torch.randn(24, 4), torch.randint(3, (24,)))
val_sampler = DistributedSampler(dataset, num_replicas=2, rank=0)
val_loader = DataLoader(dataset, batch_size=4, sampler=val_sampler)
for epoch in range(num_epochs):
    for inputs, targets in loader:
        optimizer.zero_grad()
        criterion(model(inputs), targets).backward()
        optimizer.step()
    with torch.no_grad():
        print(sum(criterion(model(inputs), targets) for inputs, targets in val_loader))
""",
        # There is one epoch.
        """\
from torch.utils.data import DataLoader, TensorDataset
from torch.utils.data.distributed import DistributedSampler

dataset = TensorDataset(torch.randn(24, 4), torch.randint(3, (24,)))
train_loader = DataLoader(dataset, batch_size=4, sampler=DistributedSampler(dataset, num_replicas=2, rank=0))
for inputs, targets in train_loader:
    optimizer.zero_grad()
    criterion(model(inputs), targets).backward()
    optimizer.step()
""",
        # Another seed in each epoch does as well.
        """\
from torch.utils.data import DataLoader, TensorDataset
from torch.utils.data.distributed import DistributedSampler

dataset = TensorDataset(torch.randn(24, 4), torch.randint(3, (24,)))
for epoch in range(num_epochs):
    sampler = DistributedSampler(dataset, num_replicas=2, rank=0, seed=epoch)
    for inputs, targets in DataLoader(dataset, batch_size=4, sampler=sampler):
        optimizer.zero_grad()
        criterion(model(inputs), targets).backward()
        optimizer.step()
""",
    )

    def explain(self, case: Case) -> str | None:
        return f"`{case.at.text}` never tells `{case.subject}` the epoch: each one brings the same order"

    def advise(self, case: Case) -> str:
        return "call `set_epoch(epoch)` on the sampler at the start of each epoch"
