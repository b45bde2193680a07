"""The losses of a window are summed, and not divided by its size.

## What it does

Finds windows of k batches whose loss is a mean over the batch, and where neither the loss nor the
gradients are divided by k.

## Why is this bad?

Accumulation is meant to give the step of one large batch. The mean over a large batch is the mean of the
small batches' means, and what the window gathers is their sum, k times as large. With plain SGD that
multiplies the learning rate by k; a norm to clip at, a weight decay or a loss that is compared with
another run mean something else than before. Adam hides most of it, until the gradients are clipped.

## Known limits

A loss that is summed over the batch (`reduction="sum"`) needs no division by k. A loss or an optimizer
that comes from code loopguard cannot read may divide by itself. Wrappers that divide, such as Accelerate,
Lightning and DeepSpeed, are known.

It is a warning, since a learning rate may have been chosen to go with the sum.

## References

- [Gradient accumulation](https://docs.pytorch.org/docs/stable/notes/amp_examples.html#gradient-accumulation),
  with the division
- [`CrossEntropyLoss`](https://docs.pytorch.org/docs/stable/generated/torch.nn.CrossEntropyLoss.html), on
  `reduction`
"""

from loopguard.rule import Case, Level, Rule, window


class AccumulationUnscaled(Rule):
    code = "LG402"
    level = Level.WARNING
    engines = "S"
    mistakes = frozenset({window.Mistake.UNSCALED})

    bad = (
        """\
for i, (inputs, targets) in enumerate(loader):
    loss = criterion(model(inputs), targets)
    loss.backward()  # expect: LG402
    if (i + 1) % accumulation_steps == 0:
        optimizer.step()
        optimizer.zero_grad()
""",
        # A helper.
        """\
def train(model, loader, optimizer, every=4):
    model.train()
    optimizer.zero_grad()
    for i, (inputs, targets) in enumerate(loader, start=1):
        loss = F.cross_entropy(model(inputs), targets)
        loss.backward()  # expect: LG402
        if i % every == 0 or i == len(loader):
            nn.utils.clip_grad_norm_(model.parameters(), max_norm)
            optimizer.step()
            optimizer.zero_grad()


train(model, loader, optimizer)
""",
        # With a scaler: scaling is not dividing.
        """\
for i, (inputs, targets) in enumerate(loader):
    with torch.autocast(device):
        loss = criterion(model(inputs), targets)
    scaler.scale(loss).backward()  # expect: LG402
    if (i + 1) % accumulation_steps == 0:
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad(set_to_none=True)
""",
        # In a class; cleared when the window begins.
        """\
class Trainer:
    def __init__(self, model, accumulate):
        self.model = model
        self.accumulate = accumulate
        self.optimizer = torch.optim.AdamW(model.parameters())

    def fit(self, loader):
        for step, (inputs, targets) in enumerate(loader):
            if step % self.accumulate == 0:
                self.optimizer.zero_grad()
            F.cross_entropy(self.model(inputs), targets).backward()  # expect: LG402
            if step % self.accumulate == self.accumulate - 1:
                self.optimizer.step()


Trainer(model, accumulate=2).fit(loader)
""",
    )
    good = (
        """\
for i, (inputs, targets) in enumerate(loader):
    loss = criterion(model(inputs), targets) / accumulation_steps
    loss.backward()
    if (i + 1) % accumulation_steps == 0:
        optimizer.step()
        optimizer.zero_grad()
""",
        # In place, and only where there is something to divide.
        """\
def train(loader, every):
    for i, (inputs, targets) in enumerate(loader):
        with torch.autocast(device):
            loss = criterion(model(inputs), targets)
        if every > 1:
            loss /= every
        scaler.scale(loss).backward()
        if (i + 1) % every == 0:
            scaler.step(optimizer)
            scaler.update()
            optimizer.zero_grad()


train(loader, every=2)
""",
        # On the way to `backward`, by a factor, under another name.
        """\
scale = 1 / accumulation_steps
for i, (inputs, targets) in enumerate(loader):
    loss = criterion(model(inputs), targets)
    print(loss.item())
    (loss * scale).backward()
    if (i + 1) % accumulation_steps == 0:
        optimizer.step()
        optimizer.zero_grad()
""",
        # The loss is a sum, divided by what the window holds.
        """\
samples = accumulation_steps * 6
for i, (inputs, targets) in enumerate(loader):
    loss = F.cross_entropy(model(inputs), targets, reduction="sum")
    (loss / samples).backward()
    if (i + 1) % accumulation_steps == 0:
        optimizer.step()
        optimizer.zero_grad()
""",
        # A plain sum.
        """\
for i, (inputs, targets) in enumerate(loader):
    loss = F.mse_loss(model(inputs), F.one_hot(targets, 3).float(), reduction="sum")
    loss.backward()
    if (i + 1) % accumulation_steps == 0:
        optimizer.step()
        optimizer.zero_grad()
""",
        # The gradients are divided.
        """\
for i, (inputs, targets) in enumerate(loader):
    criterion(model(inputs), targets).backward()
    if (i + 1) % accumulation_steps == 0:
        for group in optimizer.param_groups:
            for p in group["params"]:
                p.grad /= accumulation_steps
        optimizer.step()
        optimizer.zero_grad()
""",
        # Accelerate divides.
        """\
from accelerate import Accelerator

accelerator = Accelerator(gradient_accumulation_steps=2)
model, optimizer, loader = accelerator.prepare(model, optimizer, loader)
for inputs, targets in loader:
    with accelerator.accumulate(model):
        accelerator.backward(criterion(model(inputs), targets))
        optimizer.step()
        optimizer.zero_grad()
""",
        # Divided where the loss is computed.
        """\
def loss_of(inputs, targets):
    return F.cross_entropy(model(inputs), targets) / accumulation_steps


for i, (inputs, targets) in enumerate(loader):
    loss_of(inputs, targets).backward()
    if (i + 1) % accumulation_steps == 0:
        optimizer.step()
        optimizer.zero_grad()
""",
    )

    def explain(self, case: Case) -> str | None:
        size = case.facts["size"]
        return f"`{case.at.text}` sums the mean losses of `{size}` batches: the step is as many times too large"

    def advise(self, case: Case) -> str:
        return f"divide the loss by `{case.facts['size']}` before `backward()`"
