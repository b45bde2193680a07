"""The gradients are cleared between `backward()` and `step()`.

## What it does

Finds a clear of an optimizer's gradients that comes after the backward pass and before the step that
should apply them.

## Why is this bad?

The step sees no gradients. With `zero_grad()` as it is today (`set_to_none=True`) the optimizer skips
every parameter and the model never changes. With gradients that are set to zero instead, momentum, weight
decay and the running averages of Adam still move the weights, only not towards a smaller loss; that looks
like training that does not converge.

The order that works is clear, backward, step. The forward pass may come before or after the clear.

## Known limits

A clear on a path that does not step (a batch that is skipped because its loss is NaN) is right and not
reported, and so is a clear of other parameters. Gradients that are read, copied or assigned by hand in
between are left to their author.

## References

- [Taking an optimization step](https://docs.pytorch.org/docs/stable/optim.html#taking-an-optimization-step)
- [`Optimizer.zero_grad`](https://docs.pytorch.org/docs/stable/generated/torch.optim.Optimizer.zero_grad.html),
  on what a step does with gradients of None and of zero
"""

from loopguard.rule import Case, Kind, Level, Relation, Rule, gradient


class ZeroGradBeforeStep(Rule):
    code = "LG103"
    level = Level.ERROR
    engines = "SR"
    mistakes = frozenset({gradient.Mistake.EMPTY_STEP})

    bad = (
        """\
for inputs, targets in loader:
    loss = criterion(model(inputs), targets)
    loss.backward()
    optimizer.zero_grad()  # expect: LG103
    optimizer.step()
""",
        # By the model, in a helper.
        """\
def train(model, loader, optimizer):
    model.train()
    for inputs, targets in loader:
        loss = F.cross_entropy(model(inputs), targets)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), max_norm)
        model.zero_grad()  # expect: LG103
        optimizer.step()


train(model, loader, optimizer)
""",
        # With a scaler, and zeros in place of None.
        """\
for inputs, targets in loader:
    with torch.autocast(device):
        loss = criterion(model(inputs), targets)
    scaler.scale(loss).backward()
    optimizer.zero_grad(set_to_none=False)  # expect: LG103
    scaler.step(optimizer)
    scaler.update()
""",
        # In the method that updates.
        """\
class Learner:
    def __init__(self, model):
        self.model = model
        self.optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)

    def update(self):
        self.optimizer.zero_grad()  # expect: LG103
        self.optimizer.step()

    def learn(self, loader):
        for inputs, targets in loader:
            loss = F.cross_entropy(self.model(inputs), targets)
            loss.backward()
            self.update()


Learner(model).learn(loader)
""",
        # One of two networks.
        """\
for real, _ in loader:
    fake = generator(torch.randn_like(real))
    opt_d.zero_grad()
    d_loss = F.softplus(-discriminator(real)).mean() + F.softplus(discriminator(fake.detach())).mean()
    d_loss.backward()
    opt_d.step()

    g_loss = F.softplus(-discriminator(fake)).mean()
    g_loss.backward()
    opt_g.zero_grad()  # expect: LG103
    opt_g.step()
""",
    )
    good = (
        """\
for inputs, targets in loader:
    loss = criterion(model(inputs), targets)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
""",
        # Behind the step.
        """\
for inputs, targets in loader:
    criterion(model(inputs), targets).backward()
    nn.utils.clip_grad_value_(model.parameters(), 0.5)
    optimizer.step()
    optimizer.zero_grad()
""",
        # With a scaler: between the forward and the backward pass.
        """\
for inputs, targets in loader:
    with torch.autocast(device):
        loss = criterion(model(inputs), targets)
        loss += 0.1 * model(inputs).pow(2).mean()
    optimizer.zero_grad(set_to_none=True)
    scaler.scale(loss).backward()
    scaler.unscale_(optimizer)
    nn.utils.clip_grad_norm_(model.parameters(), max_norm)
    scaler.step(optimizer)
    scaler.update()
""",
        # The other network is cleared before this one's step.
        """\
for real, _ in loader:
    fake = generator(torch.randn_like(real))
    opt_g.zero_grad()
    (-discriminator(fake).mean()).backward()
    opt_d.zero_grad()
    opt_g.step()
    (discriminator(fake.detach()).mean() - discriminator(real).mean()).backward()
    opt_d.step()
""",
        # Either the step or the clear.
        """\
for inputs, targets in loader:
    optimizer.zero_grad()
    loss = criterion(model(inputs), targets)
    loss.backward()
    norm = nn.utils.clip_grad_norm_(model.parameters(), max_norm)
    if norm.isfinite():
        optimizer.step()
    else:
        optimizer.zero_grad()
""",
        # Gradients of each example are kept, cleared, clipped one by one and put back.
        """\
for inputs, targets in loader:
    kept = [torch.zeros_like(p) for p in model.parameters()]
    for x, y in zip(inputs, targets):
        criterion(model(x[None]), y[None]).backward()
        nn.utils.clip_grad_norm_(model.parameters(), max_norm)
        for total, p in zip(kept, model.parameters()):
            total += p.grad / len(inputs)
        model.zero_grad()
    for total, p in zip(kept, model.parameters()):
        p.grad = total
    optimizer.step()
    optimizer.zero_grad()
""",
        # The first backward pass is a warm-up; its gradients are not wanted.
        """\
inputs, targets = loader[0]
criterion(model(inputs), targets).backward()
optimizer.zero_grad()
for inputs, targets in loader:
    criterion(model(inputs), targets).backward()
    optimizer.step()
    optimizer.zero_grad()
""",
    )

    def explain(self, case: Case) -> str | None:
        if case.facts.get("order") != "cleared after backward":
            return None
        return (
            f"`{case.at.text}` comes between `backward()` and the step of `{case.subject}`: the step sees no gradients"
        )

    def advise(self, case: Case) -> str:
        step = next((event.text for event in case.events(Kind.STEP, Relation.WHOLE)), f"{case.subject}.step()")
        return f"move `{case.at.text}` before `backward()`, or behind `{step}`"
