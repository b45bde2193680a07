"""A training step runs where autograd records nothing.

## What it does

Finds a `backward()` that runs, together with its forward pass, under `torch.no_grad()` or `torch.inference_mode()`: in
the block, in a function that is decorated with it, or in one that is called from there.

## Why is this bad?

Without a graph there is nothing to go back through, and `backward()` raises "element 0 of tensors does not require
grad". It mostly happens when a validation loop is copied to become a training loop, or when a training function is
called, for one more measurement, from a place where nothing is recorded.

## Known limits

`torch.enable_grad()` within switches recording on again. A backward pass that stands outside of the block is the
matter of [LG303](backward_without_graph.py). What is switched by `torch.set_grad_enabled(flag)` depends on the flag,
and nothing is known of it.

## References

- [Locally disabling gradient computation](https://docs.pytorch.org/docs/stable/notes/autograd.html#locally-disabling-gradient-computation)
- [`torch.no_grad`](https://docs.pytorch.org/docs/stable/generated/torch.no_grad.html)
"""

from loopguard.rule import Case, Level, Rule, mode


class TrainingWithoutGrad(Rule):
    code = "LG704"
    level = Level.ERROR
    engines = "SR"
    mistakes = frozenset({mode.Mistake.GRAD_OFF})

    bad = (
        # A validation function that has become a training function.
        """\
@torch.no_grad()
def train(net, optimizer, loader):
    net.train()
    for inputs, targets in loader:
        optimizer.zero_grad()
        loss = F.cross_entropy(net(inputs), targets)
        loss.backward()  # expect: LG704
        optimizer.step()


for epoch in range(num_epochs):
    train(model, optimizer, loader)
""",
        # The block is too long.
        """\
for inputs, targets in loader:
    with torch.no_grad():
        noise = 0.1 * torch.randn_like(inputs)
        optimizer.zero_grad()
        loss = criterion(model(inputs + noise), targets)
        loss.backward()  # expect: LG704
        optimizer.step()
""",
        # The caller records nothing.
        """\
class Trainer:
    def __init__(self, net):
        self.net = net
        self.optimizer = torch.optim.SGD(net.parameters(), lr=0.1)

    def update(self, inputs, targets):
        self.optimizer.zero_grad()
        loss = F.cross_entropy(self.net(inputs), targets)
        loss.backward()  # expect: LG704
        self.optimizer.step()
        return loss.item()

    def measure(self, loader):
        with torch.inference_mode():
            return sum(self.update(inputs, targets) for inputs, targets in loader)


print(Trainer(model).measure(loader))
""",
        # Both modes in one function, and `no_grad` around both.
        """\
def run(net, loader, training):
    with torch.no_grad():
        for inputs, targets in loader:
            loss = F.cross_entropy(net(inputs), targets)
            if training:
                optimizer.zero_grad()
                loss.backward()  # expect: LG704
                optimizer.step()


run(model, loader, training=False)
run(model, loader, training=True)
""",
    )
    good = (
        """\
def train(net, optimizer, loader):
    net.train()
    for inputs, targets in loader:
        optimizer.zero_grad()
        loss = F.cross_entropy(net(inputs), targets)
        loss.backward()
        optimizer.step()


for epoch in range(num_epochs):
    train(model, optimizer, loader)
""",
        # What is computed without a graph takes part in one as a constant.
        """\
for inputs, targets in loader:
    with torch.no_grad():
        noise = 0.1 * torch.randn_like(inputs)
        weight = model(inputs).softmax(1).amax(1).mean()
    optimizer.zero_grad()
    loss = weight * criterion(model(inputs + noise), targets)
    loss.backward()
    optimizer.step()
""",
        # Recording is switched on again for the update.
        """\
@torch.no_grad()
def measure(net, loader):
    total = 0.0
    for inputs, targets in loader:
        total += F.cross_entropy(net(inputs), targets).item()
        with torch.enable_grad():
            optimizer.zero_grad()
            F.cross_entropy(net(inputs), targets).backward()
            optimizer.step()
    return total


print(measure(model, loader))
""",
        # A flag decides.
        """\
def run(net, loader, training):
    with torch.set_grad_enabled(training):
        for inputs, targets in loader:
            loss = F.cross_entropy(net(inputs), targets)
            if training:
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()


run(model, loader, training=True)
run(model, loader, training=False)
""",
        # The step itself needs no graph.
        """\
for inputs, targets in loader:
    optimizer.zero_grad()
    loss = criterion(model(inputs), targets)
    loss.backward()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.grad.clamp_(-1.0, 1.0)
        optimizer.step()
""",
        # The graph is there already when recording stops.
        """\
for inputs, targets in loader:
    optimizer.zero_grad()
    loss = criterion(model(inputs), targets)
    with torch.no_grad():
        loss.backward()
        optimizer.step()
""",
    )

    def explain(self, case: Case) -> str | None:
        how = case.facts.get("how", "`torch.no_grad()`")
        return f"`{case.at.text}` runs under {how}, and so does its forward pass: no graph has been recorded"

    def advise(self, case: Case) -> str:
        return f"let {case.facts.get('how', '`torch.no_grad()`')} hold only for what needs no gradient"
