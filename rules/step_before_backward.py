"""The step comes before the backward pass of its own iteration.

## What it does

Finds iterations that clear the gradients, step, and call `backward()` only then.

## Why is this bad?

The step runs on cleared gradients and changes nothing. The gradients that `backward()` computes
afterwards are thrown away by the clear of the next iteration. The optimizer never sees any of them.

The order that works is clear, backward, step.

## Known limits

A loop that steps first on purpose, on the gradients of the iteration before, clears between the step and
the backward pass. That is right and not reported.

## References

- [Taking an optimization step](https://docs.pytorch.org/docs/stable/optim.html#taking-an-optimization-step):
  "the function can be called once the gradients are computed"
- [`Optimizer.step`](https://docs.pytorch.org/docs/stable/generated/torch.optim.Optimizer.step.html)
"""

from loopguard.rule import Case, Kind, Level, Rule, gradient


class StepBeforeBackward(Rule):
    code = "LG202"
    level = Level.ERROR
    engines = "SR"
    mistakes = frozenset({gradient.Mistake.EMPTY_STEP})

    bad = (
        """\
for inputs, targets in loader:
    optimizer.zero_grad()
    loss = criterion(model(inputs), targets)
    optimizer.step()  # expect: LG202
    loss.backward()
""",
        # In a helper.
        """\
def train_epoch(model, loader, optimizer):
    model.train()
    total = 0.0
    for inputs, targets in loader:
        optimizer.zero_grad()
        optimizer.step()  # expect: LG202
        loss = F.cross_entropy(model(inputs), targets)
        loss.backward()
        total += loss.item()
    return total / len(loader)


for epoch in range(num_epochs):
    train_epoch(model, loader, optimizer)
""",
        # Under mixed precision. PyTorch notices this one and raises.
        """\
for inputs, targets in loader:
    optimizer.zero_grad()
    with torch.autocast(device):
        loss = criterion(model(inputs), targets)
    scaler.step(optimizer)  # expect: LG202
    scaler.scale(loss).backward()
    scaler.update()
""",
        # In two methods that are called in the wrong order.
        """\
class Agent:
    def __init__(self, net):
        self.net = net
        self.optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)

    def apply(self):
        self.optimizer.step()  # expect: LG202

    def learn(self, inputs, targets):
        self.optimizer.zero_grad()
        loss = F.cross_entropy(self.net(inputs), targets)
        self.apply()
        loss.backward()


agent = Agent(model)
for inputs, targets in loader:
    agent.learn(inputs, targets)
""",
        # One of two optimizers.
        """\
for real, _ in loader:
    fake = generator(torch.randn_like(real))
    opt_d.zero_grad()
    d_loss = discriminator(fake.detach()).mean() - discriminator(real).mean()
    d_loss.backward()
    opt_d.step()

    g_loss = -discriminator(fake).mean()
    opt_g.zero_grad()
    opt_g.step()  # expect: LG202
    g_loss.backward(inputs=list(generator.parameters()))
""",
    )
    good = (
        """\
for inputs, targets in loader:
    optimizer.zero_grad()
    loss = criterion(model(inputs), targets)
    loss.backward()
    optimizer.step()
""",
        # The gradients of the last iteration, before the new ones come.
        """\
for inputs, targets in loader:
    optimizer.step()
    optimizer.zero_grad()
    loss = criterion(model(inputs), targets)
    loss.backward()
optimizer.step()
""",
        # The backward pass is in the function that computes the loss.
        """\
def forward_backward(inputs, targets):
    loss = F.cross_entropy(model(inputs), targets)
    loss.backward()
    return loss.item()


for inputs, targets in loader:
    optimizer.zero_grad()
    value = forward_backward(inputs, targets)
    optimizer.step()
""",
        # The next loss is computed ahead, and differentiated in its turn.
        """\
batches = iter(loader)
inputs, targets = next(batches)
loss = criterion(model(inputs), targets)
while loss is not None:
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    batch = next(batches, None)
    loss = None if batch is None else criterion(model(batch[0]), batch[1])
""",
        # In a closure that `step` calls.
        """\
for inputs, targets in loader:

    def closure():
        optimizer.zero_grad()
        loss = criterion(model(inputs), targets)
        loss.backward()
        return loss

    optimizer.step(closure)
""",
    )

    def explain(self, case: Case) -> str | None:
        if case.facts.get("order") != "step before backward":
            return None
        backward = next((event.text for event in case.events(Kind.BACKWARD)), "backward()")
        return (
            f"`{case.at.text}` comes before `{backward}`: the step sees no gradients, and the next clear discards them"
        )

    def advise(self, case: Case) -> str:
        backward = next((event.text for event in case.events(Kind.BACKWARD)), "backward()")
        return f"move `{case.at.text}` behind `{backward}`"
