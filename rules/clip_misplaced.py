"""Gradients are clipped after the step, or before there are any.

## What it does

Finds `clip_grad_norm_` and `clip_grad_value_` that come after the step of their iteration, or before its
backward pass while the gradients are clear.

## Why is this bad?

Clipping bounds what is in `.grad` at that moment. After the step, that has been used already and will be
thrown away; before the backward pass, there is nothing. In both cases nothing is ever bounded, and nothing
says so.

## Known limits

A clip that only measures (`max_norm=float("inf")`) is left alone. So is a clip of sums that a later step of a
window uses.

## References

- [`clip_grad_norm_`](https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.clip_grad_norm_.html)
- [Gradient clipping](https://docs.pytorch.org/docs/stable/notes/amp_examples.html#gradient-clipping)
"""

from loopguard.rule import Case, Kind, Level, Rule, clipping


class ClipMisplaced(Rule):
    code = "LG504"
    level = Level.ERROR
    engines = "SR"
    mistakes = frozenset({clipping.Mistake.AFTER_STEP, clipping.Mistake.BEFORE_BACKWARD})

    bad = (
        """\
for inputs, targets in loader:
    optimizer.zero_grad()
    loss = criterion(model(inputs), targets)
    loss.backward()
    optimizer.step()
    nn.utils.clip_grad_norm_(model.parameters(), max_norm)  # expect: LG504
""",
        # Before the backward pass.
        """\
for inputs, targets in loader:
    loss = criterion(model(inputs), targets)
    optimizer.zero_grad()
    nn.utils.clip_grad_norm_(model.parameters(), max_norm)  # expect: LG504
    loss.backward()
    optimizer.step()
""",
        # After the scaler's step.
        """\
def train(model, loader, optimizer, scaler):
    for inputs, targets in loader:
        optimizer.zero_grad()
        with torch.autocast(device):
            loss = F.cross_entropy(model(inputs), targets)
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        torch.nn.utils.clip_grad_value_(model.parameters(), 1.0)  # expect: LG504
        scaler.update()


train(model, loader, optimizer, scaler)
""",
        # A helper steps, its caller clips.
        """\
class Learner:
    def __init__(self, model):
        self.model = model
        self.optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)

    def update(self, loss):
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()


learner = Learner(model)
for inputs, targets in loader:
    learner.update(criterion(learner.model(inputs), targets))
    nn.utils.clip_grad_norm_(learner.model.parameters(), max_norm)  # expect: LG504
""",
        # One of two optimizers.
        """\
for real, _ in loader:
    opt_d.zero_grad()
    fake = generator(torch.randn_like(real))
    (discriminator(fake.detach()).mean() - discriminator(real).mean()).backward()
    nn.utils.clip_grad_norm_(discriminator.parameters(), max_norm)
    opt_d.step()
    opt_g.zero_grad()
    (-discriminator(fake).mean()).backward()
    opt_g.step()
    nn.utils.clip_grad_norm_(generator.parameters(), max_norm)  # expect: LG504
""",
    )
    good = (
        """\
for inputs, targets in loader:
    optimizer.zero_grad()
    loss = criterion(model(inputs), targets)
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), max_norm)
    optimizer.step()
""",
        # By value, then by norm.
        """\
for inputs, targets in loader:
    optimizer.zero_grad()
    criterion(model(inputs), targets).backward()
    nn.utils.clip_grad_value_(model.parameters(), 0.5)
    nn.utils.clip_grad_norm_(model.parameters(), max_norm)
    optimizer.step()
""",
        # Once per window.
        """\
for i, (inputs, targets) in enumerate(loader):
    (criterion(model(inputs), targets) / accumulation_steps).backward()
    if (i + 1) % accumulation_steps == 0 or i + 1 == len(loader):
        nn.utils.clip_grad_norm_(model.parameters(), max_norm)
        optimizer.step()
        optimizer.zero_grad()
""",
        # The step of this iteration uses what the last one has left.
        """\
criterion(model(loader[0][0]), loader[0][1]).backward()
for inputs, targets in loader:
    nn.utils.clip_grad_norm_(model.parameters(), max_norm)
    optimizer.step()
    optimizer.zero_grad()
    criterion(model(inputs), targets).backward()
""",
        # The norm of what was used, for the log.
        """\
for inputs, targets in loader:
    optimizer.zero_grad()
    criterion(model(inputs), targets).backward()
    optimizer.step()
    print(nn.utils.clip_grad_norm_(model.parameters(), max_norm=float("inf")).item())
""",
        # Weights may be clipped after the step: a Wasserstein critic.
        """\
for real, _ in loader:
    opt_d.zero_grad()
    fake = generator(torch.randn_like(real)).detach()
    (discriminator(fake).mean() - discriminator(real).mean()).backward()
    opt_d.step()
    for p in discriminator.parameters():
        p.data.clamp_(-0.01, 0.01)
""",
        # Each network is clipped before its own step.
        """\
for real, _ in loader:
    opt_d.zero_grad()
    fake = generator(torch.randn_like(real))
    (discriminator(fake.detach()).mean() - discriminator(real).mean()).backward()
    nn.utils.clip_grad_norm_(discriminator.parameters(), max_norm)
    opt_d.step()
    opt_g.zero_grad()
    (-discriminator(fake).mean()).backward()
    nn.utils.clip_grad_norm_(generator.parameters(), max_norm)
    opt_g.step()
""",
    )

    def explain(self, case: Case) -> str | None:
        if case.mistake is clipping.Mistake.BEFORE_BACKWARD:
            return f"`{case.at.text}` clips before the backward pass: `{case.subject}` has no gradients yet"
        step = next((moment.event.text for moment in case.trail if moment.event.kind is Kind.STEP), "")
        used = f"`{step}` has used them already" if step else "the step has used them already"
        return f"`{case.at.text}` clips gradients of `{case.subject}` after their step: {used}"

    def advise(self, case: Case) -> str:
        return f"clip between `backward()` and the step of `{case.subject}`"
