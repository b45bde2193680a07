"""A method of the training loop is named, but not called.

## What it does

Finds a statement that consists of nothing but `optimizer.step`, `optimizer.zero_grad`, `loss.backward`,
`scheduler.step` or `scaler.update`: the parentheses are missing.

## Why is this bad?

Python evaluates the name, throws the method away and goes on. There is no error and no warning. Without
the step the model never changes; without the clear every step uses the sum of all gradients so far;
without the backward pass the optimizer has nothing to apply. The code still reads as if all were well.

## Known limits

Only a statement by itself is reported. A method that is passed on, stored or returned
(`callbacks.append(optimizer.step)`) may well be called later.

The rest of the loop is judged as if the method had been called, so that one slip gives one finding.

## References

- [Taking an optimization step](https://docs.pytorch.org/docs/stable/optim.html#taking-an-optimization-step)
- [`Optimizer.step`](https://docs.pytorch.org/docs/stable/generated/torch.optim.Optimizer.step.html)
- [`Tensor.backward`](https://docs.pytorch.org/docs/stable/generated/torch.Tensor.backward.html)
"""

from loopguard.rule import Case, Level, Rule, source


class UncalledMethod(Rule):
    code = "LG001"
    level = Level.ERROR
    engines = "S"
    mistakes = frozenset({source.Mistake.UNCALLED})

    bad = (
        """\
for inputs, targets in loader:
    optimizer.zero_grad()
    loss = criterion(model(inputs), targets)
    loss.backward()
    optimizer.step  # expect: LG001
""",
        # In a helper.
        """\
def train_one_epoch(model, loader, optimizer):
    model.train()
    for inputs, targets in loader:
        optimizer.zero_grad  # expect: LG001
        loss = F.cross_entropy(model(inputs), targets)
        loss.backward()
        optimizer.step()


for epoch in range(num_epochs):
    train_one_epoch(model, loader, optimizer)
""",
        # The backward pass, on an attribute.
        """\
class Trainer:
    def __init__(self, model, optimizer):
        self.model = model
        self.optimizer = optimizer

    def train_step(self, inputs, targets):
        self.optimizer.zero_grad()
        self.loss = F.cross_entropy(self.model(inputs), targets)
        self.loss.backward  # expect: LG001
        self.optimizer.step()


trainer = Trainer(model, optimizer)
for inputs, targets in loader:
    trainer.train_step(inputs, targets)
""",
        # The schedule never moves.
        """\
scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=1)
for epoch in range(num_epochs):
    for inputs, targets in loader:
        optimizer.zero_grad()
        criterion(model(inputs), targets).backward()
        optimizer.step()
    scheduler.step  # expect: LG001
""",
        # The scale never moves. Only an enabled scaler notices, in the next iteration.
        """\
scaler = torch.amp.GradScaler(device, enabled=False)
for inputs, targets in loader:
    optimizer.zero_grad()
    with torch.autocast(device):
        loss = criterion(model(inputs), targets)
    scaler.scale(loss).backward()
    scaler.step(optimizer)
    scaler.update  # expect: LG001
""",
        # Two at once, one of them in a branch.
        """\
for i, (inputs, targets) in enumerate(loader):
    criterion(model(inputs), targets).backward()
    if i > 0:
        optimizer.step  # expect: LG001
    optimizer.zero_grad  # expect: LG001
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
        # Bound methods under shorter names.
        """\
clear, update = optimizer.zero_grad, optimizer.step
for inputs, targets in loader:
    clear()
    criterion(model(inputs), targets).backward()
    update()
""",
        # Handed on, and called there.
        """\
def run(before, after):
    for inputs, targets in loader:
        before()
        criterion(model(inputs), targets).backward()
        for hook in after:
            hook()


run(optimizer.zero_grad, [optimizer.step])
""",
        # A counter that is called `step`, a field that is called `update`.
        """\
class State:
    step = 0
    update = False


state = State()
for inputs, targets in loader:
    optimizer.zero_grad()
    criterion(model(inputs), targets).backward()
    optimizer.step()
    state.step += 1
    state.update = state.step % 2 == 0
state.step
state.update
""",
        # A property that does the work.
        """\
class Meter:
    def __init__(self):
        self.values = []

    @property
    def step(self):
        self.values.append(len(self.values))
        return self.values[-1]


meter = Meter()
for inputs, targets in loader:
    optimizer.zero_grad()
    criterion(model(inputs), targets).backward()
    optimizer.step()
    meter.step
""",
        # Asked for, not stated.
        """\
assert callable(optimizer.step)
original = optimizer.step
print(original.__name__, [loss.backward for loss in ()])
""",
    )

    def explain(self, case: Case) -> str | None:
        return f"`{case.at.text}` names the method and does not call it: this line does nothing"

    def advise(self, case: Case) -> str:
        return f"call it: `{case.at.text}()`"
