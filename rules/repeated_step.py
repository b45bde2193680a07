"""The optimizer steps twice on the same gradients.

## What it does

Finds a second step of an optimizer with neither a backward pass nor a clear since the first:
`scaler.step(optimizer)` followed by `optimizer.step()`, a helper that steps and a caller that steps
again, a loop of steps behind one backward pass.

## Why is this bad?

The same gradient is applied again at weights it was not computed for. The learning rate is in effect
doubled, momentum and the averages of Adam count the batch twice, and under mixed precision the second
step goes around the scaler's check for infinities.

## Known limits

Optimizers that take two steps by design (sharpness-aware minimisation, extragradient methods) have
methods of their own for it and are left alone. Objects that have a `step()` and are not optimizers, such
as schedulers, moving averages, preconditioners and environments, do not count.

## References

- [`Optimizer.step`](https://docs.pytorch.org/docs/stable/generated/torch.optim.Optimizer.step.html)
- [Gradient scaling](https://docs.pytorch.org/docs/stable/amp.html#gradient-scaling): `GradScaler.step`
  calls `optimizer.step()` itself
"""

from loopguard.rule import Case, Kind, Level, Relation, Rule, gradient


class RepeatedStep(Rule):
    code = "LG204"
    level = Level.ERROR
    engines = "SR"
    mistakes = frozenset({gradient.Mistake.REPEATED_STEP})

    bad = (
        # `scaler.step` has already stepped.
        """\
for inputs, targets in loader:
    optimizer.zero_grad()
    with torch.autocast(device):
        loss = criterion(model(inputs), targets)
    scaler.scale(loss).backward()
    scaler.step(optimizer)
    scaler.update()
    optimizer.step()  # expect: LG204
""",
        # The helper steps, and so does its caller.
        """\
def train_step(model, optimizer, inputs, targets):
    optimizer.zero_grad()
    loss = F.cross_entropy(model(inputs), targets)
    loss.backward()
    optimizer.step()
    return loss.item()


for inputs, targets in loader:
    print(train_step(model, optimizer, inputs, targets))
    optimizer.step()  # expect: LG204
""",
        # The same line, twice.
        """\
for epoch in range(num_epochs):
    for inputs, targets in loader:
        optimizer.zero_grad()
        loss = criterion(model(inputs), targets)
        loss.backward()
        optimizer.step()
        print(loss.item())
        optimizer.step()  # expect: LG204
""",
        # A branch steps, and then everybody does.
        """\
class Trainer:
    def __init__(self, model, use_amp):
        self.model = model
        self.use_amp = use_amp
        self.optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    def update(self, loss):
        self.optimizer.zero_grad()
        if self.use_amp:
            scaler.scale(loss).backward()
            scaler.step(self.optimizer)
            scaler.update()
        else:
            loss.backward()
        self.optimizer.step()  # expect: LG204


trainer = Trainer(model, use_amp=True)
for inputs, targets in loader:
    trainer.update(criterion(model(inputs), targets))
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
        # How long does a step take?
        """\
criterion(model(loader[0][0]), loader[0][1]).backward()
start = torch.get_rng_state()
for _ in range(20):
    optimizer.step()
""",
        # One or the other.
        """\
def update(loss, optimizer, scaler=None):
    optimizer.zero_grad()
    if scaler is None:
        loss.backward()
        optimizer.step()
        return
    scaler.scale(loss).backward()
    scaler.step(optimizer)
    scaler.update()


for inputs, targets in loader:
    update(criterion(model(inputs), targets), optimizer, scaler)
    update(criterion(model(inputs), targets), optimizer)
""",
        # Each step has its own backward pass.
        """\
for inputs, targets in loader:
    for x, y in zip(inputs.chunk(2), targets.chunk(2)):
        optimizer.zero_grad()
        criterion(model(x), y).backward()
        optimizer.step()
""",
        # Two optimizers, each for its own parameters.
        """\
opt_body = torch.optim.SGD(model[0].parameters(), lr=0.01)
opt_head = torch.optim.SGD(model[-1].parameters(), lr=0.1)
for inputs, targets in loader:
    model.zero_grad()
    criterion(model(inputs), targets).backward()
    opt_body.step()
    opt_head.step()
""",
        # Not everything that steps is an optimizer.
        """\
class Average:
    def __init__(self, net):
        self.mean = [p.detach().clone() for p in net.parameters()]
        self.net = net

    def step(self):
        for mean, p in zip(self.mean, self.net.parameters()):
            mean.lerp_(p.detach(), 0.1)


average = Average(model)
scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.9)
for inputs, targets in loader:
    optimizer.zero_grad()
    criterion(model(inputs), targets).backward()
    optimizer.step()
    scheduler.step()
    average.step()
    average.step()
""",
        # Two steps by design.
        """\
class SAM(torch.optim.Optimizer):
    def __init__(self, params, base, rho=0.05, **kwargs):
        super().__init__(params, dict(rho=rho, **kwargs))
        self.base = base(self.param_groups, **kwargs)

    @torch.no_grad()
    def first_step(self, zero_grad=False):
        for group in self.param_groups:
            for p in group["params"]:
                self.state[p]["moved"] = group["rho"] * p.grad / (p.grad.norm() + 1e-12)
                p.add_(self.state[p]["moved"])
        if zero_grad:
            self.zero_grad()

    @torch.no_grad()
    def second_step(self, zero_grad=False):
        for group in self.param_groups:
            for p in group["params"]:
                p.sub_(self.state[p]["moved"])
        self.base.step()
        if zero_grad:
            self.zero_grad()


sam = SAM(model.parameters(), torch.optim.SGD, lr=0.1)
for inputs, targets in loader:
    criterion(model(inputs), targets).backward()
    sam.first_step(zero_grad=True)
    criterion(model(inputs), targets).backward()
    sam.second_step(zero_grad=True)
""",
    )

    def explain(self, case: Case) -> str | None:
        first = next((event.text for event in case.events(Kind.STEP, Relation.WHOLE) if event != case.at), None)
        if first is None or first == case.at.text:
            return f"`{case.at.text}` steps again on the same gradients: they are applied twice"
        return f"`{case.at.text}` steps again on the gradients that `{first}` has applied already"

    def advise(self, case: Case) -> str:
        return f"step once for each `backward()`: remove `{case.at.text}`, or the step before it"
