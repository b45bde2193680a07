"""A gradient scaler steps and is never updated.

## What it does

Finds loops that call `scaler.step(optimizer)` in every iteration, without a `scaler.update()` anywhere in
the loop.

## Why is this bad?

`update()` ends an iteration for a `GradScaler`: it adapts the scale, and lets the next step be taken. A
second `scaler.step(optimizer)` without it raises: "step() has already been called since the last
update()". Scalers that do not raise keep a scale at which every gradient that overflows once overflows for
good, so that all further steps are skipped.

## Known limits

One `update()` per iteration is right for any number of optimizers: after the last of their steps. A scaler
that is handed to code which cannot be read may be updated there, and is left alone.
A run tells it at the second step, which torch refuses.

## References

- [`GradScaler.update`](https://docs.pytorch.org/docs/stable/amp.html#torch.amp.GradScaler.update)
- [Typical mixed precision training](https://docs.pytorch.org/docs/stable/notes/amp_examples.html#typical-mixed-precision-training)
"""

from loopguard.rule import Case, Level, Rule, scaling


class MissingScalerUpdate(Rule):
    code = "LG501"
    level = Level.ERROR
    engines = "SR"
    mistakes = frozenset({scaling.Mistake.NO_UPDATE})

    bad = (
        """\
for inputs, targets in loader:
    optimizer.zero_grad()
    with torch.autocast(device):
        loss = criterion(model(inputs), targets)
    scaler.scale(loss).backward()
    scaler.step(optimizer)  # expect: LG501
""",
        # Once per epoch is too late.
        """\
for epoch in range(num_epochs):
    for inputs, targets in loader:
        optimizer.zero_grad()
        with torch.autocast(device):
            loss = criterion(model(inputs), targets)
        scaler.scale(loss).backward()
        scaler.step(optimizer)  # expect: LG501
    scaler.update()
""",
        # A function that does the rest of an iteration.
        """\
def train_step(model, optimizer, scaler, inputs, targets):
    optimizer.zero_grad(set_to_none=True)
    with torch.autocast(device):
        loss = F.cross_entropy(model(inputs), targets)
    scaler.scale(loss).backward()
    scaler.step(optimizer)  # expect: LG501
    return loss.item()


for inputs, targets in loader:
    train_step(model, optimizer, scaler, inputs, targets)
""",
        # A window.
        """\
class Trainer:
    def __init__(self, model):
        self.model = model
        self.optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        self.scaler = torch.amp.GradScaler(device)

    def fit(self, loader):
        for i, (inputs, targets) in enumerate(loader):
            loss = F.cross_entropy(self.model(inputs), targets) / accumulation_steps
            self.scaler.scale(loss).backward()
            if (i + 1) % accumulation_steps == 0:
                self.scaler.step(self.optimizer)  # expect: LG501
                self.optimizer.zero_grad()


Trainer(model).fit(loader)
""",
    )
    good = (
        """\
for inputs, targets in loader:
    optimizer.zero_grad()
    with torch.autocast(device):
        loss = criterion(model(inputs), targets)
    scaler.scale(loss).backward()
    scaler.step(optimizer)
    scaler.update()
""",
        # One update for two optimizers.
        """\
opt_body = torch.optim.SGD(model[0].parameters(), lr=0.01)
opt_head = torch.optim.SGD(model[-1].parameters(), lr=0.1)
for inputs, targets in loader:
    opt_body.zero_grad()
    opt_head.zero_grad()
    scaler.scale(criterion(model(inputs), targets)).backward()
    scaler.step(opt_body)
    scaler.step(opt_head)
    scaler.update()
""",
        # A scheduler may come between.
        """\
scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.9)
for inputs, targets in loader:
    optimizer.zero_grad()
    scaler.scale(criterion(model(inputs), targets)).backward()
    scaler.step(optimizer)
    scheduler.step()
    scaler.update()
""",
        # A helper finishes the iteration.
        """\
def finish(scaler, optimizer):
    scaler.step(optimizer)
    scaler.update()
    optimizer.zero_grad()


for inputs, targets in loader:
    scaler.scale(criterion(model(inputs), targets)).backward()
    finish(scaler, optimizer)
""",
        # The update may have a new scale to set.
        """\
for i, (inputs, targets) in enumerate(loader):
    scaler.scale(criterion(model(inputs), targets) / accumulation_steps).backward()
    if (i + 1) % accumulation_steps == 0 or i + 1 == len(loader):
        scaler.step(optimizer)
        scaler.update(1024.0)
        optimizer.zero_grad()
""",
        # Without a scaler there is nothing to update.
        """\
def update(loss, optimizer, scaler=None):
    optimizer.zero_grad()
    (loss if scaler is None else scaler.scale(loss)).backward()
    if scaler is None:
        optimizer.step()
    else:
        scaler.step(optimizer)
        scaler.update()


for inputs, targets in loader:
    update(criterion(model(inputs), targets), optimizer)
    update(criterion(model(inputs), targets), optimizer, scaler)
""",
    )

    def explain(self, case: Case) -> str | None:
        return f"`{case.at.text}` steps again and again, and nothing updates the scale of `{case.subject}`"

    def advise(self, case: Case) -> str:
        return f"call `{case.subject}.update()` once per iteration, after the last `{case.at.text}`"
