"""Backward of a value that has been cut off from its graph.

## What it does

Finds a `backward()` of a loss that went through `.item()`, `float()`, `.detach()`, `.data` or `.numpy()`,
or that was computed under `torch.no_grad()` or `torch.inference_mode()`.

## Why is this bad?

`backward()` walks the graph that the forward pass has recorded. A number has no `backward` at all, and a
tensor without a graph raises "element 0 of tensors does not require grad". The attempt to please PyTorch
by setting `requires_grad` on the detached value makes it worse: then the call succeeds and ends right
there, and no parameter gets a gradient.

## Known limits

Only what is certain along every path is reported. Detaching a copy for a log, a target or the next chunk
of a sequence is right, and so is a detached part of a larger loss.

## References

- [`Tensor.detach`](https://docs.pytorch.org/docs/stable/generated/torch.Tensor.detach.html)
- [`Tensor.item`](https://docs.pytorch.org/docs/stable/generated/torch.Tensor.item.html)
- [Locally disabling gradient computation](https://docs.pytorch.org/docs/stable/notes/autograd.html#locally-disabling-gradient-computation)
"""

from loopguard.rule import Case, Level, Rule, loss


class BackwardWithoutGraph(Rule):
    code = "LG303"
    level = Level.ERROR
    engines = "SR"
    mistakes = frozenset({loss.Mistake.NO_GRAPH})

    bad = (
        """\
for inputs, targets in loader:
    optimizer.zero_grad()
    loss = criterion(model(inputs), targets).item()
    loss.backward()  # expect: LG303
    optimizer.step()
""",
        # The forward pass of a training step, under `no_grad`.
        """\
def train(model, loader, optimizer):
    for inputs, targets in loader:
        optimizer.zero_grad()
        with torch.no_grad():
            outputs = model(inputs)
            loss = F.cross_entropy(outputs, targets)
        loss.backward()  # expect: LG303
        optimizer.step()


train(model, loader, optimizer)
""",
        # Detached for the log, and then used.
        """\
for inputs, targets in loader:
    optimizer.zero_grad()
    loss = criterion(model(inputs), targets)
    loss = loss.detach()
    print(loss)
    loss.backward()  # expect: LG303
    optimizer.step()
""",
        # The loss comes from a function that records nothing.
        """\
class Evaluator:
    @torch.inference_mode()
    def loss(self, inputs, targets):
        return F.cross_entropy(model(inputs), targets)


evaluator = Evaluator()
for inputs, targets in loader:
    optimizer.zero_grad()
    loss = evaluator.loss(inputs, targets)
    loss.backward()  # expect: LG303
    optimizer.step()
""",
        # A number, made a tensor again.
        """\
for inputs, targets in loader:
    optimizer.zero_grad()
    loss = criterion(model(inputs), targets)
    loss = torch.tensor(loss.item(), requires_grad=True)
    loss.backward()  # expect: LG303
    optimizer.step()
""",
        # By `.data`, with a scaler.
        """\
for inputs, targets in loader:
    optimizer.zero_grad()
    with torch.autocast(device):
        loss = criterion(model(inputs), targets)
    scaler.scale(loss.data).backward()  # expect: LG303
    scaler.step(optimizer)
    scaler.update()
""",
    )
    good = (
        """\
for inputs, targets in loader:
    optimizer.zero_grad()
    loss = criterion(model(inputs), targets)
    loss.backward()
    optimizer.step()
    print(loss.item())
""",
        # The number has a name of its own.
        """\
import math

for inputs, targets in loader:
    loss = criterion(model(inputs), targets)
    loss_value = loss.item()
    if not math.isfinite(loss_value):
        break
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
""",
        # The name is used again, after the backward pass.
        """\
for batch, (inputs, targets) in enumerate(loader):
    loss = criterion(model(inputs), targets)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if batch % 2 == 0:
        loss, current = loss.item(), batch * len(inputs)
        print(f"loss: {loss:>7f}  [{current:>5d}]")
""",
        # Only the target is computed without a graph.
        """\
for states, rewards in loader:
    with torch.no_grad():
        target = rewards + 0.9 * model(states).max(1).values
    values = model(states).max(1).values
    loss = F.smooth_l1_loss(values, target)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
""",
        # A part of the loss is detached, the rest is not.
        """\
for inputs, targets in loader:
    outputs = model(inputs)
    entropy = F.cross_entropy(outputs, targets)
    weight = entropy.detach().exp()
    loss = weight * entropy + 0.1 * (outputs - outputs.detach().mean()).pow(2).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
""",
        # Recording is turned on again.
        """\
@torch.no_grad()
def adapt(inputs, targets):
    before = criterion(model(inputs), targets)
    with torch.enable_grad():
        loss = criterion(model(inputs), targets)
        optimizer.zero_grad()
        loss.backward()
    optimizer.step()
    return before - criterion(model(inputs), targets)


for inputs, targets in loader:
    adapt(inputs, targets)
""",
        # The same function, for training and for validation.
        """\
def run(loader, train):
    for inputs, targets in loader:
        with torch.set_grad_enabled(train):
            loss = criterion(model(inputs), targets)
            if train:
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()


run(loader, train=True)
run(loader, train=False)
""",
        # A state is cut off between two chunks of a sequence.
        """\
cell, head = nn.GRUCell(4, 8), nn.Linear(8, 3)
optimizer = torch.optim.Adam([*cell.parameters(), *head.parameters()])
hidden = torch.zeros(6, 8)
for inputs, targets in loader:
    hidden = cell(inputs, hidden.detach())
    loss = criterion(head(hidden), targets)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
""",
    )

    def explain(self, case: Case) -> str | None:
        how = case.facts.get("how", "an earlier operation")
        return f"`{case.at.text}` reaches no parameter: {how} has cut `{case.subject}` off from its graph"

    def advise(self, case: Case) -> str:
        how = case.facts.get("how", "")
        if "no_grad" in how or "inference_mode" in how:
            return f"compute `{case.subject}` outside {how}"
        return f"call `backward()` on `{case.subject}` as it was before, and detach only the copy that is logged"
