"""The optimizer holds parameters that the model has replaced.

## What it does

Finds a model of which a layer is swapped, or that is replaced, copied or sharded as a whole, after an optimizer took
its parameters, and before that optimizer steps.

## Why is this bad?

An optimizer holds the parameter objects that it was given, and knows nothing of the module. The new ones get the
gradients, the old ones are stepped, which does nothing: the new layer stays as it was initialised. Nothing fails, and
the loss may even fall, by what the rest of the model learns.

## Known limits

`model.to(device)`, `cuda()` and `half()` change parameters in place and are right behind the optimizer. What a
function in another library does to a model is not known. A file that calls `add_param_group` is left alone.

## References

- [Constructing an optimizer](https://docs.pytorch.org/docs/stable/optim.html#constructing-it)
- [`fully_shard`](https://docs.pytorch.org/docs/stable/distributed.fsdp.fully_shard.html), on building the
  optimizer after it
"""

from loopguard.rule import Case, Level, Rule, construction


class OptimizerHoldsOldParameters(Rule):
    code = "LG802"
    level = Level.ERROR
    engines = "SR"
    mistakes = frozenset({construction.Mistake.REPLACED})

    bad = (
        # The head is swapped when the optimizer has taken the old one.
        """\
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
model[2] = nn.Linear(8, 3)
for epoch in range(num_epochs):
    for inputs, targets in loader:
        optimizer.zero_grad()
        criterion(model(inputs), targets).backward()
        optimizer.step()  # expect: LG802
""",
        # A network with a named head, and a learning rate for all of it.
        """\
class Net(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, 8), nn.ReLU())
        self.fc = nn.Linear(8, classes)

    def forward(self, inputs):
        return self.fc(self.body(inputs))


net = Net(10)
adam = torch.optim.Adam(net.parameters(), lr=1e-3)
net.fc = nn.Linear(net.fc.in_features, 3)
for epoch in range(num_epochs):
    for inputs, targets in loader:
        loss = criterion(net(inputs), targets)
        adam.zero_grad()
        loss.backward()
        adam.step()  # expect: LG802
""",
        # A trainer resets what it is to train.
        """\
class Trainer:
    def __init__(self, net):
        self.net = net
        self.optimizer = torch.optim.AdamW(self.net.parameters())

    def fit(self, loader):
        self.net.head = nn.Linear(8, 3)
        for inputs, targets in loader:
            self.optimizer.zero_grad()
            F.cross_entropy(self.net(inputs), targets).backward()
            self.optimizer.step()  # expect: LG802


net = nn.Sequential(nn.Linear(4, 8), nn.Tanh())
net.head = nn.Linear(8, 2)
Trainer(net).fit(loader)
""",
        # Loading with `assign=True` puts new parameters in the place of those that the optimizer took.
        """\
import io


class Trainer:
    def __init__(self, model):
        self.model = model
        self.optimizer = torch.optim.AdamW(model.parameters())

    def resume(self, checkpoint):
        self.model.load_state_dict(torch.load(checkpoint), assign=True)

    def fit(self, loader):
        for inputs, targets in loader:
            self.optimizer.zero_grad()
            F.cross_entropy(self.model(inputs), targets).backward()
            self.optimizer.step()  # expect: LG802


checkpoint = io.BytesIO()
torch.save(model.state_dict(), checkpoint)
checkpoint.seek(0)
trainer = Trainer(model)
trainer.resume(checkpoint)
trainer.fit(loader)
""",
        # The copy is trained, and the original is stepped.
        """\
import copy

sgd = torch.optim.SGD(model.parameters(), lr=0.1)
model = copy.deepcopy(model)
for epoch in range(num_epochs):
    for inputs, targets in loader:
        sgd.zero_grad()
        criterion(model(inputs), targets).backward()
        sgd.step()  # expect: LG802
""",
    )
    good = (
        """\
model[2] = nn.Linear(8, 3)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for inputs, targets in loader:
    optimizer.zero_grad()
    criterion(model(inputs), targets).backward()
    optimizer.step()
""",
        # A module is moved as it is.
        """\
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
model = model.to(device)
model[2] = model[2].to(device)
for inputs, targets in loader:
    optimizer.zero_grad()
    criterion(model(inputs), targets).backward()
    optimizer.step()
""",
        # The optimizer is built again for the new head.
        """\
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for phase in range(2):
    model[2] = nn.Linear(8, 3)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for inputs, targets in loader:
        optimizer.zero_grad()
        criterion(model(inputs), targets).backward()
        optimizer.step()
""",
        # The new layer is added to what the optimizer holds.
        """\
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
model[2] = nn.Linear(8, 3)
optimizer.add_param_group({"params": model[2].parameters()})
for inputs, targets in loader:
    optimizer.zero_grad()
    criterion(model(inputs), targets).backward()
    optimizer.step()
""",
        # An activation has no parameters.
        """\
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
model[1] = nn.GELU()
for inputs, targets in loader:
    optimizer.zero_grad()
    criterion(model(inputs), targets).backward()
    optimizer.step()
""",
        # The head was given to the optimizer before it became part of the model.
        """\
head = nn.Linear(8, 3)
optimizer = torch.optim.SGD([*model[:2].parameters(), *head.parameters()], lr=0.1)
model[2] = head
for inputs, targets in loader:
    optimizer.zero_grad()
    criterion(model(inputs), targets).backward()
    optimizer.step()
""",
        # A copy to compare with: the original is trained.
        """\
import copy

optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
average = copy.deepcopy(model)
for inputs, targets in loader:
    optimizer.zero_grad()
    criterion(model(inputs), targets).backward()
    optimizer.step()
    with torch.no_grad():
        for mean, parameter in zip(average.parameters(), model.parameters()):
            mean.lerp_(parameter, 0.1)
""",
    )

    def explain(self, case: Case) -> str | None:
        replaced = case.facts.get("replaced")
        if replaced is None:
            return f"`{case.at.text}` steps parameters that are no part of the model any more"
        return f"`{case.at.text}` steps parameters that `{replaced}` has replaced"

    def advise(self, case: Case) -> str:
        return f"build `{case.subject}` when the model is complete, or give it the new parameters (`add_param_group`)"
