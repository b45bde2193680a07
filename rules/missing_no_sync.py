"""The ranks exchange gradients after every microbatch of a window.

## What it does

Finds a module in `DistributedDataParallel` whose gradients are accumulated over a window, with a step every few
batches, while all of the backward passes exchange gradients.

## Why is this bad?

The result is right, and the way there is long: each backward pass averages the gradients over all ranks, although only
the sum at the end of the window is used. A window of k batches communicates k times as much as it has to.

## Known limits

Advice: with a fast network or a small model the difference may not show. Whoever uses `no_sync` (or sets
`require_backward_grad_sync`) in the same file is left alone.

## References

- [`DistributedDataParallel.no_sync`](https://docs.pytorch.org/docs/stable/generated/torch.nn.parallel.DistributedDataParallel.html#torch.nn.parallel.DistributedDataParallel.no_sync)
"""

from loopguard.rule import Case, Level, Rule, sampling


class MissingNoSync(Rule):
    code = "LG903"
    level = Level.ADVICE
    engines = "SR"
    mistakes = frozenset({sampling.Mistake.NO_SYNC})

    bad = (
        """\
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
replica = DistributedDataParallel(model)
for i, (inputs, targets) in enumerate(loader):
    loss = criterion(replica(inputs), targets) / accumulation_steps
    loss.backward()  # expect: LG903
    if (i + 1) % accumulation_steps == 0 or i + 1 == len(loader):
        optimizer.step()
        optimizer.zero_grad()
dist.destroy_process_group()
""",
        """\
import torch.distributed as dist
import torch.nn.parallel


def train(net, optimizer, loader, steps):
    net = torch.nn.parallel.DistributedDataParallel(net)
    for epoch in range(num_epochs):
        optimizer.zero_grad()
        for i, (inputs, targets) in enumerate(loader, 1):
            outputs = net(inputs)
            (F.cross_entropy(outputs, targets) / steps).backward()  # expect: LG903
            if i % steps == 0 or i == len(loader):
                optimizer.step()
                optimizer.zero_grad()


dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
train(model, optimizer, loader, accumulation_steps)
dist.destroy_process_group()
""",
    )
    good = (
        """\
import contextlib

import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
replica = DistributedDataParallel(model)
for i, (inputs, targets) in enumerate(loader):
    last = (i + 1) % accumulation_steps == 0 or i + 1 == len(loader)
    with contextlib.nullcontext() if last else replica.no_sync():
        loss = criterion(replica(inputs), targets) / accumulation_steps
        loss.backward()
    if last:
        optimizer.step()
        optimizer.zero_grad()
dist.destroy_process_group()
""",
        # A step for each batch.
        """\
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
replica = DistributedDataParallel(model)
for i, (inputs, targets) in enumerate(loader):
    optimizer.zero_grad()
    criterion(replica(inputs), targets).backward()
    optimizer.step()
    if i % accumulation_steps == 0:
        print(i)
dist.destroy_process_group()
""",
        # There is only one rank.
        """\
for i, (inputs, targets) in enumerate(loader):
    loss = criterion(model(inputs), targets) / accumulation_steps
    loss.backward()
    if (i + 1) % accumulation_steps == 0 or i + 1 == len(loader):
        optimizer.step()
        optimizer.zero_grad()
""",
        # The flag behind `no_sync`, set by hand.
        """\
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
replica = DistributedDataParallel(model)
for i, (inputs, targets) in enumerate(loader):
    last = (i + 1) % accumulation_steps == 0 or i + 1 == len(loader)
    replica.require_backward_grad_sync = last
    loss = criterion(replica(inputs), targets) / accumulation_steps
    loss.backward()
    if last:
        optimizer.step()
        optimizer.zero_grad()
dist.destroy_process_group()
""",
    )

    def explain(self, case: Case) -> str | None:
        window = case.facts.get("window")
        often = f"used when `{window}`" if window else "used once per window"
        return f"`{case.at.text}` exchanges gradients between ranks for every batch, although they are {often}"

    def advise(self, case: Case) -> str:
        return f"run all but the last batch of a window under `with {case.subject}.no_sync():`"
