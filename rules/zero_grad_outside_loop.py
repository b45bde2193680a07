"""The gradients are cleared outside the loop that steps, not once per step.

## What it does

Finds loops that call `backward()` and `step()` in every iteration while the only clear of the optimizer's
gradients lies before the loop, after it, or in an outer loop: once per epoch instead of once per batch,
once per call instead of once per inner update.

## Why is this bad?

Only the first step after the clear uses the gradients of its own batch. Each later one uses the sum of
all batches since then. The first batches of an epoch train as they should and the last ones with a sum of
hundreds, so the loss looks healthy after every clear and then drifts away.

## Known limits

A loop that only accumulates, with one step behind it, is right and is not reported. So is a loop that is
known to run once, or that is left after its first step.

Where the clear lies in the caller of a function that holds the loop, loopguard sees it if it can follow
the call, and otherwise reports `missing-zero-grad`.

## References

- [`Optimizer.zero_grad`](https://docs.pytorch.org/docs/stable/generated/torch.optim.Optimizer.zero_grad.html)
- [Taking an optimization step](https://docs.pytorch.org/docs/stable/optim.html#taking-an-optimization-step)
"""

from loopguard.rule import Case, Kind, Level, Reach, Relation, Rule, gradient


class ZeroGradOutsideLoop(Rule):
    code = "LG102"
    level = Level.ERROR
    engines = "SR"
    mistakes = frozenset({gradient.Mistake.STALE_STEP})

    bad = (
        """\
for epoch in range(num_epochs):
    optimizer.zero_grad()
    for inputs, targets in loader:
        loss = criterion(model(inputs), targets)
        loss.backward()
        optimizer.step()  # expect: LG102
""",
        # A helper that clears when it is entered.
        """\
def train(net, loader, optimizer, criterion):
    net.train()
    optimizer.zero_grad()

    correct, total, train_loss = 0, 0, 0.0
    for i, data in enumerate(loader, 0):
        inputs, labels = data
        outputs = net(inputs.to(device))
        loss = criterion(outputs, labels.to(device))
        loss.backward()
        optimizer.step()  # expect: LG102

        train_loss += loss.item()
        correct += (outputs.argmax(1) == labels).sum().item()
        total += labels.size(0)
    return train_loss / len(loader), correct / total


for epoch in range(num_epochs):
    print(train(model, loader, optimizer, criterion))
""",
        # The discriminator is trained several times per batch and cleared once.
        """\
def train_step(real, d_steps=2):
    opt_g.zero_grad()
    opt_d.zero_grad()
    for _ in range(d_steps):
        fake = generator(torch.randn_like(real)).detach()
        d_loss = F.softplus(-discriminator(real)).mean() + F.softplus(discriminator(fake)).mean()
        d_loss.backward()
        opt_d.step()  # expect: LG102

    opt_g.zero_grad()
    g_loss = F.softplus(-discriminator(generator(torch.randn_like(real)))).mean()
    g_loss.backward()
    opt_g.step()


for real, _ in loader:
    train_step(real)
""",
        # Once before all training.
        """\
steps = 0
optimizer.zero_grad()
while steps < 8:
    for inputs, targets in loader:
        with torch.autocast(device):
            loss = criterion(model(inputs), targets)
        scaler.scale(loss).backward()
        scaler.step(optimizer)  # expect: LG102
        scaler.update()
        steps += 1
""",
        # The clear and the loop are in two methods.
        """\
class Trainer:
    def __init__(self, model, optimizer):
        self.model = model
        self.optimizer = optimizer

    def fit(self, loader, epochs):
        for epoch in range(epochs):
            self.optimizer.zero_grad()
            self.run_epoch(loader)

    def run_epoch(self, loader):
        for inputs, targets in loader:
            loss = F.cross_entropy(self.model(inputs), targets)
            loss.backward()
            self.optimizer.step()  # expect: LG102


Trainer(model, optimizer).fit(loader, num_epochs)
""",
        # Several passes over each batch of experience.
        """\
for inputs, targets in loader:
    old = model(inputs).log_softmax(1).detach()
    optimizer.zero_grad()
    for _ in range(4):
        ratio = (model(inputs).log_softmax(1) - old).exp().gather(1, targets[:, None])
        loss = -torch.min(ratio, ratio.clamp(0.8, 1.2)).mean()
        loss.backward()
        optimizer.step()  # expect: LG102
""",
    )
    good = (
        """\
for epoch in range(num_epochs):
    for inputs, targets in loader:
        optimizer.zero_grad()
        loss = criterion(model(inputs), targets)
        loss.backward()
        optimizer.step()
""",
        # Before the loop, and again behind each step.
        """\
def train(epoch):
    total = 0.0
    optimizer.zero_grad()
    for _ in range(len(loader)):
        inputs, targets = next(iter(loader))
        loss = criterion(model(inputs), targets)
        loss.backward()
        total += loss.item()
        optimizer.step()
        optimizer.zero_grad()
    return total


for epoch in range(num_epochs):
    train(epoch)
""",
        # The whole epoch is one batch.
        """\
for epoch in range(num_epochs):
    optimizer.zero_grad()
    for inputs, targets in loader:
        loss = criterion(model(inputs), targets) / len(loader)
        loss.backward()
    optimizer.step()
""",
        # Windows: cleared before the loop, then behind each step.
        """\
optimizer.zero_grad(set_to_none=True)
for i, (inputs, targets) in enumerate(loader):
    loss = criterion(model(inputs), targets) / accumulation_steps
    loss.backward()
    if (i + 1) % accumulation_steps == 0 or i + 1 == len(loader):
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
""",
        # Each inner update has its own clear.
        """\
for real, _ in loader:
    for _ in range(2):
        opt_d.zero_grad()
        fake = generator(torch.randn_like(real)).detach()
        (discriminator(fake).mean() - discriminator(real).mean()).backward()
        opt_d.step()
    opt_g.zero_grad()
    (-discriminator(generator(torch.randn_like(real))).mean()).backward()
    opt_g.step()
""",
        # Attempts at one step: the loop is left after it.
        """\
for inputs, targets in loader:
    optimizer.zero_grad()
    for attempt in range(3):
        try:
            loss = criterion(model(inputs), targets)
        except RuntimeError:
            continue
        loss.backward()
        optimizer.step()
        break
""",
        # Chunks of a batch: the inner loop accumulates, the outer one steps.
        """\
for inputs, targets in loader:
    optimizer.zero_grad()
    for x, y in zip(inputs.chunk(2), targets.chunk(2)):
        (criterion(model(x), y) / 2).backward()
    nn.utils.clip_grad_norm_(model.parameters(), max_norm)
    optimizer.step()
""",
    )

    def explain(self, case: Case) -> str | None:
        if case.facts.get("wrong_target") or case.has(Kind.CLEAR, Relation.WHOLE, Reach.INSIDE):
            return None
        if not case.has(Kind.CLEAR, Relation.WHOLE, Reach.OUTSIDE):
            return None
        loop = f"the loop `{case.facts['loop']}`" if "loop" in case.facts else "the loop"
        return (
            f"`{case.at.text}` uses gradients summed over iterations: "
            f"those of `{case.subject}` are cleared outside {loop} only"
        )

    def advise(self, case: Case) -> str:
        clear = next(case.events(Kind.CLEAR, Relation.WHOLE, Reach.OUTSIDE))
        return f"move `{clear.text}` into the loop, before `backward()`"
