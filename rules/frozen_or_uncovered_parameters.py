"""An optimizer and the parameters that are trained miss each other.

## What it does

Finds optimizers that are made over frozen parameters. In a run it also finds those whose parameters never receive a
gradient for any other reason, parameters that receive gradients and are in no optimizer, and steps that leave
parameters as they are although these have gradients.

## Why is this bad?

An optimizer holds the parameter objects that it was given, and knows nothing of the module. Where those are
frozen, `step()` goes through parameters without gradients and does nothing. A layer that was added later has
gradients and nobody to apply them. Nothing fails: the loss may even fall, by what the rest of the model learns.
A step that was captured for other tensors, or that writes into copies of parameters, does as little.

## Known limits

The text shows only parameters that are frozen as a whole and for good, in a file that thaws none. A run has to come to
the third step, and to the sixteenth for a step that does nothing. Parameters of a part in evaluation mode (a frozen
feature extractor, a perceptual loss) are taken to be left out on purpose, and so are parameters that somebody updates
by hand.

## References

- [Constructing an optimizer](https://docs.pytorch.org/docs/stable/optim.html#constructing-it)
- [`fully_shard`](https://docs.pytorch.org/docs/stable/distributed.fsdp.fully_shard.html), on building the
  optimizer after it
"""

from loopguard.rule import Case, Level, Rule, coverage


class FrozenOrUncoveredParameters(Rule):
    code = "LG803"
    level = Level.WARNING
    engines = "SR"
    mistakes = frozenset(coverage.Mistake)

    bad = (
        # Everything that the optimizer holds is frozen.
        """\
for parameter in model[0].parameters():
    parameter.requires_grad = False
optimizer = torch.optim.Adam(model[0].parameters(), lr=1e-3)
for inputs, targets in loader:
    optimizer.zero_grad()
    criterion(model(inputs), targets).backward()
    optimizer.step()  # expect: LG803
""",
        # The class freezes its encoder, and gives the optimizer nothing else.
        """\
class Tuner:
    def __init__(self, encoder, head):
        self.encoder, self.head = encoder, head
        self.encoder.requires_grad_(False)
        self.optimizer = torch.optim.AdamW(self.encoder.parameters(), lr=1e-3)

    def tune(self, loader):
        for inputs, targets in loader:
            self.optimizer.zero_grad()
            F.cross_entropy(self.head(self.encoder(inputs)), targets).backward()
            self.optimizer.step()  # expect: LG803


Tuner(nn.Linear(4, 8), nn.Linear(8, 3)).tune(loader)
""",
        # A helper freezes the model, and nobody thaws a part of it again.
        """\
def freeze(module):
    for parameter in module.parameters():
        parameter.requires_grad = False


body, head = nn.Linear(4, 8), nn.Linear(8, 3)
freeze(body)
optimizer = torch.optim.SGD(body.parameters(), lr=0.1, momentum=0.9)
for epoch in range(num_epochs):
    for inputs, targets in loader:
        optimizer.zero_grad()
        loss = criterion(head(body(inputs)), targets)
        loss.backward()
        optimizer.step()  # expect: LG803
""",
        # Half of the model is in no optimizer.
        """\
def train(net, loader):
    head = torch.optim.SGD(net[1].parameters(), lr=0.1)
    for inputs, targets in loader:
        head.zero_grad()
        loss = F.cross_entropy(net(inputs), targets)
        loss.backward()
        head.step()  # expect: LG803, in a run


train(nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 3)), loader)
""",
        # The step writes into copies: a transposed weight has to be copied to be flat.
        """\
class Flat(torch.optim.SGD):
    def step(self, closure=None):
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter.data.reshape(-1).sub_(group["lr"] * parameter.grad.reshape(-1))


model[0].weight.data = torch.randn(4, 8).t()
optimizer = Flat(model.parameters(), lr=0.1)
for epoch in range(5):
    for inputs, targets in loader:
        optimizer.zero_grad()
        criterion(model(inputs), targets).backward()
        optimizer.step()  # expect: LG803, in a run
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
        # The part that is not trained is frozen.
        """\
model[0].requires_grad_(False)
optimizer = torch.optim.SGD(model[2].parameters(), lr=0.1)
for inputs, targets in loader:
    optimizer.zero_grad()
    criterion(model(inputs), targets).backward()
    optimizer.step()
""",
        # A critic in evaluation mode passes gradients on and is not trained.
        """\
critic = nn.Linear(3, 1).eval()
for inputs, _ in loader:
    optimizer.zero_grad()
    critic(model(inputs)).mean().backward()
    optimizer.step()
""",
        # Each part has an optimizer of its own.
        """\
body = torch.optim.SGD(model[0].parameters(), lr=0.1)
head = torch.optim.SGD(model[2].parameters(), lr=0.01)
for inputs, targets in loader:
    model.zero_grad()
    criterion(model(inputs), targets).backward()
    body.step()
    head.step()
""",
        # A warm-up begins with a learning rate of zero.
        """\
warm_up = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: max(0, step - 20) / 20)
for epoch in range(5):
    for inputs, targets in loader:
        optimizer.zero_grad()
        criterion(model(inputs), targets).backward()
        optimizer.step()
        warm_up.step()
""",
        # The body is frozen at first, and trained later.
        """\
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
model.requires_grad_(False)
model[2].requires_grad_(True)
for epoch in range(num_epochs):
    model[0].requires_grad_(epoch > 0)
    for inputs, targets in loader:
        optimizer.zero_grad()
        criterion(model(inputs), targets).backward()
        optimizer.step()
""",
        # A new head on a frozen model.
        """\
for parameter in model.parameters():
    parameter.requires_grad = False
model[2] = nn.Linear(8, 3)
optimizer = torch.optim.SGD(filter(lambda p: p.requires_grad, model.parameters()), lr=0.1)
for inputs, targets in loader:
    optimizer.zero_grad()
    criterion(model(inputs), targets).backward()
    optimizer.step()
""",
        # The rest is updated by hand.
        """\
head = torch.optim.SGD(model[2].parameters(), lr=0.1)
for inputs, targets in loader:
    model.zero_grad()
    criterion(model(inputs), targets).backward()
    head.step()
    with torch.no_grad():
        for parameter in model[0].parameters():
            parameter -= 0.1 * parameter.grad
""",
    )

    def explain(self, case: Case) -> str | None:
        first, count = case.facts.get("first", ""), int(case.facts.get("count", "1"))
        these = f"`{first}`" if count == 1 else f"`{first}` and {count - 1} more"
        return _MESSAGES[coverage.Mistake(case.mistake)].format(call=case.at.text, subject=case.subject, these=these)

    def advise(self, case: Case) -> str:
        return _ADVICE[coverage.Mistake(case.mistake)].format(subject=case.subject)


_MESSAGES = {
    coverage.Mistake.UNFED: "`{call}` does nothing: no parameter of `{subject}` ever receives a gradient ({these})",
    coverage.Mistake.UNCOVERED: (
        "`{call}` leaves out parameters that receive gradients and are in no optimizer: {these}"
    ),
    coverage.Mistake.UNMOVED: (
        "`{call}` leaves parameters of `{subject}` as they are although they have gradients: {these}"
    ),
    coverage.Mistake.FROZEN: "`{call}` does nothing: every parameter of `{subject}` is frozen",
}
_ADVICE = {
    coverage.Mistake.UNFED: "give `{subject}` the parameters that are trained, or set `requires_grad` on its own",
    coverage.Mistake.UNCOVERED: "add them to `{subject}`, or freeze them with `requires_grad_(False)`",
    coverage.Mistake.UNMOVED: "write into the parameters that `{subject}` holds, not into copies or captured tensors",
    coverage.Mistake.FROZEN: "give `{subject}` the parameters that are trained, or set `requires_grad` on its own",
}
