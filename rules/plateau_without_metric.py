"""A schedule that waits for a plateau is not told the metric.

## What it does

Finds `scheduler.step()` without an argument where the scheduler is a `ReduceLROnPlateau`.

## Why is this bad?

`ReduceLROnPlateau` lowers the learning rate when a metric has stopped improving; without the metric it has
nothing to go by. PyTorch raises a `TypeError`, at the end of the first epoch.

## Known limits

A scheduler whose class depends on a setting, or which cannot be seen, is left alone. A run knows the class.

## References

- [`ReduceLROnPlateau`](https://docs.pytorch.org/docs/stable/generated/torch.optim.lr_scheduler.ReduceLROnPlateau.html)
"""

from loopguard.rule import Case, Level, Rule, schedule


class PlateauWithoutMetric(Rule):
    code = "LG604"
    level = Level.ERROR
    engines = "SR"
    mistakes = frozenset({schedule.Mistake.NO_METRIC})

    bad = (
        """\
scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=3)
for epoch in range(num_epochs):
    for inputs, targets in loader:
        optimizer.zero_grad()
        loss = criterion(model(inputs), targets)
        loss.backward()
        optimizer.step()
    scheduler.step()  # expect: LG604
""",
        # One of two schedules.
        """\
from torch.optim.lr_scheduler import ExponentialLR, ReduceLROnPlateau

sched_d = ExponentialLR(opt_d, gamma=0.9)
sched_g = ReduceLROnPlateau(opt_g, mode="max")
for epoch in range(num_epochs):
    for real, _ in loader:
        opt_d.zero_grad()
        fake = generator(torch.randn_like(real))
        (discriminator(fake.detach()).mean() - discriminator(real).mean()).backward()
        opt_d.step()
        opt_g.zero_grad()
        (-discriminator(fake).mean()).backward()
        opt_g.step()
    sched_d.step()
    sched_g.step()  # expect: LG604
""",
        # In a class.
        """\
class Trainer:
    def __init__(self, model):
        self.model = model
        self.optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        self.plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(self.optimizer)

    def fit(self, loader):
        for inputs, targets in loader:
            self.optimizer.zero_grad()
            F.cross_entropy(self.model(inputs), targets).backward()
            self.optimizer.step()
        self.plateau.step()  # expect: LG604


Trainer(model).fit(loader)
""",
    )
    good = (
        """\
scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=3)
for epoch in range(num_epochs):
    total = 0.0
    for inputs, targets in loader:
        optimizer.zero_grad()
        loss = criterion(model(inputs), targets)
        loss.backward()
        optimizer.step()
        total += loss.item()
    scheduler.step(total / len(loader))
""",
        # By its name.
        """\
scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, mode="max")
for epoch in range(num_epochs):
    for inputs, targets in loader:
        optimizer.zero_grad()
        criterion(model(inputs), targets).backward()
        optimizer.step()
    scheduler.step(metrics=1.0 / (epoch + 1))
""",
        # Other schedules need none.
        """\
scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.9)
for epoch in range(num_epochs):
    for inputs, targets in loader:
        optimizer.zero_grad()
        criterion(model(inputs), targets).backward()
        optimizer.step()
    scheduler.step()
""",
        # Each kind as it needs it.
        """\
for plateau in (True, False):
    if plateau:
        scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer)
    else:
        scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=1)
    for inputs, targets in loader:
        optimizer.zero_grad()
        loss = criterion(model(inputs), targets)
        loss.backward()
        optimizer.step()
    if isinstance(scheduler, torch.optim.lr_scheduler.ReduceLROnPlateau):
        scheduler.step(loss.item())
    else:
        scheduler.step()
""",
    )

    def explain(self, case: Case) -> str | None:
        return f"`{case.at.text}` does not say how the training goes: `ReduceLROnPlateau` needs the metric"

    def advise(self, case: Case) -> str:
        call = case.at.text.partition("(")[0]
        return f"hand it what it is to watch: `{call}(validation_loss)`"
