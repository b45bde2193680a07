"""Backward runs once per batch, and the only step lies behind the loop.

## What it does

Finds loops that clear the gradients and call `backward()` for every batch while the optimizer steps only
after the loop.

## Why is this bad?

Each clear throws away the gradients of the batch before. What the one step behind the loop applies is the
gradient of the last batch alone; all other batches were computed for nothing, and the weights move once
per epoch.

Most often the step has lost its indentation.

## Known limits

A loop without a clear, with one clear before it and one step behind it, accumulates the gradients of all
batches. That is a way to train with large batches, and is not reported.

## References

- [Taking an optimization step](https://docs.pytorch.org/docs/stable/optim.html#taking-an-optimization-step)
- [Gradient accumulation](https://docs.pytorch.org/docs/stable/notes/amp_examples.html#gradient-accumulation)
"""

from loopguard.rule import Case, Kind, Level, Reach, Relation, Rule, gradient


class StepOutsideLoop(Rule):
    code = "LG203"
    level = Level.WARNING
    engines = "SR"
    mistakes = frozenset({gradient.Mistake.UNUSED})

    bad = (
        """\
for epoch in range(num_epochs):
    for inputs, targets in loader:
        optimizer.zero_grad()
        loss = criterion(model(inputs), targets)
        loss.backward()  # expect: LG203
    optimizer.step()
""",
        # A helper.
        """\
def train(model, loader, optimizer):
    model.train()
    for inputs, targets in loader:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(inputs), targets)
        loss.backward()  # expect: LG203
        print(loss.item())
    nn.utils.clip_grad_norm_(model.parameters(), max_norm)
    optimizer.step()


train(model, loader, optimizer)
""",
        # With a scaler.
        """\
for inputs, targets in loader:
    model.zero_grad()
    with torch.autocast(device):
        loss = criterion(model(inputs), targets)
    scaler.scale(loss).backward()  # expect: LG203
scaler.step(optimizer)
scaler.update()
""",
        # The loop and the step are in two methods.
        """\
class Trainer:
    def __init__(self, model):
        self.model = model
        self.optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    def run_epoch(self, loader):
        for inputs, targets in loader:
            self.optimizer.zero_grad()
            F.cross_entropy(self.model(inputs), targets).backward()  # expect: LG203

    def fit(self, loader, epochs):
        for epoch in range(epochs):
            self.run_epoch(loader)
            self.optimizer.step()


Trainer(model).fit(loader, num_epochs)
""",
        # In the `else` of the loop.
        """\
for inputs, targets in loader:
    loss = criterion(model(inputs), targets)
    if not loss.isfinite():
        break
    optimizer.zero_grad()
    loss.backward()  # expect: LG203
else:
    optimizer.step()
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
        # All batches in one step.
        """\
for epoch in range(num_epochs):
    optimizer.zero_grad()
    for inputs, targets in loader:
        loss = criterion(model(inputs), targets) / len(loader)
        loss.backward()
    optimizer.step()
""",
        # Windows as an inner loop.
        """\
batches = iter(loader)
for update in range(len(loader) // accumulation_steps):
    opt_d.zero_grad()
    for _ in range(accumulation_steps):
        real, _ = next(batches)
        fake = generator(torch.randn_like(real)).detach()
        d_loss = discriminator(fake).mean() - discriminator(real).mean()
        (d_loss / accumulation_steps).backward()
    opt_d.step()
""",
        # Each loss clears nothing but its own part.
        """\
for inputs, targets in loader:
    optimizer.zero_grad()
    outputs = model(inputs)
    losses = [F.cross_entropy(outputs, targets), 0.1 * outputs.pow(2).mean()]
    for i, loss in enumerate(losses):
        loss.backward(retain_graph=i + 1 < len(losses))
    optimizer.step()
""",
        # A last step behind the loop, for what the windows left over.
        """\
optimizer.zero_grad()
for i, (inputs, targets) in enumerate(loader, start=1):
    (criterion(model(inputs), targets) / accumulation_steps).backward()
    if i % accumulation_steps == 0:
        optimizer.step()
        optimizer.zero_grad()
if len(loader) % accumulation_steps:
    optimizer.step()
    optimizer.zero_grad()
""",
    )

    def explain(self, case: Case) -> str | None:
        if case.has(Kind.STEP, Relation.WHOLE, Reach.INSIDE) or not case.has(Kind.STEP, Relation.WHOLE):
            return None
        loop = f"the loop `{case.facts['loop']}`" if "loop" in case.facts else "the loop"
        return (
            f"the gradients of `{case.at.text}` are cleared in the next iteration: "
            f"`{case.subject}` steps only outside {loop}, on the last batch"
        )

    def advise(self, case: Case) -> str:
        step = next(case.events(Kind.STEP, Relation.WHOLE, Reach.OUTSIDE))
        return f"move `{step.text}` into the loop, behind `backward()`; to accumulate, clear before the loop"
