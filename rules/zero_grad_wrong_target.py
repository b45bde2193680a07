"""What is cleared is not what is stepped.

## What it does

Finds loops that do clear gradients in every iteration, but not those of the optimizer that steps: the
clear is of another module, of another optimizer, or of a part of the parameters.

## Why is this bad?

A clear empties the gradients of what it is called on and of nothing else. `head.zero_grad()` leaves the
backbone's gradients where they are, and `old_optimizer.zero_grad()` those of parameters that only the new
one holds. What is left is summed over iterations, and since there is a `zero_grad()` in plain sight, a
reader does not miss one.

## Known limits

Which parameters an optimizer holds is read from its construction (`Adam(model.parameters())`, a list,
parameter groups, `chain(...)`). Where that is not known, a clear of anything related to it counts as a
clear of all.

Where the other thing that is cleared is stepped as well, the clear belongs there, and the finding is
`missing-zero-grad`.

## References

- [`Module.zero_grad`](https://docs.pytorch.org/docs/stable/generated/torch.nn.Module.html#torch.nn.Module.zero_grad)
- [`Optimizer.zero_grad`](https://docs.pytorch.org/docs/stable/generated/torch.optim.Optimizer.zero_grad.html)
- [Constructing an optimizer](https://docs.pytorch.org/docs/stable/optim.html#constructing-it)
"""

from loopguard.rule import Case, Kind, Level, Reach, Relation, Rule, gradient


class ZeroGradWrongTarget(Rule):
    code = "LG104"
    level = Level.ERROR
    engines = "SR"
    mistakes = frozenset({gradient.Mistake.STALE_STEP})

    bad = (
        # Only a part of what the optimizer holds.
        """\
encoder, decoder = nn.Linear(4, 2), nn.Linear(2, 4)
optimizer = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()])
for inputs, _ in loader:
    decoder.zero_grad()
    loss = F.mse_loss(decoder(encoder(inputs)), inputs)
    loss.backward()
    optimizer.step()  # expect: LG104
""",
        # The teacher in place of the student.
        """\
teacher = nn.Linear(4, 3)
student = nn.Linear(4, 3)
optimizer = torch.optim.SGD(student.parameters(), lr=0.1)


def distill(loader):
    for inputs, _ in loader:
        teacher.zero_grad()
        loss = F.mse_loss(student(inputs), teacher(inputs).detach())
        loss.backward()
        optimizer.step()  # expect: LG104


distill(loader)
""",
        # Two optimizers; the one that is cleared never steps here.
        """\
warmup = torch.optim.SGD(generator.parameters(), lr=0.1)
main = torch.optim.AdamW(model.parameters(), lr=1e-3)
for inputs, targets in loader:
    warmup.zero_grad()
    with torch.autocast(device):
        loss = F.cross_entropy(model(inputs), targets)
    loss.backward()
    main.step()  # expect: LG104
""",
        # By hand, and only the last layer.
        """\
for inputs, targets in loader:
    for p in model[-1].parameters():
        p.grad = None
    loss = criterion(model(inputs), targets)
    loss.backward()
    optimizer.step()  # expect: LG104
""",
        # A part of a module, in a class.
        """\
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.backbone = nn.Linear(4, 8)
        self.head = nn.Linear(8, 3)

    def forward(self, x):
        return self.head(self.backbone(x).relu())


class Trainer:
    def __init__(self):
        self.net = Net()
        self.optimizer = torch.optim.SGD(self.net.parameters(), lr=0.1)

    def fit(self, loader):
        for inputs, targets in loader:
            self.net.head.zero_grad()
            F.cross_entropy(self.net(inputs), targets).backward()
            self.optimizer.step()  # expect: LG104


Trainer().fit(loader)
""",
    )
    good = (
        # Both parts.
        """\
encoder, decoder = nn.Linear(4, 2), nn.Linear(2, 4)
optimizer = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()])
for inputs, _ in loader:
    encoder.zero_grad()
    decoder.zero_grad()
    loss = F.mse_loss(decoder(encoder(inputs)), inputs)
    loss.backward()
    optimizer.step()
""",
        # The optimizer holds a part of what is cleared.
        """\
model[0].requires_grad_(False)
optimizer = torch.optim.SGD(model[-1].parameters(), lr=0.1)
for inputs, targets in loader:
    model.zero_grad()
    criterion(model(inputs), targets).backward()
    optimizer.step()
""",
        # The parameters that can be trained, of the module that is cleared.
        """\
for p in model[0].parameters():
    p.requires_grad = False
optimizer = torch.optim.SGD(filter(lambda p: p.requires_grad, model.parameters()), lr=0.1)
for inputs, targets in loader:
    model.zero_grad(set_to_none=True)
    criterion(model(inputs), targets).backward()
    optimizer.step()
""",
        # A module that trains itself.
        """\
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 3)
        self.optimizer = torch.optim.SGD(self.parameters(), lr=0.1)

    def fit(self, loader):
        for inputs, targets in loader:
            self.zero_grad()
            F.cross_entropy(self.layer(inputs), targets).backward()
            self.optimizer.step()


Net().fit(loader)
""",
        # Parameter groups, cleared group by group.
        """\
optimizer = torch.optim.SGD(
    [
        {"params": model[0].parameters(), "lr": 0.01},
        {"params": model[-1].parameters()},
    ],
    lr=0.1,
)
for inputs, targets in loader:
    for group in optimizer.param_groups:
        for p in group["params"]:
            if p.grad is not None:
                p.grad.zero_()
    criterion(model(inputs), targets).backward()
    optimizer.step()
""",
        # The same module under the name of its parallel wrapper.
        """\
net = nn.DataParallel(model)
optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
for inputs, targets in loader:
    model.zero_grad()
    criterion(net(inputs), targets).backward()
    optimizer.step()
""",
        # A dictionary of optimizers.
        """\
opts = {"G": opt_g, "D": opt_d}
for real, _ in loader:
    fake = generator(torch.randn_like(real))
    opts["D"].zero_grad()
    (discriminator(fake.detach()).mean() - discriminator(real).mean()).backward()
    opts["D"].step()
    opts["G"].zero_grad()
    (-discriminator(fake).mean()).backward()
    opts["G"].step()
""",
    )

    def explain(self, case: Case) -> str | None:
        wrong = case.facts.get("wrong_target")
        if not wrong or case.has(Kind.CLEAR, Relation.WHOLE, Reach.INSIDE):
            return None
        partly = any(event.text == wrong for event in case.events(Kind.CLEAR, Relation.PART, Reach.INSIDE))
        reached = "clears only some" if partly else "clears none"
        return (
            f"`{case.at.text}` uses gradients summed over iterations: "
            f"`{wrong}` {reached} of the parameters of `{case.subject}`"
        )

    def advise(self, case: Case) -> str:
        return f"call `{case.subject}.zero_grad()` in place of `{case.facts['wrong_target']}`, or as well"
