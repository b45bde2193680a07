"""Ranks that should train the same model have parted.

## What it does

Finds, in a run, ranks whose parameters differ after the same number of optimizer steps although
`DistributedDataParallel` holds them, and ranks that have stepped such parameters a different number of times.

## Why is this bad?

Data parallelism makes the ranks equal once, when the module is wrapped. From then on nothing compares them: they stay
equal only as long as every gradient is averaged by the wrapper and every rank makes the same step. A forward pass
through `model.module`, a module whose parameters were replaced or moved to another type or device after it was
wrapped, a step or a clipping norm that depends on the rank: each of these goes unnoticed, and lets every rank train a
model of its own on its part of the data. What is saved in the end is the model of one of them.

## Known limits

Only a run of several ranks shows it, after the second step of an optimizer or later, and only for what
`DistributedDataParallel` wraps. Buffers may differ. Nothing is said of ranks on different hardware, which round
differently, or where a communication hook of your own takes the place of the averaging. Each rank is compared with
the first one of its group. Local training on purpose, for many steps under `no_sync()`, is reported.

## References

- [How DistributedDataParallel keeps ranks equal](https://docs.pytorch.org/docs/stable/notes/ddp.html#internal-design)
- [`DistributedDataParallel`](https://docs.pytorch.org/docs/stable/generated/torch.nn.parallel.DistributedDataParallel.html),
  on parameters that are replaced after the wrapping
"""

from loopguard.rule import Case, Level, Rule, ranks


class RanksDiverge(Rule):
    code = "LG902"
    level = Level.ERROR
    engines = "R"
    mistakes = frozenset(ranks.Mistake)

    bad = (
        # The forward pass goes past the wrapper, so that nobody averages the gradients.
        """\
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

dist.init_process_group("gloo")
replica = DistributedDataParallel(model)
for inputs, targets in loader:
    optimizer.zero_grad()
    criterion(replica.module(inputs), targets).backward()
    optimizer.step()  # expect: LG902
dist.destroy_process_group()
""",
        # Moved to another type and back, the parameters have lost the hooks of the wrapper.
        """\
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel


def train(replica, optimizer, loader):
    for epoch in range(num_epochs):
        for inputs, targets in loader:
            loss = F.cross_entropy(replica(inputs), targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()  # expect: LG902


dist.init_process_group("gloo")
replica = DistributedDataParallel(model)
replica.double()
replica.float()
train(replica, optimizer, loader)
dist.destroy_process_group()
""",
        # Each rank clips a part of the parameters of its own.
        """\
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

dist.init_process_group("gloo")
replica = DistributedDataParallel(model)
mine = list(model.parameters())[2 * dist.get_rank() :]
for inputs, targets in loader:
    optimizer.zero_grad()
    criterion(replica(inputs), targets).backward()
    nn.utils.clip_grad_norm_(mine, max_norm=1e-3)
    optimizer.step()  # expect: LG902
dist.destroy_process_group()
""",
    )
    good = (
        """\
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

dist.init_process_group("gloo")
replica = DistributedDataParallel(model)
for inputs, targets in loader:
    optimizer.zero_grad()
    criterion(replica(inputs), targets).backward()
    optimizer.step()
dist.destroy_process_group()
""",
        # Wrapped when it has the type that it is trained in.
        """\
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

dist.init_process_group("gloo")
model.double()
replica = DistributedDataParallel(model)
for inputs, targets in loader:
    optimizer.zero_grad()
    criterion(replica(inputs.double()), targets).backward()
    optimizer.step()
dist.destroy_process_group()
""",
        # Two batches are summed on each rank before the ranks are averaged.
        """\
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

dist.init_process_group("gloo")
replica = DistributedDataParallel(model)
for (first, first_targets), (second, second_targets) in zip(loader[::2], loader[1::2]):
    optimizer.zero_grad()
    with replica.no_sync():
        (criterion(replica(first), first_targets) / 2).backward()
    (criterion(replica(second), second_targets) / 2).backward()
    optimizer.step()
dist.destroy_process_group()
""",
        # Ranks that have nothing in common may differ: each trains a model of its own.
        """\
import torch.distributed as dist

dist.init_process_group("gloo")
for inputs, targets in loader:
    optimizer.zero_grad()
    criterion(model(inputs), targets).backward()
    optimizer.step()
dist.destroy_process_group()
""",
    )

    def explain(self, case: Case) -> str | None:
        if case.mistake is ranks.Mistake.STEPS_DIFFER:
            return f"ranks {case.facts['ranks']} have called `{case.at.text}` a different number of times"
        first, count = case.facts["first"], int(case.facts["count"])
        these = f"`{first}`" if count == 1 else f"`{first}` and {count - 1} more"
        return (
            f"after `{case.at.text}` ranks {case.facts['ranks']} hold different values in parameters "
            f"that should be equal: {these}"
        )

    def advise(self, case: Case) -> str:
        if case.mistake is ranks.Mistake.STEPS_DIFFER:
            return f"let every rank step `{case.subject}` in the same iterations"
        return "call the module that `DistributedDataParallel` has returned, and let every rank make the same step"
