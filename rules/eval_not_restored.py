"""A module is switched to evaluation, and training goes on.

## What it does

Finds an `eval()` inside a training loop, in the loop itself or in a function that is called there, after which
a later iteration trains the module without a `train()` in between.

## Why is this bad?

`eval()` lasts until the next `train()`, and it does so for every part of the module. Dropout drops nothing any more,
and batch normalisation no longer learns the statistics of the data: the rest of the training is another one than that
of the first epoch. Nothing fails; the model overfits a little more, or gets a little worse, from the first
validation on.

## Known limits

A module whose layers all compute the same in both modes is left alone, and so is one that is in evaluation mode
whenever it is trained: somebody wants it so. Where code that cannot be read gets the module, nothing is known of its
mode.

## References

- [`Module.eval`](https://docs.pytorch.org/docs/stable/generated/torch.nn.Module.html#torch.nn.Module.eval)
- [Evaluation mode](https://docs.pytorch.org/docs/stable/notes/autograd.html#evaluation-mode-nn-module-eval)
"""

from loopguard.rule import Case, Level, Rule, mode


class EvalNotRestored(Rule):
    code = "LG701"
    level = Level.WARNING
    engines = "SR"
    mistakes = frozenset({mode.Mistake.NOT_RESTORED})

    bad = (
        # Validation after each epoch; `train()` was called once, before the first.
        """\
net = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5), nn.Linear(8, 3))
optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
net.train()
for epoch in range(num_epochs):
    for inputs, targets in loader:
        optimizer.zero_grad()
        criterion(net(inputs), targets).backward()
        optimizer.step()
    net.eval()  # expect: LG701
    with torch.no_grad():
        correct = sum((net(inputs).argmax(1) == targets).sum().item() for inputs, targets in loader)
    print(epoch, correct)
""",
        # Validation now and then within the epoch; `train()` comes at the start of the next one.
        """\
def evaluate(net, loader):
    net.eval()  # expect: LG701
    with torch.no_grad():
        return sum(criterion(net(inputs), targets).item() for inputs, targets in loader)


net = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Linear(8, 3))
optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
for epoch in range(num_epochs):
    net.train()
    for step, (inputs, targets) in enumerate(loader):
        optimizer.zero_grad()
        criterion(net(inputs), targets).backward()
        optimizer.step()
        if step % 2 == 0:
            print(evaluate(net, loader))
""",
        # A trainer whose `validate` leaves the model as it needs it.
        """\
class Trainer:
    def __init__(self):
        self.net = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5), nn.Linear(8, 3))
        self.optimizer = torch.optim.SGD(self.net.parameters(), lr=0.1)

    def fit(self, loader):
        self.net.train()
        for epoch in range(num_epochs):
            for inputs, targets in loader:
                self.optimizer.zero_grad()
                F.cross_entropy(self.net(inputs), targets).backward()
                self.optimizer.step()
            print(self.validate(loader))

    @torch.no_grad()
    def validate(self, loader):
        self.net.eval()  # expect: LG701
        total = 0.0
        for inputs, targets in loader:
            total += F.cross_entropy(self.net(inputs), targets).item()
        return total


Trainer().fit(loader)
""",
        # To save a checkpoint is no reason either.
        """\
import io

net = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5), nn.Linear(8, 3))
optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
for epoch in range(num_epochs):
    net.train()
    for batch, (inputs, targets) in enumerate(loader, 1):
        optimizer.zero_grad()
        criterion(net(inputs), targets).backward()
        optimizer.step()
        if batch % 2 == 0:
            net.eval().cpu()  # expect: LG701
            torch.save(net.state_dict(), io.BytesIO())
            net.to(device)
""",
        # One of two is restored.
        """\
encoder = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5))
decoder = nn.Sequential(nn.Linear(8, 8), nn.Dropout(0.5), nn.Linear(8, 3))
optimizer = torch.optim.SGD([*encoder.parameters(), *decoder.parameters()], lr=0.1)
decoder.train()
for epoch in range(num_epochs):
    encoder.train()
    for inputs, targets in loader:
        optimizer.zero_grad()
        criterion(decoder(encoder(inputs)), targets).backward()
        optimizer.step()
    encoder.eval()
    decoder.eval()  # expect: LG701
    with torch.no_grad():
        print(criterion(decoder(encoder(loader[0][0])), loader[0][1]))
""",
        # The way out of the function that is taken most often leads past `train()`.
        """\
def is_best(net, best):
    net.eval()  # expect: LG701
    with torch.no_grad():
        score = sum(criterion(net(inputs), targets).item() for inputs, targets in loader)
    if score >= best:
        return False
    net.train()
    return True


net = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5), nn.Linear(8, 3))
optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
for epoch in range(num_epochs):
    for inputs, targets in loader:
        optimizer.zero_grad()
        criterion(net(inputs), targets).backward()
        optimizer.step()
    if is_best(net, best=-1.0):
        print(epoch)
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
    with torch.no_grad():
        correct = sum((net(inputs).argmax(1) == targets).sum().item() for inputs, targets in loader)
    print(epoch, correct)
""",
        # The evaluation leaves the mode as it was.
        """\
@torch.no_grad()
def evaluate(net, loader):
    was_training = net.training
    net.eval()
    total = sum(criterion(net(inputs), targets).item() for inputs, targets in loader)
    net.train(was_training)
    return total


net = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5), nn.Linear(8, 3))
optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
for epoch in range(num_epochs):
    for step, (inputs, targets) in enumerate(loader):
        optimizer.zero_grad()
        criterion(net(inputs), targets).backward()
        optimizer.step()
        if step % 2 == 0:
            print(evaluate(net, loader))
""",
        # A context manager does so.
        """\
from contextlib import contextmanager


@contextmanager
def evaluating(net):
    training = net.training
    try:
        net.eval()
        yield net
    finally:
        if training:
            net.train()


net = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5), nn.Linear(8, 3))
optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
for epoch in range(num_epochs):
    for inputs, targets in loader:
        optimizer.zero_grad()
        criterion(net(inputs), targets).backward()
        optimizer.step()
    with evaluating(net), torch.no_grad():
        print(criterion(net(loader[0][0]), loader[0][1]))
""",
        # The statistics of a pretrained part stay as they are, on purpose.
        """\
net = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Linear(8, 3))
optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
for epoch in range(num_epochs):
    net.train()
    net[1].eval()
    for inputs, targets in loader:
        optimizer.zero_grad()
        criterion(net(inputs), targets).backward()
        optimizer.step()
""",
        # Fine-tuned in evaluation mode from the first step on.
        """\
net = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Linear(8, 3))
optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
net.eval()
for epoch in range(num_epochs):
    for inputs, targets in loader:
        optimizer.zero_grad()
        criterion(net(inputs), targets).backward()
        optimizer.step()
""",
        # A teacher is not trained.
        """\
teacher = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5), nn.Linear(8, 3))
for epoch in range(num_epochs):
    teacher.eval()
    for inputs, _ in loader:
        with torch.no_grad():
            soft = teacher(inputs).softmax(1)
        optimizer.zero_grad()
        criterion(model(inputs), soft).backward()
        optimizer.step()
""",
        # Linear layers and activations have only one mode.
        """\
net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
for epoch in range(num_epochs):
    for inputs, targets in loader:
        optimizer.zero_grad()
        criterion(net(inputs), targets).backward()
        optimizer.step()
    net.eval()
    with torch.no_grad():
        print(criterion(net(loader[0][0]), loader[0][1]))
""",
        # An attack on the model as it will be used, and a step of training on what comes out.
        """\
def attack(net, inputs, targets):
    net.eval()
    inputs = inputs.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(F.cross_entropy(net(inputs), targets), inputs)
    net.train()
    return (inputs + 0.01 * gradient.sign()).detach()


net = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5), nn.Linear(8, 3))
optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
for inputs, targets in loader:
    adversarial = attack(net, inputs, targets)
    optimizer.zero_grad()
    criterion(net(adversarial), targets).backward()
    optimizer.step()
""",
    )

    def explain(self, case: Case) -> str | None:
        learn = case.facts.get("learn", "the next backward pass")
        return f"`{case.at.text}` is not undone: `{learn}` goes on to train `{case.subject}` in evaluation mode"

    def advise(self, case: Case) -> str:
        return f"call `{case.subject}.train()` when the evaluation is over, or before each iteration that trains"
