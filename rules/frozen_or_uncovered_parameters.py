"""An optimizer and the parameters that are trained miss each other.

## What it does

Finds, in a run, optimizers whose parameters never receive a gradient, parameters that receive gradients and are
in no optimizer, parameters that were replaced after the optimizer took them, and steps that leave parameters as they
are although these have gradients.

## Why is this bad?

An optimizer holds the parameter objects that it was given, and knows nothing of the module. Where those are
frozen, where a layer has been swapped since, or where the module has been sharded (`fully_shard`) after the
optimizer was built, `step()` goes through parameters without gradients and does nothing. The new layer has
gradients and nobody to apply them. Nothing fails: the loss may even fall, by what the rest of the model learns.
A step that was captured for other tensors, or that writes into copies of parameters, does as little.

## Known limits

A run has to come to the third step, and to the sixteenth for a step that does nothing. Parameters of a part in
evaluation mode (a frozen feature extractor, a perceptual loss) are taken to be left out on purpose, and so are
parameters that somebody updates by hand.

## References

- [Constructing an optimizer](https://docs.pytorch.org/docs/stable/optim.html#constructing-it)
- [`fully_shard`](https://docs.pytorch.org/docs/stable/distributed.fsdp.fully_shard.html), on building the
  optimizer after it
"""

from loopguard.rule import Case, Level, Rule, coverage


class FrozenOrUncoveredParameters(Rule):
    code = "LG803"
    level = Level.WARNING
    engines = "R"
    mistakes = frozenset(coverage.Mistake)

    bad = (
        # The head is swapped when the optimizer has taken the old one.
        """\
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
model[2] = nn.Linear(8, 3)
for inputs, targets in loader:
    optimizer.zero_grad()
    criterion(model(inputs), targets).backward()
    optimizer.step()  # expect: LG803
""",
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
        # Half of the model is in no optimizer.
        """\
def train(net, loader):
    head = torch.optim.SGD(net[1].parameters(), lr=0.1)
    for inputs, targets in loader:
        head.zero_grad()
        loss = F.cross_entropy(net(inputs), targets)
        loss.backward()
        head.step()  # expect: LG803


train(nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 3)), loader)
""",
        # The generator that the optimizer got was used up before.
        """\
parameters = model.parameters()
print(sum(p.numel() for p in model[0].parameters()))
optimizer = torch.optim.SGD([p.detach().clone().requires_grad_() for p in parameters], lr=0.1)
for epoch in range(num_epochs):
    for inputs, targets in loader:
        optimizer.zero_grad()
        criterion(model(inputs), targets).backward()
        optimizer.step()  # expect: LG803
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
            self.optimizer.step()  # expect: LG803


checkpoint = io.BytesIO()
torch.save(model.state_dict(), checkpoint)
checkpoint.seek(0)
trainer = Trainer(model)
trainer.resume(checkpoint)
trainer.fit(loader)
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
        optimizer.step()  # expect: LG803
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
        first, count = case.facts["first"], int(case.facts["count"])
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
}
_ADVICE = {
    coverage.Mistake.UNFED: "give `{subject}` the parameters that are trained, or set `requires_grad` on its own",
    coverage.Mistake.UNCOVERED: "add them to `{subject}`, or freeze them with `requires_grad_(False)`",
    coverage.Mistake.UNMOVED: "write into the parameters that `{subject}` holds, not into copies or captured tensors",
}
