"""A schedule that counts batches moves once per epoch, or one that counts epochs moves with every batch.

## What it does

Finds `OneCycleLR` and `CyclicLR` that were given a number of batches and are stepped once per epoch, and
`StepLR`, `MultiStepLR` and `CosineAnnealingLR` that were given a number of epochs and are stepped in the loop
over the batches.

## Why is this bad?

The schedule runs at the wrong speed, by a factor of the number of batches. A one-cycle schedule that moves once
per epoch never leaves its warm-up; a decay that is meant for epoch 30 comes at batch 30, and after one epoch
the learning rate is zero.

## Known limits

What a number counts is read from how it is written: `steps_per_epoch=len(loader)`, `T_max=num_epochs`,
`milestones=[30, 60, 90]`. Where that cannot be told, nothing is said.

## References

- [`OneCycleLR`](https://docs.pytorch.org/docs/stable/generated/torch.optim.lr_scheduler.OneCycleLR.html): "the
  step function should be called after a batch has been used for training"
- [`CosineAnnealingLR`](https://docs.pytorch.org/docs/stable/generated/torch.optim.lr_scheduler.CosineAnnealingLR.html)
"""

from loopguard.rule import Case, Level, Rule, schedule


class SchedulerWrongPeriod(Rule):
    code = "LG603"
    level = Level.WARNING
    engines = "S"
    mistakes = frozenset({schedule.Mistake.PER_EPOCH, schedule.Mistake.PER_BATCH})

    bad = (
        # Counted in batches, stepped per epoch.
        """\
scheduler = torch.optim.lr_scheduler.OneCycleLR(
    optimizer, max_lr=0.1, epochs=num_epochs, steps_per_epoch=len(loader)
)
for epoch in range(num_epochs):
    for inputs, targets in loader:
        optimizer.zero_grad()
        criterion(model(inputs), targets).backward()
        optimizer.step()
    scheduler.step()  # expect: LG603
""",
        # Counted in epochs, stepped per batch.
        """\
scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=num_epochs)
for epoch in range(num_epochs):
    for inputs, targets in loader:
        optimizer.zero_grad()
        criterion(model(inputs), targets).backward()
        optimizer.step()
        scheduler.step()  # expect: LG603
""",
        # Milestones are epochs.
        """\
class Trainer:
    def __init__(self, model):
        self.model = model
        self.optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        self.scheduler = torch.optim.lr_scheduler.MultiStepLR(self.optimizer, milestones=[30, 60, 90])

    def fit(self, loader):
        for epoch in range(num_epochs):
            for inputs, targets in loader:
                self.optimizer.zero_grad()
                F.cross_entropy(self.model(inputs), targets).backward()
                self.optimizer.step()
                self.scheduler.step()  # expect: LG603


Trainer(model).fit(loader)
""",
        # A function trains the epoch.
        """\
def train_epoch(model, loader, optimizer):
    for inputs, targets in loader:
        optimizer.zero_grad()
        F.cross_entropy(model(inputs), targets).backward()
        optimizer.step()


cycle = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=num_epochs * len(loader))
for epoch in range(num_epochs):
    train_epoch(model, loader, optimizer)
    cycle.step()  # expect: LG603
""",
    )
    good = (
        """\
scheduler = torch.optim.lr_scheduler.OneCycleLR(
    optimizer, max_lr=0.1, epochs=num_epochs, steps_per_epoch=len(loader)
)
for epoch in range(num_epochs):
    for inputs, targets in loader:
        optimizer.zero_grad()
        criterion(model(inputs), targets).backward()
        optimizer.step()
        scheduler.step()
""",
        # A cycle of epochs, on purpose.
        """\
scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.1, total_steps=num_epochs)
for epoch in range(num_epochs):
    for inputs, targets in loader:
        optimizer.zero_grad()
        criterion(model(inputs), targets).backward()
        optimizer.step()
    scheduler.step()
""",
        # As many batches as there are.
        """\
scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=num_epochs * len(loader))
for epoch in range(num_epochs):
    for inputs, targets in loader:
        optimizer.zero_grad()
        criterion(model(inputs), targets).backward()
        optimizer.step()
        scheduler.step()
""",
        # Epochs for epochs.
        """\
scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, milestones=[30, 60, 90])
for epoch in range(num_epochs):
    for inputs, targets in loader:
        optimizer.zero_grad()
        criterion(model(inputs), targets).backward()
        optimizer.step()
    scheduler.step()
""",
        # With the last batch of an epoch.
        """\
scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=30)
for epoch in range(num_epochs):
    for i, (inputs, targets) in enumerate(loader):
        optimizer.zero_grad()
        criterion(model(inputs), targets).backward()
        optimizer.step()
        if i + 1 == len(loader):
            scheduler.step()
""",
    )

    def explain(self, case: Case) -> str | None:
        kind, period = case.facts["class"], case.facts.get("period", "")
        told = f" (`{period}`)" if period else ""
        if case.mistake is schedule.Mistake.PER_EPOCH:
            return f"`{case.at.text}` moves a `{kind}` that counts batches{told} once per epoch"
        return f"`{case.at.text}` moves a `{kind}` that counts epochs{told} with every batch"

    def advise(self, case: Case) -> str:
        if case.mistake is schedule.Mistake.PER_EPOCH:
            return f"call `{case.at.text}` after every `optimizer.step()`, in the loop over the batches"
        return f"call `{case.at.text}` once per epoch, after the loop over the batches"
