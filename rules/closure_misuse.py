"""An optimizer that needs a closure gets none, or a closure that does not do its part.

## What it does

Finds `step()` without a closure on an optimizer that cannot work without one (`LBFGS`), and closures that
are handed to `step` and do not clear the gradients, do not call `backward()`, or do not return the loss.

## Why is this bad?

Some optimizers evaluate the loss several times within one step. They cannot do it by themselves: they
call the closure, which has to clear the gradients, compute the loss, call `backward()` and return the
loss.

- Without a closure, `LBFGS.step()` raises a `TypeError`.
- Without the clear, every evaluation adds to the gradients of the one before, and the line search follows
  a direction that belongs to no point.
- Without `backward()` there are no gradients, and the step goes nowhere.
- Without the loss, the line search has nothing to compare, and `LBFGS` raises.

## Known limits

A closure that comes from code loopguard cannot read is trusted. For optimizers that call it only once, a
clear outside the closure, once per step, is as good as one inside, and not reported.

## References

- [`optimizer.step(closure)`](https://docs.pytorch.org/docs/stable/optim.html#optimizer-step-closure)
- [`LBFGS`](https://docs.pytorch.org/docs/stable/generated/torch.optim.LBFGS.html)
"""

from loopguard.rule import Case, Level, Rule, closure

_MESSAGES = {
    closure.Mistake.ABSENT: "`{call}` gets no closure, and `{subject}` cannot step without one",
    closure.Mistake.NO_CLEAR: "the closure of `{call}` does not clear: each evaluation adds to the last one",
    closure.Mistake.NO_BACKWARD: "the closure of `{call}` calls no `backward()`: the step sees no gradients",
    closure.Mistake.NO_RETURN: "the closure of `{call}` does not return the loss, which `{subject}` needs",
}
_ADVICE = {
    closure.Mistake.ABSENT: "pass a closure that clears, calls `backward()` on the loss and returns the loss",
    closure.Mistake.NO_CLEAR: "call `{subject}.zero_grad()` first thing in the closure",
    closure.Mistake.NO_BACKWARD: "call `loss.backward()` in the closure before it returns the loss",
    closure.Mistake.NO_RETURN: "end the closure with `return loss`",
}


class ClosureMisuse(Rule):
    code = "LG205"
    level = Level.ERROR
    engines = "SR"
    mistakes = frozenset(closure.Mistake)

    bad = (
        """\
lbfgs = torch.optim.LBFGS(model.parameters(), lr=0.1, max_iter=4)
for inputs, targets in loader:
    lbfgs.zero_grad()
    loss = criterion(model(inputs), targets)
    loss.backward()
    lbfgs.step()  # expect: LG205
""",
        # It does not clear.
        """\
lbfgs = torch.optim.LBFGS(model.parameters(), lr=0.1, max_iter=4)
for inputs, targets in loader:

    def closure():
        loss = criterion(model(inputs), targets)
        loss.backward()
        return loss

    lbfgs.step(closure)  # expect: LG205
""",
        # It does not call backward.
        """\
def train(epoch):
    for inputs, targets in loader:
        loss = optimizer.step(lambda: criterion(model(inputs), targets))  # expect: LG205
        print(epoch, loss.item())


for epoch in range(num_epochs):
    train(epoch)
""",
        # It returns nothing.
        """\
class Fit:
    def __init__(self, model):
        self.model = model
        self.optimizer = torch.optim.LBFGS(model.parameters(), max_iter=4)

    def closure(self):
        self.optimizer.zero_grad()
        self.loss = F.cross_entropy(self.model(self.inputs), self.targets)
        self.loss.backward()

    def run(self, loader):
        for self.inputs, self.targets in loader:
            self.optimizer.step(self.closure)  # expect: LG205


Fit(model).run(loader)
""",
        # It clears, but in front of the loop that `step` runs.
        """\
inputs, targets = loader[0]
lbfgs = torch.optim.LBFGS(model.parameters(), history_size=10, max_iter=4)


def objective():
    loss = F.cross_entropy(model(inputs), targets)
    loss.backward()
    return loss


for i in range(5):
    lbfgs.zero_grad()
    lbfgs.step(objective)  # expect: LG205
""",
    )
    good = (
        """\
lbfgs = torch.optim.LBFGS(model.parameters(), lr=0.1, max_iter=4)
for inputs, targets in loader:

    def closure():
        lbfgs.zero_grad()
        loss = criterion(model(inputs), targets)
        loss.backward()
        return loss

    lbfgs.step(closure)
""",
        # Cleared by the model, returned from a helper.
        """\
def evaluate(model, inputs, targets):
    model.zero_grad()
    loss = F.cross_entropy(model(inputs), targets)
    loss.backward()
    return loss


lbfgs = torch.optim.LBFGS(model.parameters(), max_iter=4, line_search_fn="strong_wolfe")
for inputs, targets in loader:
    lbfgs.step(lambda: evaluate(model, inputs, targets))
""",
        # An optimizer that does not need one.
        """\
adam = torch.optim.Adam(model.parameters())
for inputs, targets in loader:
    adam.zero_grad()
    criterion(model(inputs), targets).backward()
    adam.step()
""",
        # An optimizer that calls it once: the clear may stand in front.
        """\
for inputs, targets in loader:

    def closure():
        loss = criterion(model(inputs), targets)
        loss.backward()
        return loss

    optimizer.zero_grad()
    optimizer.step(closure)
""",
        # One of many optimizers, by name; the closure serves them all.
        """\
def fit(name, inputs, targets):
    chosen = getattr(torch.optim, name)(model.parameters(), lr=0.1)

    def closure():
        chosen.zero_grad()
        loss = F.cross_entropy(model(inputs), targets)
        if loss.requires_grad:
            loss.backward()
        return loss

    for _ in range(3):
        chosen.step(closure)


fit("LBFGS", *loader[0])
fit("SGD", *loader[0])
""",
        # The closure comes from elsewhere.
        """\
def minimise(optimizer, closure, steps):
    for _ in range(steps):
        optimizer.step(closure)


def closure():
    lbfgs.zero_grad()
    loss = model(loader[0][0]).pow(2).mean()
    loss.backward()
    return loss


lbfgs = torch.optim.LBFGS(model.parameters(), max_iter=4)
minimise(lbfgs, closure, steps=3)
""",
        # The value as a number is as good.
        """\
x = torch.tensor([-1.0, 2.0], requires_grad=True)
lbfgs = torch.optim.LBFGS([x], max_iter=4, line_search_fn="strong_wolfe")


def rosenbrock():
    lbfgs.zero_grad()
    loss = (1 - x[0]) ** 2 + 100 * (x[1] - x[0] ** 2) ** 2
    loss.backward()
    return loss.item()


for _ in range(10):
    lbfgs.step(rosenbrock)
""",
    )

    def explain(self, case: Case) -> str | None:
        return _MESSAGES[closure.Mistake(case.mistake)].format(call=case.at.text, subject=case.subject)

    def advise(self, case: Case) -> str:
        return _ADVICE[closure.Mistake(case.mistake)].format(subject=case.subject)
