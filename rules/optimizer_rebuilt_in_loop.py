"""A new optimizer takes over in every round of a loop, and begins from nothing.

## What it does

Finds an optimizer with a memory (momentum, running averages) that is built anew in every epoch or for every batch,
over a model that is the same as before.

## Why is this bad?

Adam's averages, the momentum of SGD, and the count of steps that corrects their bias all live in the optimizer. Each
new one starts at zero: its first steps are as large as Adam's first steps are, whatever came before. A scheduler
that was built for the first optimizer moves a learning rate that nobody uses any more.

## Known limits

SGD without momentum has nothing to lose. A new optimizer for a new model, for other parameters, or behind a condition
(a warm restart, another stage) is right, and so is one for a model that is reset or changed in the same loop.

## References

- [Constructing an optimizer](https://docs.pytorch.org/docs/stable/optim.html#constructing-it)
- [`Adam`](https://docs.pytorch.org/docs/stable/generated/torch.optim.Adam.html), what it remembers
"""

from loopguard.rule import Case, Level, Rule, construction


class OptimizerRebuiltInLoop(Rule):
    code = "LG801"
    level = Level.WARNING
    engines = "SR"
    mistakes = frozenset({construction.Mistake.REBUILT})

    bad = (
        """\
for epoch in range(num_epochs):
    adam = torch.optim.Adam(model.parameters(), lr=1e-3)  # expect: LG801
    for inputs, targets in loader:
        adam.zero_grad()
        criterion(model(inputs), targets).backward()
        adam.step()
""",
        # The function that trains for an epoch makes its own.
        """\
def train_epoch(net, loader):
    adam = torch.optim.AdamW(net.parameters(), lr=1e-3)  # expect: LG801
    for inputs, targets in loader:
        loss = F.cross_entropy(net(inputs), targets)
        adam.zero_grad()
        loss.backward()
        adam.step()


for epoch in range(num_epochs):
    train_epoch(model, loader)
""",
        # The learning rate is decayed by hand, at the cost of the momentum.
        """\
lr = 0.1
for epoch in range(num_epochs):
    lr *= 0.9
    sgd = torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9)  # expect: LG801
    for inputs, targets in loader:
        sgd.zero_grad()
        criterion(model(inputs), targets).backward()
        sgd.step()
""",
        # One for each batch.
        """\
class Learner:
    def __init__(self, net):
        self.net = net

    def fit(self, loader):
        for inputs, targets in loader:
            optimizer = torch.optim.RMSprop(self.net.parameters())  # expect: LG801
            optimizer.zero_grad()
            F.cross_entropy(self.net(inputs), targets).backward()
            optimizer.step()


Learner(model).fit(loader)
""",
    )
    good = (
        """\
adam = torch.optim.Adam(model.parameters(), lr=1e-3)
for epoch in range(num_epochs):
    for inputs, targets in loader:
        adam.zero_grad()
        criterion(model(inputs), targets).backward()
        adam.step()
""",
        # Plain gradient descent has no memory.
        """\
for epoch in range(num_epochs):
    sgd = torch.optim.SGD(model.parameters(), lr=0.1 / (epoch + 1))
    for inputs, targets in loader:
        sgd.zero_grad()
        criterion(model(inputs), targets).backward()
        sgd.step()
""",
        # Each fold has a model of its own.
        """\
for fold in range(3):
    net = nn.Linear(4, 3)
    adam = torch.optim.Adam(net.parameters())
    for epoch in range(num_epochs):
        for inputs, targets in loader:
            adam.zero_grad()
            criterion(net(inputs), targets).backward()
            adam.step()
""",
        # Every few epochs training restarts on purpose.
        """\
for epoch in range(num_epochs):
    if epoch % 2 == 0:
        adam = torch.optim.Adam(model.parameters(), lr=1e-3)
    for inputs, targets in loader:
        adam.zero_grad()
        criterion(model(inputs), targets).backward()
        adam.step()
""",
        # Each epoch trains one layer more.
        """\
for epoch in range(num_epochs):
    for number, layer in enumerate(model):
        layer.requires_grad_(number >= 2 - 2 * epoch)
    adam = torch.optim.Adam(filter(lambda p: p.requires_grad, model.parameters()))
    for inputs, targets in loader:
        adam.zero_grad()
        criterion(model(inputs), targets).backward()
        adam.step()
""",
        # What is optimised is the batch: a new one, and a new optimizer.
        """\
model.eval()
for inputs, targets in loader:
    delta = torch.zeros_like(inputs, requires_grad=True)
    adam = torch.optim.Adam([delta], lr=0.1)
    for _ in range(3):
        adam.zero_grad()
        criterion(model(inputs + delta), targets).backward()
        adam.step()
""",
        # Each task begins again from the same weights.
        """\
start = {name: value.clone() for name, value in model.state_dict().items()}
for epoch in range(num_epochs):
    model.load_state_dict(start)
    adam = torch.optim.Adam(model.parameters())
    for inputs, targets in loader:
        adam.zero_grad()
        criterion(model(inputs), targets).backward()
        adam.step()
""",
    )

    def explain(self, case: Case) -> str | None:
        kind = case.facts.get("class", "optimizer")
        return f"`{case.at.text}` starts a new {kind} over and over, and what the last one has learned is lost"

    def advise(self, case: Case) -> str:
        return f"build `{case.subject}` once, before the loop, and change its learning rate with a scheduler"
