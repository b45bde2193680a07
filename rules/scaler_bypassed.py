"""Scaled gradients are stepped without their scaler, or the scaler steps gradients that were never scaled.

## What it does

Finds `optimizer.step()` on the gradients of `scaler.scale(loss).backward()`, and `scaler.step(optimizer)`
on those of a plain `loss.backward()`.

## Why is this bad?

`scaler.scale(loss)` multiplies the loss, and so every gradient, with a number that is 65536 at first. Only
the scaler divides it out again. A plain `optimizer.step()` takes a step that is 65536 times as long (an Adam
hides it, until its epsilon and a clip make the difference), and takes it even if gradients are infinite. The
other way round, a loss that was never scaled is divided all the same: the steps are 65536 times too short,
and with a new scaler PyTorch raises.

## Known limits

Gradients that `scaler.unscale_(optimizer)` has divided may be stepped by either. A scaler that may be switched
off by the condition which chooses how to step is left alone.

## References

- [Gradient scaling](https://docs.pytorch.org/docs/stable/amp.html#gradient-scaling)
- [Typical mixed precision training](https://docs.pytorch.org/docs/stable/notes/amp_examples.html#typical-mixed-precision-training)
"""

from loopguard.rule import Case, Kind, Level, Rule, scaling


class ScalerBypassed(Rule):
    code = "LG502"
    level = Level.ERROR
    engines = "SR"
    mistakes = frozenset({scaling.Mistake.BYPASSED, scaling.Mistake.UNSCALED_LOSS})

    bad = (
        """\
for inputs, targets in loader:
    optimizer.zero_grad()
    with torch.autocast(device):
        loss = criterion(model(inputs), targets)
    scaler.scale(loss).backward()
    optimizer.step()  # expect: LG502
""",
        # The loss was never scaled. A new scaler raises.
        """\
for inputs, targets in loader:
    optimizer.zero_grad()
    with torch.autocast(device):
        loss = criterion(model(inputs), targets)
    loss.backward()
    scaler.step(optimizer)  # expect: LG502
    scaler.update()
""",
        # The scaler steps one of two.
        """\
body, head = nn.Linear(4, 8), nn.Linear(8, 3)
opt_body = torch.optim.SGD(body.parameters(), lr=0.01)
opt_head = torch.optim.SGD(head.parameters(), lr=0.1)
for inputs, targets in loader:
    opt_body.zero_grad()
    opt_head.zero_grad()
    scaler.scale(criterion(head(body(inputs)), targets)).backward()
    scaler.step(opt_body)
    opt_head.step()  # expect: LG502
    scaler.update()
""",
        # Both step, the plain one first.
        """\
def update(loss, optimizer, scaler):
    optimizer.zero_grad()
    scaler.scale(loss).backward()
    optimizer.step()  # expect: LG502
    scaler.step(optimizer)
    scaler.update()


for inputs, targets in loader:
    update(criterion(model(inputs), targets), optimizer, scaler)
""",
        # A window.
        """\
class Trainer:
    def __init__(self, model):
        self.model = model
        self.optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        self.scaler = torch.amp.GradScaler(device)

    def fit(self, loader):
        for i, (inputs, targets) in enumerate(loader):
            with torch.autocast(device):
                loss = F.cross_entropy(self.model(inputs), targets) / accumulation_steps
            self.scaler.scale(loss).backward()
            if (i + 1) % accumulation_steps == 0:
                self.optimizer.step()  # expect: LG502
                self.optimizer.zero_grad()


Trainer(model).fit(loader)
""",
    )
    good = (
        """\
for inputs, targets in loader:
    optimizer.zero_grad()
    with torch.autocast(device):
        loss = criterion(model(inputs), targets)
    scaler.scale(loss).backward()
    scaler.step(optimizer)
    scaler.update()
""",
        # One or the other.
        """\
for use_amp in (False, True):
    for inputs, targets in loader:
        optimizer.zero_grad()
        with torch.autocast(device, enabled=use_amp):
            loss = criterion(model(inputs), targets)
        if use_amp:
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()
        else:
            loss.backward()
            optimizer.step()
""",
        # Two networks: one scaled, one not.
        """\
for real, _ in loader:
    opt_d.zero_grad()
    fake = generator(torch.randn_like(real))
    (discriminator(fake.detach()).mean() - discriminator(real).mean()).backward()
    opt_d.step()
    opt_g.zero_grad()
    scaler.scale(-discriminator(fake).mean()).backward()
    scaler.step(opt_g)
    scaler.update()
""",
        # A scaler that is switched off passes everything on.
        """\
off = torch.amp.GradScaler(device, enabled=False)
for inputs, targets in loader:
    optimizer.zero_grad()
    loss = criterion(model(inputs), targets)
    off.scale(loss).backward()
    optimizer.step()
""",
        # Divided already: either may step.
        """\
for inputs, targets in loader:
    optimizer.zero_grad()
    scaler.scale(criterion(model(inputs), targets)).backward()
    scaler.unscale_(optimizer)
    nn.utils.clip_grad_norm_(model.parameters(), max_norm)
    optimizer.step()
    scaler.update()
""",
        # The scaled loss has a name of its own.
        """\
for inputs, targets in loader:
    loss = criterion(model(inputs), targets)
    optimizer.zero_grad()
    scaled = scaler.scale(loss)
    scaled.backward()
    scaler.step(optimizer)
    scaler.update()
""",
    )

    def explain(self, case: Case) -> str | None:
        backward = next((moment.event.text for moment in case.trail if moment.event.kind is Kind.BACKWARD), "")
        of = f" of `{backward}`" if backward else ""
        if case.mistake is scaling.Mistake.BYPASSED:
            return f"`{case.at.text}` takes a step with the scaled gradients{of}: nothing has unscaled them"
        return f"`{case.at.text}` divides the gradients{of} by a scale that their loss was never multiplied with"

    def advise(self, case: Case) -> str:
        if case.mistake is scaling.Mistake.BYPASSED:
            return f"call `scaler.step({case.subject})` and `scaler.update()` in place of `{case.at.text}`"
        return "scale the loss: `scaler.scale(loss).backward()`"
