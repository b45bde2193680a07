"""Gradients are unscaled twice, after their step, or in every batch of a window.

## What it does

Finds a second `scaler.unscale_(optimizer)` before the scaler's update, one that comes after
`scaler.step(optimizer)`, and one that runs on every batch of an accumulation window although the step is
behind a gate.

## Why is this bad?

`unscale_` divides the gradients by the scale, in place, once per step. PyTorch raises where it can tell:
"unscale_() has already been called on this optimizer since the last update()". In a window, gradients of
later batches, which are scaled, would be added to those that have been divided.

## Known limits

Each optimizer is unscaled by itself: one call for each of them is right. `scaler.step` unscales by itself if
nothing else has. A run ends at the second `unscale_` unless the error is caught; what it finds is told before.

## References

- [`GradScaler.unscale_`](https://docs.pytorch.org/docs/stable/amp.html#torch.amp.GradScaler.unscale_)
- [Gradient accumulation](https://docs.pytorch.org/docs/stable/notes/amp_examples.html#gradient-accumulation),
  on unscaling behind the gate
"""

from loopguard.rule import Case, Level, Rule, scaling


class UnscaleMisplaced(Rule):
    code = "LG505"
    level = Level.ERROR
    engines = "SR"
    mistakes = frozenset({scaling.Mistake.UNSCALED_TWICE, scaling.Mistake.UNSCALED_LATE})

    bad = (
        # PyTorch raises at each of these lines.
        """\
for inputs, targets in loader:
    optimizer.zero_grad()
    with torch.autocast(device):
        loss = criterion(model(inputs), targets)
    scaler.scale(loss).backward()
    scaler.unscale_(optimizer)
    nn.utils.clip_grad_norm_(model.parameters(), max_norm)
    scaler.unscale_(optimizer)  # expect: LG505
    nn.utils.clip_grad_value_(model.parameters(), 0.5)
    scaler.step(optimizer)
    scaler.update()
""",
        # After the step.
        """\
for inputs, targets in loader:
    optimizer.zero_grad()
    scaler.scale(criterion(model(inputs), targets)).backward()
    scaler.step(optimizer)
    scaler.unscale_(optimizer)  # expect: LG505
    scaler.update()
""",
        # In every batch of a window.
        """\
for i, (inputs, targets) in enumerate(loader):
    with torch.autocast(device):
        loss = criterion(model(inputs), targets) / accumulation_steps
    scaler.scale(loss).backward()
    scaler.unscale_(optimizer)  # expect: LG505
    if (i + 1) % accumulation_steps == 0:
        nn.utils.clip_grad_norm_(model.parameters(), max_norm)
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()
""",
        # A helper unscales, and so does its caller.
        """\
def clip(model, optimizer, scaler):
    scaler.unscale_(optimizer)  # expect: LG505
    nn.utils.clip_grad_norm_(model.parameters(), max_norm)


for inputs, targets in loader:
    optimizer.zero_grad()
    scaler.scale(criterion(model(inputs), targets)).backward()
    scaler.unscale_(optimizer)
    print(sum(p.grad.norm() for p in model.parameters()).item())
    clip(model, optimizer, scaler)
    scaler.step(optimizer)
    scaler.update()
""",
    )
    good = (
        """\
for inputs, targets in loader:
    optimizer.zero_grad()
    with torch.autocast(device):
        loss = criterion(model(inputs), targets)
    scaler.scale(loss).backward()
    scaler.unscale_(optimizer)
    nn.utils.clip_grad_norm_(model.parameters(), max_norm)
    nn.utils.clip_grad_value_(model.parameters(), 0.5)
    scaler.step(optimizer)
    scaler.update()
""",
        # Once per window.
        """\
for i, (inputs, targets) in enumerate(loader):
    scaler.scale(criterion(model(inputs), targets) / accumulation_steps).backward()
    if (i + 1) % accumulation_steps == 0 or i + 1 == len(loader):
        scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_(model.parameters(), max_norm)
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()
""",
        # Once for each optimizer.
        """\
for real, _ in loader:
    opt_d.zero_grad()
    opt_g.zero_grad()
    scaler.scale(discriminator(generator(torch.randn_like(real))).mean()).backward()
    scaler.unscale_(opt_d)
    nn.utils.clip_grad_norm_(discriminator.parameters(), max_norm)
    scaler.unscale_(opt_g)
    nn.utils.clip_grad_norm_(generator.parameters(), max_norm)
    scaler.step(opt_d)
    scaler.step(opt_g)
    scaler.update()
""",
        # Two updates in an iteration, each with an end.
        """\
for inputs, targets in loader:
    for x, y in zip(inputs.chunk(2), targets.chunk(2)):
        optimizer.zero_grad()
        scaler.scale(criterion(model(x), y)).backward()
        scaler.unscale_(optimizer)
        scaler.step(optimizer)
        scaler.update()
""",
        # One or the other.
        """\
for by_value in (True, False):
    for inputs, targets in loader:
        optimizer.zero_grad()
        scaler.scale(criterion(model(inputs), targets)).backward()
        if by_value:
            scaler.unscale_(optimizer)
            nn.utils.clip_grad_value_(model.parameters(), 0.5)
        if not by_value:
            scaler.unscale_(optimizer)
            nn.utils.clip_grad_norm_(model.parameters(), max_norm)
        scaler.step(optimizer)
        scaler.update()
""",
    )

    def explain(self, case: Case) -> str | None:
        if case.mistake is scaling.Mistake.UNSCALED_LATE:
            return f"`{case.at.text}` comes after the step, which has unscaled the gradients of `{case.subject}` itself"
        if window := case.facts.get("window"):
            return f"`{case.at.text}` divides by the scale on every batch, and the step waits for `{window}`"
        return f"`{case.at.text}` divides gradients of `{case.subject}` that have been unscaled already"

    def advise(self, case: Case) -> str:
        if window := case.facts.get("window"):
            return f"move `{case.at.text}` behind the gate `{window}`"
        return f"unscale once for each step of `{case.subject}`, before it and before any clip"
