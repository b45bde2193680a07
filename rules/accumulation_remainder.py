"""The last, partial window of an epoch is lost or leaks into the next.

## What it does

Finds windows that start anew with each epoch (their counter is that of the batch loop), where nothing
steps for the batches that are left over when the number of batches is not a multiple of the window.

## Why is this bad?

With 10 batches and windows of 4, the last two batches of every epoch never reach a step. If the gradients
are cleared at the start of the next epoch they are lost, always those of the same positions. If they are
not, the first window of the next epoch holds six batches, divided by four. With fewer batches than one
window, nothing is ever learnt.

## Known limits

Whether the numbers divide is seldom visible in the source. That is why this is advice, and off unless it
is selected. A counter that runs on across epochs loses nothing until the very end, and is not reported.

## References

- [Gradient accumulation](https://docs.pytorch.org/docs/stable/notes/amp_examples.html#gradient-accumulation)
- [`DataLoader`](https://docs.pytorch.org/docs/stable/data.html#torch.utils.data.DataLoader), on
  `drop_last`
"""

from loopguard.rule import Case, Level, Rule, window


class AccumulationRemainder(Rule):
    code = "LG403"
    level = Level.ADVICE
    engines = "SR"
    mistakes = frozenset({window.Mistake.REMAINDER})

    bad = (
        """\
for epoch in range(num_epochs):
    for i, (inputs, targets) in enumerate(loader):
        loss = criterion(model(inputs), targets) / accumulation_steps
        loss.backward()
        if (i + 1) % accumulation_steps == 0:
            optimizer.step()  # expect: LG403
            optimizer.zero_grad()
""",
        # A helper; what is left over is cleared by its next call.
        """\
def train(model, loader, optimizer, gradient_accumulation_steps=3):
    model.train()
    model.zero_grad()
    total = 0.0
    for step, (inputs, targets) in enumerate(loader):
        loss = F.cross_entropy(model(inputs), targets)
        if gradient_accumulation_steps > 1:
            loss = loss / gradient_accumulation_steps
        loss.backward()
        total += loss.item()
        if (step + 1) % gradient_accumulation_steps == 0:
            nn.utils.clip_grad_norm_(model.parameters(), max_norm)
            optimizer.step()  # expect: LG403
            model.zero_grad()
    return total


for epoch in range(num_epochs):
    train(model, loader, optimizer)
""",
        # Cleared when a window begins.
        """\
for epoch in range(num_epochs):
    for i, (inputs, targets) in enumerate(loader):
        if i % accumulation_steps == 0:
            optimizer.zero_grad()
        with torch.autocast(device):
            loss = criterion(model(inputs), targets)
        scaler.scale(loss / accumulation_steps).backward()
        if (i + 1) % accumulation_steps == 0:
            scaler.step(optimizer)  # expect: LG403
            scaler.update()
""",
    )
    good = (
        """\
for epoch in range(num_epochs):
    for i, (inputs, targets) in enumerate(loader):
        loss = criterion(model(inputs), targets) / accumulation_steps
        loss.backward()
        if (i + 1) % accumulation_steps == 0 or i + 1 == len(loader):
            optimizer.step()
            optimizer.zero_grad()
""",
        # Behind the loop.
        """\
for epoch in range(num_epochs):
    for i, (inputs, targets) in enumerate(loader):
        loss = criterion(model(inputs), targets) / accumulation_steps
        loss.backward()
        if (i + 1) % accumulation_steps == 0:
            optimizer.step()
            optimizer.zero_grad()
    if len(loader) % accumulation_steps != 0:
        optimizer.step()
        optimizer.zero_grad()
""",
        # What does not fill a window is not computed.
        """\
usable = len(loader) - len(loader) % accumulation_steps
for epoch in range(num_epochs):
    for i, (inputs, targets) in enumerate(loader):
        if i >= usable:
            break
        loss = criterion(model(inputs), targets) / accumulation_steps
        loss.backward()
        if (i + 1) % accumulation_steps == 0:
            optimizer.step()
            optimizer.zero_grad()
""",
        # The counter runs on: windows reach across epochs.
        """\
batches = 0
for epoch in range(num_epochs):
    for inputs, targets in loader:
        loss = criterion(model(inputs), targets) / accumulation_steps
        loss.backward()
        batches += 1
        if batches % accumulation_steps == 0:
            optimizer.step()
            optimizer.zero_grad()
""",
        # Windows first: each takes its own batches.
        """\
import itertools

stream = itertools.cycle(loader)
for update in range(4):
    optimizer.zero_grad()
    for _ in range(accumulation_steps):
        inputs, targets = next(stream)
        (criterion(model(inputs), targets) / accumulation_steps).backward()
    optimizer.step()
""",
        # Accelerate closes the window at the end of the loader.
        """\
from accelerate import Accelerator

accelerator = Accelerator(gradient_accumulation_steps=2)
model, optimizer, loader = accelerator.prepare(model, optimizer, loader)
for epoch in range(num_epochs):
    for inputs, targets in loader:
        with accelerator.accumulate(model):
            accelerator.backward(criterion(model(inputs), targets))
            optimizer.step()
            optimizer.zero_grad()
""",
    )

    def explain(self, case: Case) -> str | None:
        gate, size = case.facts["window"], case.facts["size"]
        return (
            f"`{case.at.text}` waits for `{gate}`: "
            f"the last batches of an epoch are left out if they do not fill a window of `{size}`"
        )

    def advise(self, case: Case) -> str:
        return f"open the gate on the last batch too: `if {case.facts['window']} or i + 1 == len(loader)`"
