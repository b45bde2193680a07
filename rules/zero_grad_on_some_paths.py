"""The gradients are cleared on one path of the iteration, and stale on another.

## What it does

Finds loops that clear the optimizer's gradients in some iterations, or before some steps, and not in
others: only under mixed precision, only when something is logged, only behind a `continue`, only when an
exception was caught, or once for two steps.

## Why is this bad?

The loop is right as long as the condition holds, and that is how it was tested. On the other path each
step uses the gradients of earlier iterations as well. The switch that turns the training wrong (a flag, a
log interval) seems to have nothing to do with it.

## Known limits

Conditions are compared as they are written: `if use_amp:` around the backward pass and again around the
clear is one choice, not four paths. A condition that loopguard cannot tell apart from another is taken to
leave both paths open.

It is a warning, since the path may never be taken.

## References

- [`Optimizer.zero_grad`](https://docs.pytorch.org/docs/stable/generated/torch.optim.Optimizer.zero_grad.html)
- [Automatic mixed precision examples](https://docs.pytorch.org/docs/stable/notes/amp_examples.html), with
  the clear in front of both branches
"""

from loopguard.rule import Case, Kind, Level, Reach, Relation, Rule, gradient


class ZeroGradOnSomePaths(Rule):
    code = "LG105"
    level = Level.WARNING
    engines = "SR"
    mistakes = frozenset({gradient.Mistake.STALE_STEP})

    bad = (
        # Only under mixed precision.
        """\
def train(model, loader, optimizer, use_amp=False):
    for inputs, targets in loader:
        loss = F.cross_entropy(model(inputs), targets)
        if use_amp:
            optimizer.zero_grad()
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()
        else:
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), max_norm)
            optimizer.step()  # expect: LG105


train(model, loader, optimizer)
""",
        # Only when something is printed.
        """\
for i, (inputs, targets) in enumerate(loader):
    loss = criterion(model(inputs), targets)
    loss.backward()
    optimizer.step()  # expect: LG105
    if i % 3 == 0:
        print(i, loss.item())
        optimizer.zero_grad()
""",
        # A `continue` jumps over it.
        """\
def train(log_every):
    best = float("inf")
    for i, (inputs, targets) in enumerate(loader):
        loss = criterion(model(inputs), targets)
        loss.backward()
        optimizer.step()  # expect: LG105
        if loss.item() >= best:
            continue
        best = loss.item()
        optimizer.zero_grad()


train(log_every=2)
""",
        # Only when the batch did not fit.
        """\
for inputs, targets in loader:
    try:
        loss = criterion(model(inputs), targets)
        loss.backward()
        optimizer.step()  # expect: LG105
    except torch.OutOfMemoryError:
        print("skipped a batch")
        optimizer.zero_grad()
""",
        # Only in the first epoch.
        """\
class Trainer:
    def __init__(self, model):
        self.model = model
        self.optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    def train_batch(self, epoch, inputs, targets):
        if epoch == 0:
            self.optimizer.zero_grad()
        loss = F.cross_entropy(self.model(inputs), targets)
        loss.backward()
        self.optimizer.step()  # expect: LG105


trainer = Trainer(model)
for epoch in range(num_epochs):
    for inputs, targets in loader:
        trainer.train_batch(epoch, inputs, targets)
""",
        # Once for two steps.
        """\
for real, _ in loader:
    fake = torch.randn_like(real)
    opt_d.zero_grad()
    real_loss = F.softplus(-discriminator(real)).mean()
    real_loss.backward()
    opt_d.step()
    fake_loss = F.softplus(discriminator(fake)).mean()
    fake_loss.backward()
    opt_d.step()  # expect: LG105
""",
    )
    good = (
        """\
def train(model, loader, optimizer, use_amp=False):
    for inputs, targets in loader:
        loss = F.cross_entropy(model(inputs), targets)
        optimizer.zero_grad()
        if use_amp:
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()
        else:
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), max_norm)
            optimizer.step()


train(model, loader, optimizer)
""",
        # One choice, asked three times.
        """\
def train(model, loader, optimizer, use_amp):
    for inputs, targets in loader:
        with torch.autocast(device, enabled=use_amp):
            loss = F.cross_entropy(model(inputs), targets)
        if use_amp:
            scaler.scale(loss).backward()
        else:
            loss.backward()
        if not use_amp:
            optimizer.step()
        else:
            scaler.step(optimizer)
            scaler.update()
        model.zero_grad() if use_amp else optimizer.zero_grad()


train(model, loader, optimizer, True)
train(model, loader, optimizer, False)
""",
        # What is skipped has not been differentiated.
        """\
for inputs, targets in loader:
    loss = criterion(model(inputs), targets)
    if not torch.isfinite(loss):
        print("skipped a batch")
        continue
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
""",
        # Both ways of clearing.
        """\
def step(loss, set_to_none):
    if set_to_none:
        optimizer.zero_grad(set_to_none=True)
    else:
        for p in model.parameters():
            if p.grad is not None:
                p.grad.detach_()
                p.grad.zero_()
    loss.backward()
    optimizer.step()


for i, (inputs, targets) in enumerate(loader):
    step(criterion(model(inputs), targets), set_to_none=i % 2 == 0)
""",
        # A window: the step and the clear share their condition.
        """\
for i, (inputs, targets) in enumerate(loader):
    loss = criterion(model(inputs), targets) / accumulation_steps
    loss.backward()
    update = (i + 1) % accumulation_steps == 0 or i + 1 == len(loader)
    if update:
        nn.utils.clip_grad_norm_(model.parameters(), max_norm)
        optimizer.step()
    if update:
        optimizer.zero_grad()
""",
        # Whatever happens.
        """\
for inputs, targets in loader:
    try:
        loss = criterion(model(inputs), targets)
        loss.backward()
        optimizer.step()
    except torch.OutOfMemoryError:
        print("skipped a batch")
    finally:
        optimizer.zero_grad()
""",
        # Training or validation, by the same function: no step without its clear.
        """\
def run(loader, optimizer=None):
    total = 0.0
    for inputs, targets in loader:
        with torch.set_grad_enabled(optimizer is not None):
            loss = criterion(model(inputs), targets)
        if optimizer is not None:
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        total += loss.item()
    return total


run(loader, optimizer)
run(loader)
""",
    )

    def explain(self, case: Case) -> str | None:
        if not case.has(Kind.CLEAR, Relation.WHOLE, Reach.INSIDE):
            return None
        if path := case.facts.get("path"):
            return (
                f"`{case.at.text}` uses gradients summed over iterations when {path}: "
                f"nothing clears those of `{case.subject}` on that path"
            )
        return (
            f"`{case.at.text}` uses the gradients of an earlier step again: "
            f"nothing clears those of `{case.subject}` between the two"
        )

    def advise(self, case: Case) -> str:
        clear = next(case.events(Kind.CLEAR, Relation.WHOLE, Reach.INSIDE))
        return f"call `{clear.text}` on every path, once for each step"
