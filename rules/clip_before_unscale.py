"""Gradients are clipped while they are still scaled.

## What it does

Finds `clip_grad_norm_` and `clip_grad_value_` between `scaler.scale(loss).backward()` and the scaler's step,
where no `scaler.unscale_(optimizer)` comes before them.

## Why is this bad?

The gradients are those of a loss that was multiplied with a number which is 65536 at first. A norm of 1.0
cuts nearly all of them down; `scaler.step` then divides what is left by 65536. The network trains at a
fraction of its learning rate, and at another fraction whenever the scale changes. If gradients are infinite,
clipping turns them into NaN before the scaler has looked.

## Known limits

A clip that only measures (`max_norm=float("inf")`) changes nothing, and is left alone. Accelerate's
`accelerator.clip_grad_norm_` and Fabric's `clip_gradients` unscale by themselves. Where gradients are
unscaled on some paths only, nothing is said.

## References

- [Gradient clipping](https://docs.pytorch.org/docs/stable/notes/amp_examples.html#gradient-clipping)
- [`GradScaler.unscale_`](https://docs.pytorch.org/docs/stable/amp.html#torch.amp.GradScaler.unscale_)
"""

from loopguard.rule import Case, Level, Rule, scaling


class ClipBeforeUnscale(Rule):
    code = "LG503"
    level = Level.ERROR
    engines = "SR"
    mistakes = frozenset({scaling.Mistake.CLIPPED_SCALED})

    bad = (
        """\
for inputs, targets in loader:
    optimizer.zero_grad()
    with torch.autocast(device):
        loss = criterion(model(inputs), targets)
    scaler.scale(loss).backward()
    nn.utils.clip_grad_norm_(model.parameters(), max_norm)  # expect: LG503
    scaler.step(optimizer)
    scaler.update()
""",
        # Unscaled, but too late.
        """\
from torch.nn.utils import clip_grad_value_

for inputs, targets in loader:
    optimizer.zero_grad()
    scaler.scale(criterion(model(inputs), targets)).backward()
    clip_grad_value_(model.parameters(), 0.5)  # expect: LG503
    scaler.unscale_(optimizer)
    scaler.step(optimizer)
    scaler.update()
""",
        # A window.
        """\
def train(model, loader, optimizer, scaler):
    for i, (inputs, targets) in enumerate(loader):
        with torch.autocast(device):
            loss = F.cross_entropy(model(inputs), targets) / accumulation_steps
        scaler.scale(loss).backward()
        if (i + 1) % accumulation_steps == 0:
            nn.utils.clip_grad_norm_(model.parameters(), max_norm)  # expect: LG503
            scaler.step(optimizer)
            scaler.update()
            optimizer.zero_grad()


train(model, loader, optimizer, scaler)
""",
        # In a class, behind a setting.
        """\
class Trainer:
    def __init__(self, model, clip):
        self.model = model
        self.clip = clip
        self.optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        self.scaler = torch.amp.GradScaler(device)

    def update(self, loss):
        self.optimizer.zero_grad()
        self.scaler.scale(loss).backward()
        if self.clip is not None:
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.clip)  # expect: LG503
        self.scaler.step(self.optimizer)
        self.scaler.update()


trainer = Trainer(model, clip=1.0)
for inputs, targets in loader:
    trainer.update(criterion(model(inputs), targets))
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
    scaler.step(optimizer)
    scaler.update()
""",
        # The whole update behind the gate.
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
        # Unscaled where it was scaled.
        """\
for use_amp in (True, False):
    for inputs, targets in loader:
        optimizer.zero_grad()
        loss = criterion(model(inputs), targets)
        if use_amp:
            scaler.scale(loss).backward()
            scaler.unscale_(optimizer)
        else:
            loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), max_norm)
        if use_amp:
            scaler.step(optimizer)
            scaler.update()
        else:
            optimizer.step()
""",
        # The norm is measured, and nothing is clipped.
        """\
for inputs, targets in loader:
    optimizer.zero_grad()
    scaler.scale(criterion(model(inputs), targets)).backward()
    norm = nn.utils.clip_grad_norm_(model.parameters(), float("inf"))
    scaler.step(optimizer)
    scaler.update()
    print(norm.item() / scaler.get_scale())
""",
        # What is clipped is the other network, which is not scaled.
        """\
for real, _ in loader:
    opt_d.zero_grad()
    fake = generator(torch.randn_like(real))
    (discriminator(fake.detach()).mean() - discriminator(real).mean()).backward()
    nn.utils.clip_grad_norm_(discriminator.parameters(), max_norm)
    opt_d.step()
    opt_g.zero_grad()
    scaler.scale(-discriminator(fake).mean()).backward()
    scaler.step(opt_g)
    scaler.update()
""",
        # Both are unscaled, then both are clipped.
        """\
opt_body = torch.optim.SGD(model[0].parameters(), lr=0.01)
opt_head = torch.optim.SGD(model[-1].parameters(), lr=0.1)
for inputs, targets in loader:
    opt_body.zero_grad()
    opt_head.zero_grad()
    scaler.scale(criterion(model(inputs), targets)).backward()
    for opt in (opt_body, opt_head):
        scaler.unscale_(opt)
    nn.utils.clip_grad_norm_(model.parameters(), max_norm)
    scaler.step(opt_body)
    scaler.step(opt_head)
    scaler.update()
""",
    )

    def explain(self, case: Case) -> str | None:
        return f"`{case.at.text}` clips gradients of `{case.subject}` that are still multiplied with the scale"

    def advise(self, case: Case) -> str:
        return f"call `scaler.unscale_({case.subject})` before the clip, once per step"
