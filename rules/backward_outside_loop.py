"""Backward runs after the loop over batches, on the last batch's loss.

## What it does

Finds a `backward()` behind the loop over the batches whose loss was computed, and overwritten, in every
iteration of it; and loops that clear and step for every batch while the backward pass lies behind them.

## Why is this bad?

When the loop is over, `loss` is the loss of the last batch. The forward passes of all other batches were
computed for nothing, and the model learns from one batch per epoch. If the step has stayed in the loop,
it runs on cleared gradients all the while.

Most often a block of lines has lost its indentation.

## Known limits

A loss that is collected in the loop (`total = total + loss`, a list that is summed or stacked) carries
all batches, and its backward pass belongs behind the loop. The same holds for a loop over the time steps
of a sequence, where the last loss depends on all the steps before it.

## References

- [Taking an optimization step](https://docs.pytorch.org/docs/stable/optim.html#taking-an-optimization-step)
- [`Tensor.backward`](https://docs.pytorch.org/docs/stable/generated/torch.Tensor.backward.html)
"""

from loopguard.rule import Case, Kind, Level, Rule, gradient, loss


class BackwardOutsideLoop(Rule):
    code = "LG302"
    level = Level.WARNING
    engines = "SR"
    mistakes = frozenset({gradient.Mistake.EMPTY_STEP, loss.Mistake.LAST_ONLY})

    bad = (
        """\
for epoch in range(num_epochs):
    for inputs, targets in loader:
        loss = criterion(model(inputs), targets)
    optimizer.zero_grad()
    loss.backward()  # expect: LG302
    optimizer.step()
""",
        # A helper that looks after its average, and not after its gradients.
        """\
def train(model, loader, optimizer):
    model.train()
    total = 0.0
    for i, (inputs, targets) in enumerate(loader):
        outputs = model(inputs.to(device))
        loss = F.cross_entropy(outputs, targets.to(device))
        total += loss.item()
    optimizer.zero_grad()
    loss.backward()  # expect: LG302
    optimizer.step()
    return total / len(loader)


for epoch in range(num_epochs):
    print(train(model, loader, optimizer))
""",
        # Only the backward pass has left the loop.
        """\
for epoch in range(num_epochs):
    for inputs, targets in loader:
        optimizer.zero_grad()
        loss = criterion(model(inputs), targets)
        optimizer.step()  # expect: LG302
    loss.backward()
""",
        # In a method, with a scaler.
        """\
class Trainer:
    def __init__(self, model):
        self.model = model
        self.optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    def train_epoch(self, loader):
        for inputs, targets in loader:
            with torch.autocast(device):
                loss = F.cross_entropy(self.model(inputs), targets)
        self.optimizer.zero_grad()
        scaler.scale(loss).backward()  # expect: LG302
        scaler.step(self.optimizer)
        scaler.update()


trainer = Trainer(model)
for epoch in range(num_epochs):
    trainer.train_epoch(loader)
""",
    )
    good = (
        """\
for epoch in range(num_epochs):
    for inputs, targets in loader:
        loss = criterion(model(inputs), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
""",
        # The losses are added up.
        """\
for epoch in range(num_epochs):
    loss = 0.0
    for inputs, targets in loader:
        loss = loss + criterion(model(inputs), targets)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
""",
        # They are collected.
        """\
for epoch in range(num_epochs):
    losses = []
    for inputs, targets in loader:
        loss = criterion(model(inputs), targets)
        losses.append(loss)
    loss = torch.stack(losses).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
""",
        # The outputs are collected, and the loss is computed once.
        """\
for epoch in range(num_epochs):
    outputs, labels = [], []
    for inputs, targets in loader:
        outputs.append(model(inputs))
        labels.append(targets)
    loss = criterion(torch.cat(outputs), torch.cat(labels))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
""",
        # Time steps: the last loss depends on all of them.
        """\
cell, head = nn.GRUCell(4, 8), nn.Linear(8, 3)
optimizer = torch.optim.Adam([*cell.parameters(), *head.parameters()])
for inputs, targets in loader:
    hidden = torch.zeros(len(inputs), 8)
    for t in range(3):
        hidden = cell(inputs, hidden)
        loss = criterion(head(hidden), targets)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
""",
        # The layers of a network, not the batches of a set.
        """\
for inputs, targets in loader:
    hidden = inputs
    for layer in model:
        hidden = layer(hidden)
        loss = hidden.pow(2).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
""",
        # The loop looks for one batch and leaves.
        """\
for inputs, targets in loader:
    loss = criterion(model(inputs), targets)
    if loss.isfinite():
        break
optimizer.zero_grad()
loss.backward()
optimizer.step()
""",
        # After a validation loop comes a loss of its own.
        """\
for epoch in range(num_epochs):
    with torch.no_grad():
        for inputs, targets in loader:
            loss = criterion(model(inputs), targets)
            print(loss.item())
    inputs, targets = loader[epoch]
    loss = criterion(model(inputs), targets)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
""",
    )

    def explain(self, case: Case) -> str | None:
        loop = f"the loop `{case.facts['loop']}`" if "loop" in case.facts else "the loop"
        if case.mistake is loss.Mistake.LAST_ONLY:
            return f"`{case.at.text}` runs after {loop}: only the last batch's `{case.subject}` counts"
        if case.facts.get("order") != "backward after loop":
            return None
        return f"`{case.at.text}` sees no gradients: {loop} clears and steps, and `backward()` comes after it"

    def advise(self, case: Case) -> str:
        backward = case.at.text
        if case.mistake is not loss.Mistake.LAST_ONLY:
            backward = next((event.text for event in case.events(Kind.BACKWARD)), "backward()")
        return f"move `{backward}` into the loop, between the clear and the step"
