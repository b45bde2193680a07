"""A learning-rate schedule is built and never moves.

## What it does

Finds schedulers of `torch.optim.lr_scheduler` whose optimizer steps in a loop, while the scheduler is neither
stepped nor handed to anything else.

## Why is this bad?

A scheduler changes nothing by being there: every value after the first needs a `step()`. The learning rate
stays what it was at the beginning (for a warm-up, a tiny one), and the schedule of the paper was not the one
that was run.

## Known limits

A scheduler that is returned, stored in something else, or handed to a function or another schedule may be
stepped there, and is left alone. So is one that is an attribute of an object.

## References

- [How to adjust the learning rate](https://docs.pytorch.org/docs/stable/optim.html#how-to-adjust-learning-rate)
"""

from loopguard.rule import Case, Level, Rule, schedule


class MissingSchedulerStep(Rule):
    code = "LG602"
    level = Level.WARNING
    engines = "SR"
    mistakes = frozenset({schedule.Mistake.NEVER_STEPPED})

    bad = (
        """\
scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.5)  # expect: LG602
for epoch in range(num_epochs):
    for inputs, targets in loader:
        optimizer.zero_grad()
        criterion(model(inputs), targets).backward()
        optimizer.step()
""",
        # Its value is written down, and is always the same.
        """\
from torch.optim.lr_scheduler import CosineAnnealingLR


def main():
    net = nn.Linear(4, 3)
    adam = torch.optim.Adam(net.parameters(), lr=1e-3)
    schedule = CosineAnnealingLR(adam, T_max=num_epochs)  # expect: LG602
    for epoch in range(num_epochs):
        for inputs, targets in loader:
            adam.zero_grad()
            F.cross_entropy(net(inputs), targets).backward()
            adam.step()
        print(epoch, schedule.get_last_lr())


main()
""",
        # One of two.
        """\
sched_g = torch.optim.lr_scheduler.ExponentialLR(opt_g, gamma=0.9)
sched_d = torch.optim.lr_scheduler.ExponentialLR(opt_d, gamma=0.9)  # expect: LG602
for epoch in range(num_epochs):
    for real, _ in loader:
        opt_d.zero_grad()
        fake = generator(torch.randn_like(real))
        (discriminator(fake.detach()).mean() - discriminator(real).mean()).backward()
        opt_d.step()
        opt_g.zero_grad()
        (-discriminator(fake).mean()).backward()
        opt_g.step()
    sched_g.step()
""",
    )
    good = (
        """\
scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.5)
for epoch in range(num_epochs):
    for inputs, targets in loader:
        optimizer.zero_grad()
        criterion(model(inputs), targets).backward()
        optimizer.step()
    scheduler.step()
""",
        # A function steps it.
        """\
def end_of_epoch(schedulers):
    for scheduler in schedulers:
        scheduler.step()


decay = torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.9)
for epoch in range(num_epochs):
    for inputs, targets in loader:
        optimizer.zero_grad()
        criterion(model(inputs), targets).backward()
        optimizer.step()
    end_of_epoch([decay])
""",
        # Parts of one schedule: only the whole is stepped.
        """\
from torch.optim.lr_scheduler import ConstantLR, LinearLR, SequentialLR

warm_up = LinearLR(optimizer, total_iters=2)
constant = ConstantLR(optimizer, factor=1.0)
scheduler = SequentialLR(optimizer, [warm_up, constant], milestones=[2])
for inputs, targets in loader:
    optimizer.zero_grad()
    criterion(model(inputs), targets).backward()
    optimizer.step()
    scheduler.step()
""",
        # An object keeps it and steps it.
        """\
class Trainer:
    def __init__(self, model):
        self.model = model
        self.optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        self.scheduler = torch.optim.lr_scheduler.ExponentialLR(self.optimizer, gamma=0.9)

    def fit(self, loader):
        for inputs, targets in loader:
            self.optimizer.zero_grad()
            F.cross_entropy(self.model(inputs), targets).backward()
            self.optimizer.step()
        self.scheduler.step()


Trainer(model).fit(loader)
""",
        # A choice of schedules.
        """\
kind = "step"
if kind == "step":
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=1)
else:
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.9)
for epoch in range(num_epochs):
    for inputs, targets in loader:
        optimizer.zero_grad()
        criterion(model(inputs), targets).backward()
        optimizer.step()
    scheduler.step()
""",
    )

    def explain(self, case: Case) -> str | None:
        return f"`{case.subject}` is built and never stepped: the learning rate stays where it begins"

    def advise(self, case: Case) -> str:
        return f"call `{case.subject}.step()` after the optimizer's steps of each period, or remove it"
