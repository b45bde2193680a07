"""A learning-rate schedule moves before the optimizer's first step.

## What it does

Finds `scheduler.step()` that comes before `optimizer.step()`: earlier in the same iteration, or at the start
of the epoch whose batches are stepped later.

## Why is this bad?

Building a scheduler has set the first learning rate already; `scheduler.step()` goes on to the next. Since
PyTorch 1.1 it is to be called after the optimizer's step. Called before, the first value is never used, and
the whole schedule is one period ahead: warm-ups begin at their second value, and milestones come one epoch
early. PyTorch warns once.

## Known limits

`scheduler.step(epoch)` says where the schedule is to be, and is left alone, as are schedulers of unknown
classes that may be counted from where they like, and a schedule behind a condition that keeps the first
period out (`if epoch > 0`). A run must see the schedule being built.
Code for PyTorch before 1.1 had it the other way round.

## References

- [How to adjust the learning rate](https://docs.pytorch.org/docs/stable/optim.html#how-to-adjust-learning-rate)
"""

from loopguard.rule import Case, Kind, Level, Rule, schedule


class SchedulerBeforeOptimizer(Rule):
    code = "LG601"
    level = Level.ERROR
    engines = "SR"
    mistakes = frozenset({schedule.Mistake.BEFORE_OPTIMIZER})

    bad = (
        # At the start of the epoch.
        """\
scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.5)
for epoch in range(num_epochs):
    scheduler.step()  # expect: LG601
    for inputs, targets in loader:
        optimizer.zero_grad()
        criterion(model(inputs), targets).backward()
        optimizer.step()
""",
        # Right before the step.
        """\
scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1.0, (step + 1) / 4))
for inputs, targets in loader:
    optimizer.zero_grad()
    criterion(model(inputs), targets).backward()
    scheduler.step()  # expect: LG601
    optimizer.step()
""",
        # A function trains the epoch.
        """\
from torch.optim import lr_scheduler


def train_epoch(model, loader, optimizer):
    for inputs, targets in loader:
        loss = F.cross_entropy(model(inputs), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def main():
    net = nn.Linear(4, 3)
    sgd = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    scheduler = lr_scheduler.MultiStepLR(sgd, milestones=[1, 2])
    for epoch in range(num_epochs):
        scheduler.step()  # expect: LG601
        train_epoch(net, loader, sgd)


main()
""",
        # Before the scaler's step.
        """\
class Trainer:
    def __init__(self, model):
        self.model = model
        self.optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
        self.scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(self.optimizer, T_max=10)

    def fit(self, loader):
        for inputs, targets in loader:
            self.optimizer.zero_grad()
            scaler.scale(F.cross_entropy(self.model(inputs), targets)).backward()
            self.scheduler.step()  # expect: LG601
            scaler.step(self.optimizer)
            scaler.update()


Trainer(model).fit(loader)
""",
        # Two schedules, one of them early.
        """\
sched_d = torch.optim.lr_scheduler.ExponentialLR(opt_d, gamma=0.9)
sched_g = torch.optim.lr_scheduler.ExponentialLR(opt_g, gamma=0.9)
for real, _ in loader:
    opt_d.zero_grad()
    fake = generator(torch.randn_like(real))
    (discriminator(fake.detach()).mean() - discriminator(real).mean()).backward()
    opt_d.step()
    sched_d.step()
    opt_g.zero_grad()
    (-discriminator(fake).mean()).backward()
    sched_g.step()  # expect: LG601
    opt_g.step()
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
        # After each step.
        """\
scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1.0, (step + 1) / 4))
for inputs, targets in loader:
    optimizer.zero_grad()
    scaler.scale(criterion(model(inputs), targets)).backward()
    scaler.step(optimizer)
    scheduler.step()
    scaler.update()
""",
        # Not in the first epoch.
        """\
scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.9)
for epoch in range(num_epochs):
    if epoch > 0:
        scheduler.step()
    for inputs, targets in loader:
        optimizer.zero_grad()
        criterion(model(inputs), targets).backward()
        optimizer.step()
""",
        # Told where it is to be: warm restarts, in fractions of an epoch.
        """\
scheduler = torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(optimizer, T_0=1)
for epoch in range(num_epochs):
    for i, (inputs, targets) in enumerate(loader):
        optimizer.zero_grad()
        criterion(model(inputs), targets).backward()
        scheduler.step(epoch + i / len(loader))
        optimizer.step()
""",
        # The schedule of the discriminator, after its own step and before the generator's.
        """\
sched_d = torch.optim.lr_scheduler.ExponentialLR(opt_d, gamma=0.9)
for real, _ in loader:
    opt_d.zero_grad()
    fake = generator(torch.randn_like(real))
    (discriminator(fake.detach()).mean() - discriminator(real).mean()).backward()
    opt_d.step()
    sched_d.step()
    opt_g.zero_grad()
    (-discriminator(fake).mean()).backward()
    opt_g.step()
""",
        # A schedule of one's own begins where it likes.
        """\
class WarmUp:
    def __init__(self, optimizer, steps):
        self.optimizer = optimizer
        self.steps = steps
        self.count = 0

    def step(self):
        self.count += 1
        for group in self.optimizer.param_groups:
            group["lr"] = 0.1 * min(1.0, self.count / self.steps)


warm_up = WarmUp(optimizer, steps=3)
for inputs, targets in loader:
    optimizer.zero_grad()
    criterion(model(inputs), targets).backward()
    warm_up.step()
    optimizer.step()
""",
        # A step before the loop.
        """\
scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.9)


def train_epoch():
    for inputs, targets in loader:
        optimizer.zero_grad()
        criterion(model(inputs), targets).backward()
        optimizer.step()


train_epoch()
for epoch in range(num_epochs):
    scheduler.step()
    train_epoch()
""",
    )

    def explain(self, case: Case) -> str | None:
        step = next((moment.event.text for moment in case.trail if moment.event.kind is Kind.STEP), "")
        before = f"`{step}`" if step else "the optimizer's first step"
        return f"`{case.at.text}` moves the schedule on before {before}: its first learning rate is never used"

    def advise(self, case: Case) -> str:
        return f"move `{case.at.text}` behind the optimizer's step, to the end of its period"
