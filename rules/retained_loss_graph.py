"""Adding up or storing the loss itself keeps the graph of every iteration alive.

## What it does

Finds `total += loss` and `losses.append(loss)` in training loops, where `loss` still carries its graph
and what it goes into outlives the iteration.

## Why is this bad?

A loss refers to the graph that made it: to the outputs of every layer, unless `backward()` has freed
them, and to the graph's nodes in any case. A sum of losses refers to all of their graphs. Nothing of it
can be released before the sum is, so memory grows with every batch, until a long epoch ends in "out of
memory" somewhere unrelated.

What is wanted is almost always the number: `loss.item()`.

## Known limits

A sum that is itself differentiated needs the graphs and is right. So is a list that is made anew in every
iteration, and anything under `torch.no_grad()`. A name that loopguard cannot tell to be a loss with a
graph is left alone, and so is what `backward(gradient)` starts from, which is rarely a loss.

## References

- [Frequently asked questions: out of memory](https://docs.pytorch.org/docs/stable/notes/faq.html#my-model-reports-cuda-runtime-error-2-out-of-memory):
  "don't accumulate history across your training loop"
- [`Tensor.item`](https://docs.pytorch.org/docs/stable/generated/torch.Tensor.item.html)
"""

from loopguard.rule import Case, Level, Rule, loss


class RetainedLossGraph(Rule):
    code = "LG304"
    level = Level.WARNING
    engines = "SR"
    mistakes = frozenset({loss.Mistake.RETAINED})

    bad = (
        """\
total = 0
for inputs, targets in loader:
    optimizer.zero_grad()
    loss = criterion(model(inputs), targets)
    loss.backward()
    optimizer.step()
    total += loss  # expect: LG304
print(total / len(loader))
""",
        # Weighted, in a helper, before the backward pass.
        """\
def train_epoch(model, loader, op):
    total_loss, count = 0.0, 0
    for inputs, targets in loader:
        op.zero_grad()
        loss = F.cross_entropy(model(inputs), targets)
        total_loss += loss * len(targets)  # expect: LG304
        count += len(targets)
        loss.backward()
        op.step()
    return total_loss / count


for epoch in range(num_epochs):
    print(train_epoch(model, loader, optimizer))
""",
        # In a list.
        """\
losses = []
for epoch in range(num_epochs):
    for inputs, targets in loader:
        optimizer.zero_grad()
        loss = criterion(model(inputs), targets)
        loss.backward()
        optimizer.step()
        losses.append(loss)  # expect: LG304
print(len(losses), losses[-1].item())
""",
        # In an attribute.
        """\
class Trainer:
    def __init__(self, model):
        self.model = model
        self.optimizer = torch.optim.Adam(model.parameters())
        self.running_loss = 0.0

    def fit(self, loader):
        for inputs, targets in loader:
            loss = F.cross_entropy(self.model(inputs), targets)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            self.running_loss = self.running_loss + loss  # expect: LG304


Trainer(model).fit(loader)
""",
        # In a dictionary of lists, under mixed precision.
        """\
history = {"loss": [], "lr": []}
for inputs, targets in loader:
    optimizer.zero_grad()
    with torch.autocast(device):
        loss = criterion(model(inputs), targets)
    scaler.scale(loss).backward()
    scaler.step(optimizer)
    scaler.update()
    history["loss"].append(loss)  # expect: LG304
    history["lr"].append(optimizer.param_groups[0]["lr"])
""",
    )
    good = (
        """\
total = 0.0
for inputs, targets in loader:
    optimizer.zero_grad()
    loss = criterion(model(inputs), targets)
    loss.backward()
    optimizer.step()
    total += loss.item()
print(total / len(loader))
""",
        # Other ways to the number, or to a tensor without a graph.
        """\
total, losses, norm = torch.zeros(()), [], 0.0
for inputs, targets in loader:
    optimizer.zero_grad()
    loss = criterion(model(inputs), targets)
    loss.backward()
    optimizer.step()
    total += loss.detach()
    losses.append(float(loss))
    norm += loss.data.norm()
""",
        # A sum that is differentiated.
        """\
for inputs, targets in loader:
    total = 0.0
    for x, y in zip(inputs.chunk(2), targets.chunk(2)):
        loss = criterion(model(x), y)
        total += 0.5 * loss
    optimizer.zero_grad()
    total.backward()
    optimizer.step()
""",
        # So is a list.
        """\
for inputs, targets in loader:
    losses = []
    outputs = model(inputs)
    losses.append(F.cross_entropy(outputs, targets))
    losses.append(0.01 * outputs.pow(2).mean())
    optimizer.zero_grad()
    sum(losses).backward()
    optimizer.step()
""",
        # Validation records nothing.
        """\
def validate(model, loader):
    model.eval()
    total = 0.0
    with torch.no_grad():
        for inputs, targets in loader:
            loss = F.cross_entropy(model(inputs), targets)
            total += loss
    model.train()
    return total / len(loader)


for inputs, targets in loader:
    optimizer.zero_grad()
    criterion(model(inputs), targets).backward()
    optimizer.step()
validate(model, loader)
""",
        # A number of the same name.
        """\
def train_step(inputs, targets):
    optimizer.zero_grad()
    loss = F.cross_entropy(model(inputs), targets)
    loss.backward()
    optimizer.step()
    return loss.item()


total, losses = 0.0, []
for inputs, targets in loader:
    loss = train_step(inputs, targets)
    total += loss
    losses.append(loss)
""",
        # Outputs that are differentiated with a gradient are no losses.
        """\
outputs = []
for inputs, _ in loader:
    output = model(inputs)
    outputs.append(output)
    output.backward(torch.ones_like(output))
    optimizer.step()
    optimizer.zero_grad()
print(torch.stack(outputs).std())
""",
        # An episode's terms are kept until its loss is differentiated.
        """\
for episode in range(num_epochs):
    log_probs = []
    for inputs, _ in loader:
        distribution = torch.distributions.Categorical(logits=model(inputs))
        log_probs.append(distribution.log_prob(distribution.sample()).mean())
    policy_loss = -torch.stack(log_probs).sum()
    optimizer.zero_grad()
    policy_loss.backward()
    optimizer.step()
""",
    )

    def explain(self, case: Case) -> str | None:
        return (
            f"`{case.at.text}` keeps the graph of `{case.subject}` alive in `{case.facts['into']}`: "
            "memory grows with every iteration"
        )

    def advise(self, case: Case) -> str:
        return f"store the number: `{case.subject}.item()`, or `{case.subject}.detach()` to stay on the device"
