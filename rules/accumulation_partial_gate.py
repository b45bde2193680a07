"""A part of the update runs on every batch, outside the gate that holds the rest.

## What it does

Finds accumulation windows whose gate holds some of the update (the step, the clear or the clipping) while
another part runs on every batch: the step itself, the clipping or the scheduler. (Of `scaler.unscale_`,
`unscale-misplaced` tells.)

## Why is this bad?

What belongs together happens at different times.

- A step on every batch makes the window void: it applies partial sums, and, if the clear has stayed
  behind the gate, applies the first batches of a window again and again.
- Clipping on every batch clips partial sums, and weighs the batches of a window by their position in it.
- A schedule that moves on every batch reaches its end k times too early.

## Known limits

Only a gate that holds a part of the update counts; a gate around logging or validation is no window. A
scheduler that is stepped once per epoch, outside the batch loop, is where it belongs, and one that is told
where it is (`scheduler.step(epoch + i / n)`) may move with every batch. A schedule may have been built for the
number of batches: then move it to the number of steps, or ignore the finding.

## References

- [Gradient accumulation](https://docs.pytorch.org/docs/stable/notes/amp_examples.html#gradient-accumulation),
  on unscaling and clipping behind the gate
- [How to adjust the learning rate](https://docs.pytorch.org/docs/stable/optim.html#how-to-adjust-learning-rate)
"""

from loopguard.rule import Case, Kind, Level, Rule, window

_CONSEQUENCES = {
    Kind.CLIP: "it clips sums that are not complete yet",
    Kind.UNSCALE: "it divides the same gradients by the scale more than once",
    Kind.SCHEDULE: "the schedule runs ahead of the steps",
    Kind.STEP: "it applies sums that are not complete yet",
}


class AccumulationPartialGate(Rule):
    code = "LG405"
    level = Level.WARNING
    engines = "S"
    mistakes = frozenset({window.Mistake.PARTIAL_GATE, window.Mistake.STEP_OUTSIDE})

    bad = (
        # The step has stayed outside.
        """\
for i, (inputs, targets) in enumerate(loader):
    loss = criterion(model(inputs), targets) / accumulation_steps
    loss.backward()
    optimizer.step()  # expect: LG405
    if (i + 1) % accumulation_steps == 0:
        optimizer.zero_grad()
""",
        # The gate holds the clipping only.
        """\
scheduler = torch.optim.lr_scheduler.ConstantLR(optimizer)
steps = 0
for epoch in range(num_epochs):
    for inputs, targets in loader:
        loss = criterion(model(inputs), targets) / accumulation_steps
        loss.backward()
        steps += 1
        if steps % accumulation_steps == 0:
            nn.utils.clip_grad_norm_(model.parameters(), max_norm)
            print(epoch, steps)
        optimizer.step()  # expect: LG405
        optimizer.zero_grad()
    scheduler.step()
""",
        # A step behind the gate, and another one for all.
        """\
def train(model, loader, optimizer, iter_size):
    for i, (inputs, targets) in enumerate(loader):
        loss = F.cross_entropy(model(inputs), targets)
        loss.backward()
        if (i + 1) % iter_size == 0:
            if iter_size != 1:
                for group in optimizer.param_groups:
                    for p in group["params"]:
                        p.grad /= iter_size
            optimizer.step()
            optimizer.zero_grad()
        optimizer.step()  # expect: LG405


train(model, loader, optimizer, iter_size=2)
""",
        # The schedule.
        """\
scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=10)
for i, (inputs, targets) in enumerate(loader):
    loss = criterion(model(inputs), targets) / accumulation_steps
    loss.backward()
    if (i + 1) % accumulation_steps == 0:
        optimizer.step()
        optimizer.zero_grad()
    scheduler.step()  # expect: LG405
""",
        # The clipping.
        """\
class Trainer:
    def __init__(self, model, every):
        self.model = model
        self.every = every
        self.optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    def fit(self, loader):
        for i, (inputs, targets) in enumerate(loader):
            loss = F.cross_entropy(self.model(inputs), targets) / self.every
            loss.backward()
            nn.utils.clip_grad_norm_(self.model.parameters(), max_norm)  # expect: LG405
            if (i + 1) % self.every == 0:
                self.optimizer.step()
                self.optimizer.zero_grad()


Trainer(model, every=2).fit(loader)
""",
    )
    good = (
        """\
for i, (inputs, targets) in enumerate(loader):
    loss = criterion(model(inputs), targets) / accumulation_steps
    loss.backward()
    if (i + 1) % accumulation_steps == 0:
        optimizer.step()
        optimizer.zero_grad()
""",
        # All of it.
        """\
scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=10)
for i, (inputs, targets) in enumerate(loader):
    with torch.autocast(device):
        loss = criterion(model(inputs), targets) / accumulation_steps
    scaler.scale(loss).backward()
    if (i + 1) % accumulation_steps == 0 or i + 1 == len(loader):
        scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_(model.parameters(), max_norm)
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad(set_to_none=True)
        scheduler.step()
""",
        # The schedule moves once per epoch.
        """\
scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=1)
for epoch in range(num_epochs):
    for i, (inputs, targets) in enumerate(loader):
        (criterion(model(inputs), targets) / accumulation_steps).backward()
        if (i + 1) % accumulation_steps == 0 or i + 1 == len(loader):
            optimizer.step()
            optimizer.zero_grad()
    scheduler.step()
""",
        # No window: the gate is for the log.
        """\
scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.99)
for i, (inputs, targets) in enumerate(loader):
    optimizer.zero_grad()
    loss = criterion(model(inputs), targets)
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), max_norm)
    optimizer.step()
    scheduler.step()
    if (i + 1) % 2 == 0:
        print(i, loss.item(), scheduler.get_last_lr())
""",
        # The weights of a critic are clipped, not its gradients.
        """\
for i, (real, _) in enumerate(loader):
    opt_d.zero_grad()
    fake = generator(torch.randn_like(real)).detach()
    (discriminator(fake).mean() - discriminator(real).mean()).backward()
    opt_d.step()
    for p in discriminator.parameters():
        p.data.clamp_(-0.01, 0.01)
    if i % 2 == 0:
        opt_g.zero_grad()
        (-discriminator(generator(torch.randn_like(real))).mean()).backward()
        opt_g.step()
""",
        # The norm is measured on every batch, and nothing is changed.
        """\
for i, (inputs, targets) in enumerate(loader):
    (criterion(model(inputs), targets) / accumulation_steps).backward()
    norm = torch.stack([p.grad.norm() for p in model.parameters()]).norm()
    if (i + 1) % accumulation_steps == 0:
        optimizer.step()
        optimizer.zero_grad()
    print(norm.item())
""",
    )

    def explain(self, case: Case) -> str | None:
        why = _CONSEQUENCES.get(case.at.kind, "it acts on sums that are not complete yet")
        return (
            f"`{case.at.text}` runs on every batch, "
            f"and the rest of the update waits for `{case.facts['window']}`: {why}"
        )

    def advise(self, case: Case) -> str:
        return f"move `{case.at.text}` behind the gate `{case.facts['window']}`"
