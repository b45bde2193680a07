"""The gate of an accumulation window opens at the wrong batches.

## What it does

Finds gates that are open in the first iteration (`i % k == 0` with `i` counting from 0), and gates that
are inverted (`if i % k:` is true on every batch but each k-th).

## Why is this bad?

`i % k == 0` is true for `i = 0`. The first window is a single batch, divided by k, so that every epoch
starts with a small step towards one batch. All later windows are shifted by one, and the batches behind
the last multiple of k stay behind, unstepped.

`if i % k:` is the opposite of what was meant. It steps k - 1 times out of k and accumulates over two
batches where it does not; with `k = 1`, the default of most scripts, it never steps at all.

## Known limits

The counter's first value has to be visible: `enumerate(loader)`, `enumerate(loader, 1)`, a counter set
before the loop. Gates that hold no part of an update (logging, validation, a generator that is trained on
every k-th batch together with its backward pass) may open wherever they like.

## References

- [Gradient accumulation](https://docs.pytorch.org/docs/stable/notes/amp_examples.html#gradient-accumulation),
  with `(i + 1) % iters_to_accumulate == 0`
- [Python: `enumerate`](https://docs.python.org/3/library/functions.html#enumerate), on `start`
"""

from loopguard.rule import Case, Level, Rule, window


class AccumulationOffByOne(Rule):
    code = "LG404"
    level = Level.WARNING
    engines = "SR"
    mistakes = frozenset({window.Mistake.OFF_BY_ONE, window.Mistake.INVERTED})

    bad = (
        """\
for i, (inputs, targets) in enumerate(loader):
    loss = criterion(model(inputs), targets) / accumulation_steps
    loss.backward()
    if i % accumulation_steps == 0:
        optimizer.step()  # expect: LG404
        optimizer.zero_grad()
""",
        # A modulus is not a comparison.
        """\
for epoch in range(num_epochs):
    for i, (inputs, targets) in enumerate(loader):
        done = len(loader) * epoch + i
        loss = criterion(model(inputs), targets) / accumulation_steps
        loss.backward()
        if done % accumulation_steps:
            optimizer.step()  # expect: LG404
            optimizer.zero_grad()
""",
        # In a helper, with the last batch looked after.
        """\
def train(model, loader, optimizer, accumulation_steps=1):
    for batch_idx, (inputs, targets) in enumerate(loader):
        loss = F.cross_entropy(model(inputs), targets)
        loss /= accumulation_steps
        loss.backward()
        is_last = batch_idx == len(loader) - 1
        if batch_idx % accumulation_steps == 0 or is_last:
            optimizer.step()  # expect: LG404
            optimizer.zero_grad()


train(model, loader, optimizer, accumulation_steps=3)
""",
        # A counter that moves too late.
        """\
class Trainer:
    def __init__(self, model):
        self.model = model
        self.optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    def fit(self, loader, every):
        seen = 0
        for inputs, targets in loader:
            with torch.autocast(device):
                loss = F.cross_entropy(self.model(inputs), targets) / every
            scaler.scale(loss).backward()
            if seen % every == 0:
                scaler.step(self.optimizer)  # expect: LG404
                scaler.update()
                self.optimizer.zero_grad()
            seen += 1


Trainer(model).fit(loader, every=2)
""",
        # Inverted, in an early version of the same script.
        """\
for i, (inputs, targets) in enumerate(loader):
    (criterion(model(inputs), targets) / 4).backward()
    if (i + 1) % 4 != 0:
        optimizer.step()  # expect: LG404
        optimizer.zero_grad()
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
        # Counted from 1.
        """\
for i, (inputs, targets) in enumerate(loader, start=1):
    loss = criterion(model(inputs), targets) / accumulation_steps
    loss.backward()
    if not i % accumulation_steps:
        optimizer.step()
        optimizer.zero_grad()
""",
        # A counter that moves before it is asked.
        """\
step = 0
for inputs, targets in loader:
    loss = criterion(model(inputs), targets) / accumulation_steps
    loss.backward()
    step += 1
    if step % accumulation_steps == 0:
        optimizer.step()
        optimizer.zero_grad()
""",
        # The last of each window, by its remainder.
        """\
for i, (inputs, targets) in enumerate(loader):
    loss = criterion(model(inputs), targets) / accumulation_steps
    loss.backward()
    if i % accumulation_steps == accumulation_steps - 1:
        optimizer.step()
        optimizer.zero_grad()
""",
        # The batches within a window are passed over.
        """\
for i, (inputs, targets) in enumerate(loader):
    loss = criterion(model(inputs), targets) / accumulation_steps
    loss.backward()
    if (i + 1) % accumulation_steps:
        continue
    optimizer.step()
    optimizer.zero_grad()
""",
        # A gate that holds no part of the update.
        """\
for i, (inputs, targets) in enumerate(loader):
    optimizer.zero_grad()
    loss = criterion(model(inputs), targets)
    loss.backward()
    optimizer.step()
    if i % 2 == 0:
        print(i, loss.item())
    if i % 3:
        torch.manual_seed(i)
""",
        # The generator's turn, with its backward pass.
        """\
for i, (real, _) in enumerate(loader):
    fake = generator(torch.randn_like(real))
    opt_d.zero_grad()
    (discriminator(fake.detach()).mean() - discriminator(real).mean()).backward()
    opt_d.step()
    if i % 2 == 0:
        opt_g.zero_grad()
        (-discriminator(fake).mean()).backward()
        opt_g.step()
""",
        # Cleared at the first batch of a window, stepped at its last.
        """\
for i, (inputs, targets) in enumerate(loader):
    if i % accumulation_steps == 0:
        optimizer.zero_grad()
    (criterion(model(inputs), targets) / accumulation_steps).backward()
    if (i + 1) % accumulation_steps == 0:
        optimizer.step()
""",
    )

    def explain(self, case: Case) -> str | None:
        gate, size = case.facts["window"], case.facts["size"]
        if case.mistake is window.Mistake.INVERTED:
            return f"the gate `{gate}` is inverted: `{case.at.text}` runs on every batch but each `{size}`-th"
        return f"the gate `{gate}` is open in the first iteration: `{case.at.text}` applies a window of a single batch"

    def advise(self, case: Case) -> str:
        return f"count from 1 and compare with 0: `(i + 1) % {case.facts['size']} == 0` if `i` starts at 0"
