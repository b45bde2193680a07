"""A validation pass records a graph that nobody uses.

## What it does

Finds a pass over data in evaluation mode, without a backward pass or step, that is not under `torch.no_grad()` or
`torch.inference_mode()`.

## Why is this bad?

Every operation keeps what its backward pass would need until its outputs are gone. The validation takes several times
the memory, and a batch size that fits the training no longer fits it; where losses or outputs are collected, their
graphs are collected with them. `eval()` does not help: it changes what layers compute, and not what is recorded.

## Known limits

Advice, as the results are right. Files that compute gradients of their own (attacks, saliency maps) are left alone, and
so is a pass whose module or caller cannot be read. Once `torch.compile` has compiled anything, a run sees no forward
passes any more: to be watched, they would have to be compiled anew.

## References

- [`torch.no_grad`](https://docs.pytorch.org/docs/stable/generated/torch.no_grad.html)
- [`torch.inference_mode`](https://docs.pytorch.org/docs/stable/generated/torch.autograd.grad_mode.inference_mode.html)
"""

from loopguard.rule import Case, Level, Rule, mode


class MissingNoGrad(Rule):
    code = "LG703"
    level = Level.ADVICE
    engines = "SR"
    mistakes = frozenset({mode.Mistake.BUILDS_GRAPH})

    bad = (
        """\
for epoch in range(num_epochs):
    model.train()
    for inputs, targets in loader:
        optimizer.zero_grad()
        criterion(model(inputs), targets).backward()
        optimizer.step()
    model.eval()
    correct = 0
    for inputs, targets in loader:
        outputs = model(inputs)  # expect: LG703
        correct += (outputs.argmax(1) == targets).sum().item()
    print(correct)
""",
        """\
def validate(net, loader):
    net.eval()
    total = 0.0
    for inputs, targets in loader:
        loss = F.cross_entropy(net(inputs), targets)  # expect: LG703
        total += loss.item()
    net.train()
    return total / len(loader)


for epoch in range(num_epochs):
    for inputs, targets in loader:
        optimizer.zero_grad()
        criterion(model(inputs), targets).backward()
        optimizer.step()
    print(validate(model, loader))
""",
        # Graphs of a whole epoch, kept by a list.
        """\
class Trainer:
    def __init__(self, net):
        self.net = net
        self.optimizer = torch.optim.SGD(net.parameters(), lr=0.1)

    def train(self, loader):
        self.net.train()
        for inputs, targets in loader:
            self.optimizer.zero_grad()
            F.cross_entropy(self.net(inputs), targets).backward()
            self.optimizer.step()

    def predict(self, loader):
        self.net.eval()
        found = []
        for inputs, _ in loader:
            found.append(self.net(inputs))  # expect: LG703
        return torch.cat(found)


trainer = Trainer(model)
for epoch in range(num_epochs):
    trainer.train(loader)
    print(trainer.predict(loader).argmax(1))
""",
        # `no_grad` comes after the forward pass.
        """\
for epoch in range(num_epochs):
    model.train()
    for inputs, targets in loader:
        optimizer.zero_grad()
        criterion(model(inputs), targets).backward()
        optimizer.step()
    model.eval()
    hits = []
    for inputs, targets in loader:
        outputs = model(inputs)  # expect: LG703
        with torch.no_grad():
            hits.append((outputs.argmax(1) == targets).float().mean())
    print(torch.stack(hits).mean())
""",
    )
    good = (
        """\
for epoch in range(num_epochs):
    model.train()
    for inputs, targets in loader:
        optimizer.zero_grad()
        criterion(model(inputs), targets).backward()
        optimizer.step()
    model.eval()
    correct = 0
    with torch.no_grad():
        for inputs, targets in loader:
            outputs = model(inputs)
            correct += (outputs.argmax(1) == targets).sum().item()
    print(correct)
""",
        # The whole function records nothing.
        """\
@torch.inference_mode()
def validate(net, loader):
    net.eval()
    total = 0.0
    for inputs, targets in loader:
        total += F.cross_entropy(net(inputs), targets).item()
    return total


for epoch in range(num_epochs):
    model.train()
    for inputs, targets in loader:
        optimizer.zero_grad()
        criterion(model(inputs), targets).backward()
        optimizer.step()
    print(validate(model, loader))
""",
        # The caller has switched recording off.
        """\
def validate(net, loader):
    net.eval()
    total = 0.0
    for inputs, targets in loader:
        total += F.cross_entropy(net(inputs), targets).item()
    return total


for epoch in range(num_epochs):
    model.train()
    for inputs, targets in loader:
        optimizer.zero_grad()
        criterion(model(inputs), targets).backward()
        optimizer.step()
    with torch.no_grad():
        print(validate(model, loader))
""",
        # An attack needs the gradients of the inputs.
        """\
def robustness(net, loader):
    net.eval()
    correct = 0
    for inputs, targets in loader:
        inputs = inputs.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(F.cross_entropy(net(inputs), targets), inputs)
        with torch.no_grad():
            correct += (net(inputs + 0.1 * gradient.sign()).argmax(1) == targets).sum().item()
    return correct


for inputs, targets in loader:
    optimizer.zero_grad()
    criterion(model(inputs), targets).backward()
    optimizer.step()
print(robustness(model, loader))
""",
        # Fine-tuned in evaluation mode.
        """\
model.eval()
for inputs, targets in loader:
    optimizer.zero_grad()
    criterion(model(inputs), targets).backward()
    optimizer.step()
""",
        # One function for both.
        """\
def run(net, loader, optimizer=None):
    net.train() if optimizer is not None else net.eval()
    for inputs, targets in loader:
        with torch.set_grad_enabled(optimizer is not None):
            loss = F.cross_entropy(net(inputs), targets)
        if optimizer is not None:
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()


for epoch in range(num_epochs):
    run(model, loader, optimizer)
    run(model, loader)
""",
    )

    def explain(self, case: Case) -> str | None:
        return f"`{case.at.text}` records a graph in a pass of `{case.subject}` that needs none"

    def advise(self, case: Case) -> str:
        return "put the pass under `with torch.inference_mode():` or `with torch.no_grad():`"
