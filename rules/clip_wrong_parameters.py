"""What is clipped is not what the optimizer holds.

## What it does

Finds clips of parameters that no optimizer of the loop steps, right before the step of another network's.

## Why is this bad?

The gradients that the step uses are not bounded at all. The line looks right, and usually comes from a copy:
`clip_grad_norm_(discriminator.parameters(), 1.0)` before the generator's step.

## Known limits

Only networks that are surely different count: both must be built in sight, and so must be what each optimizer
holds. Clipping one of several networks is a choice, and is left alone. A run tells it at the second such step.

## References

- [`clip_grad_norm_`](https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.clip_grad_norm_.html)
"""

from loopguard.rule import Case, Level, Rule, clipping


class ClipWrongParameters(Rule):
    code = "LG506"
    level = Level.WARNING
    engines = "SR"
    mistakes = frozenset({clipping.Mistake.WRONG_PARAMETERS})

    bad = (
        """\
teacher = nn.Linear(4, 3)
for inputs, targets in loader:
    optimizer.zero_grad()
    loss = F.mse_loss(model(inputs), teacher(inputs).detach())
    loss.backward()
    nn.utils.clip_grad_norm_(teacher.parameters(), max_norm)  # expect: LG506
    optimizer.step()
""",
        # Another head than the one that is trained.
        """\
body, head, spare = nn.Linear(4, 8), nn.Linear(8, 3), nn.Linear(8, 3)
adam = torch.optim.Adam([*body.parameters(), *head.parameters()], lr=1e-3)
for epoch in range(num_epochs):
    for inputs, targets in loader:
        adam.zero_grad()
        criterion(head(body(inputs)), targets).backward()
        torch.nn.utils.clip_grad_norm_(spare.parameters(), max_norm)  # expect: LG506
        adam.step()
""",
        # The copy that is averaged, not the network that is trained.
        """\
import copy

average = copy.deepcopy(model)


def train_step(inputs, targets):
    optimizer.zero_grad()
    criterion(model(inputs), targets).backward()
    nn.utils.clip_grad_norm_(average.parameters(), max_norm)  # expect: LG506
    optimizer.step()


for inputs, targets in loader:
    train_step(inputs, targets)
""",
    )
    good = (
        """\
teacher = nn.Linear(4, 3)
for inputs, targets in loader:
    optimizer.zero_grad()
    loss = F.mse_loss(model(inputs), teacher(inputs).detach())
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), max_norm)
    optimizer.step()
""",
        # A part of the network is clipped.
        """\
for inputs, targets in loader:
    optimizer.zero_grad()
    criterion(model(inputs), targets).backward()
    nn.utils.clip_grad_norm_(model[0].parameters(), max_norm)
    optimizer.step()
""",
        # One of two networks.
        """\
body, head = nn.Linear(4, 8), nn.Linear(8, 3)
adam = torch.optim.Adam([*body.parameters(), *head.parameters()], lr=1e-3)
for inputs, targets in loader:
    adam.zero_grad()
    criterion(head(body(inputs)), targets).backward()
    nn.utils.clip_grad_norm_(body.parameters(), max_norm)
    adam.step()
""",
        # The parameters as the optimizer knows them.
        """\
for inputs, targets in loader:
    optimizer.zero_grad()
    criterion(model(inputs), targets).backward()
    for group in optimizer.param_groups:
        nn.utils.clip_grad_norm_(group["params"], max_norm)
    optimizer.step()
""",
        # Wrapped, it is still the same network.
        """\
wrapped = nn.DataParallel(model)
for inputs, targets in loader:
    optimizer.zero_grad()
    criterion(wrapped(inputs), targets).backward()
    nn.utils.clip_grad_norm_(wrapped.parameters(), max_norm)
    optimizer.step()
""",
    )

    def explain(self, case: Case) -> str | None:
        return f"`{case.at.text}` clips parameters that `{case.subject}` does not hold: what it steps is not bounded"

    def advise(self, case: Case) -> str:
        return f"clip the parameters that `{case.subject}` was built over"
