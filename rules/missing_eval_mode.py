"""A validation pass runs in training mode.

## What it does

Finds a pass over data without gradients (under `torch.no_grad()` or `torch.inference_mode()`, and without a
backward pass or step) through a module that was switched to training before and not to evaluation since.

## Why is this bad?

In training mode dropout throws away a part of what the model knows, and batch normalisation takes the statistics of
the batch at hand, so that each prediction depends on its neighbours: the metrics are worse than the model, and
differ from run to run. Worse still, each batch of the validation set changes the running statistics that the model is
used with later on.

## Known limits

Only modules with an explicit `train()` are judged, and none whose layers all compute the same in both modes. A forward
pass whose result nobody takes is there for the running statistics, and right. Once `torch.compile` has compiled
anything, a run sees no forward passes any more: to be watched, they would have to be compiled anew.

## References

- [`Module.eval`](https://docs.pytorch.org/docs/stable/generated/torch.nn.Module.html#torch.nn.Module.eval)
- [Evaluation mode](https://docs.pytorch.org/docs/stable/notes/autograd.html#evaluation-mode-nn-module-eval), and why
  `no_grad` does not switch it on
"""

from loopguard.rule import Case, Level, Rule, mode


class MissingEvalMode(Rule):
    code = "LG702"
    level = Level.WARNING
    engines = "SR"
    mistakes = frozenset({mode.Mistake.NOT_EVAL})

    bad = (
        """\
net = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5), nn.Linear(8, 3))
optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
for epoch in range(num_epochs):
    net.train()
    for inputs, targets in loader:
        optimizer.zero_grad()
        criterion(net(inputs), targets).backward()
        optimizer.step()
    correct = 0
    with torch.no_grad():
        for inputs, targets in loader:
            correct += (net(inputs).argmax(1) == targets).sum().item()  # expect: LG702
    print(correct)
""",
        # One function trains, the other validates, and only the first says so.
        """\
def train(net, optimizer, loader):
    net.train()
    for inputs, targets in loader:
        optimizer.zero_grad()
        F.cross_entropy(net(inputs), targets).backward()
        optimizer.step()


@torch.no_grad()
def validate(net, loader):
    total = 0.0
    for inputs, targets in loader:
        outputs = net(inputs)  # expect: LG702
        total += F.cross_entropy(outputs, targets).item()
    return total / len(loader)


net = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Linear(8, 3))
optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
for epoch in range(num_epochs):
    train(net, optimizer, loader)
    print(validate(net, loader))
""",
        # The mode is right at first, and switched back for each batch.
        """\
net = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5), nn.Linear(8, 3))
optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
for epoch in range(num_epochs):
    for inputs, targets in loader:
        net.train()
        optimizer.zero_grad()
        criterion(net(inputs), targets).backward()
        optimizer.step()
    with torch.no_grad():
        net.eval()
        total = 0.0
        for inputs, targets in loader:
            net.train()
            total += criterion(net(inputs), targets).item()  # expect: LG702
    print(total)
""",
        # A trainer that tests under `inference_mode`.
        """\
class Trainer:
    def __init__(self):
        self.net = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5), nn.Linear(8, 3))
        self.optimizer = torch.optim.Adam(self.net.parameters())

    def fit(self, loader):
        for epoch in range(num_epochs):
            self.net.train()
            for inputs, targets in loader:
                loss = F.cross_entropy(self.net(inputs), targets)
                self.optimizer.zero_grad()
                loss.backward()
                self.optimizer.step()
            print(self.test(loader))

    def test(self, loader):
        predicted = []
        with torch.inference_mode():
            for inputs, _ in loader:
                predicted.append(self.net(inputs).argmax(1))  # expect: LG702
        return torch.cat(predicted)


Trainer().fit(loader)
""",
    )
    good = (
        """\
net = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5), nn.Linear(8, 3))
optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
for epoch in range(num_epochs):
    net.train()
    for inputs, targets in loader:
        optimizer.zero_grad()
        criterion(net(inputs), targets).backward()
        optimizer.step()
    net.eval()
    correct = 0
    with torch.no_grad():
        for inputs, targets in loader:
            correct += (net(inputs).argmax(1) == targets).sum().item()
    print(correct)
""",
        # The caller switches, the validation only computes.
        """\
@torch.no_grad()
def validate(net, loader):
    total = 0.0
    for inputs, targets in loader:
        total += F.cross_entropy(net(inputs), targets).item()
    return total


net = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Linear(8, 3))
optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
for epoch in range(num_epochs):
    net.train()
    for inputs, targets in loader:
        optimizer.zero_grad()
        criterion(net(inputs), targets).backward()
        optimizer.step()
    net.eval()
    print(validate(net, loader))
""",
        # Monte Carlo dropout: everything evaluates but the dropout.
        """\
net = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5), nn.Linear(8, 3))
optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
net.train()
for inputs, targets in loader:
    optimizer.zero_grad()
    criterion(net(inputs), targets).backward()
    optimizer.step()
net.eval()
for layer in net:
    if isinstance(layer, nn.Dropout):
        layer.train()
with torch.no_grad():
    for inputs, _ in loader:
        print(torch.stack([net(inputs) for _ in range(5)]).std(0).mean())
""",
        # The running statistics are measured again.
        """\
net = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Linear(8, 3))
optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
net.train()
for inputs, targets in loader:
    optimizer.zero_grad()
    criterion(net(inputs), targets).backward()
    optimizer.step()
net[1].reset_running_stats()
with torch.no_grad():
    for inputs, _ in loader:
        net(inputs)
""",
        # There is only one mode in it.
        """\
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.hidden = nn.Linear(4, 8)
        self.out = nn.Linear(8, 3)

    def forward(self, inputs):
        return self.out(self.hidden(inputs).relu())


net = Net()
optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
net.train()
for inputs, targets in loader:
    optimizer.zero_grad()
    criterion(net(inputs), targets).backward()
    optimizer.step()
with torch.no_grad():
    for inputs, targets in loader:
        print(criterion(net(inputs), targets))
""",
        # A target without gradients is a part of the training.
        """\
net = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5), nn.Linear(8, 3))
optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
net.train()
for inputs, _ in loader:
    with torch.no_grad():
        target = net(inputs).softmax(1)
    optimizer.zero_grad()
    criterion(net(inputs + 0.1), target).backward()
    optimizer.step()
""",
    )

    def explain(self, case: Case) -> str | None:
        return f"`{case.at.text}` validates `{case.subject}` in training mode"

    def advise(self, case: Case) -> str:
        return f"call `{case.subject}.eval()` before the pass, and `{case.subject}.train()` before training goes on"
