"""The gradients are cleared inside an accumulation window.

## What it does

Finds loops that step once every k batches and clear the gradients on every batch; and, inside
`accelerator.accumulate(...)`, a clear by the module or a clear in front of the backward pass.

## Why is this bad?

Each clear throws away what the window has gathered so far. The step sees the gradients of the last batch
of the window and of no other, divided by k as a rule: k - 1 of k batches are computed for nothing, and
what remains is a training with small batches, a small learning rate and few steps. The loss still falls,
only slowly.

In Accelerate, the prepared optimizer's `step` and `zero_grad` do nothing until the window is full.
`model.zero_grad()` is not part of that agreement. And a prepared `zero_grad` in front of `backward()`
comes into effect on the very batch that closes the window, before the gathered gradients are used.

## Known limits

A condition is taken for a window's gate if it is true once in k iterations of a counter. A step that
waits for something else, such as finite gradients, leaves each batch its own window.

## References

- [Gradient accumulation](https://docs.pytorch.org/docs/stable/notes/amp_examples.html#gradient-accumulation)
- [Accelerate: gradient accumulation](https://huggingface.co/docs/accelerate/usage_guides/gradient_accumulation)
"""

from loopguard.rule import Case, Level, Rule, window


class AccumulationCleared(Rule):
    code = "LG401"
    level = Level.ERROR
    engines = "SR"
    mistakes = frozenset({window.Mistake.CLEARED})

    bad = (
        """\
for i, (inputs, targets) in enumerate(loader):
    optimizer.zero_grad()  # expect: LG401
    loss = criterion(model(inputs), targets) / accumulation_steps
    loss.backward()
    if (i + 1) % accumulation_steps == 0:
        optimizer.step()
""",
        # With a scaler; the gate asks for more than the window.
        """\
for i, (inputs, targets) in enumerate(loader, start=1):
    optimizer.zero_grad(set_to_none=True)  # expect: LG401
    with torch.autocast(device):
        loss = criterion(model(inputs), targets)
    scaler.scale(loss / accumulation_steps).backward()
    if i % accumulation_steps == 0 or i == len(loader):
        scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_(model.parameters(), max_norm)
        scaler.step(optimizer)
        scaler.update()
""",
        # Two optimizers.
        """\
projection, decoder = nn.Linear(4, 4), nn.Linear(4, 4)
opt_proj = torch.optim.Adam(projection.parameters(), lr=1e-3)
opt_distill = torch.optim.Adam(decoder.parameters(), lr=1e-3)
for i, (inputs, _) in enumerate(loader):
    features = projection(inputs)
    loss = F.mse_loss(decoder(features), inputs) + 0.1 * features.abs().mean()
    opt_proj.zero_grad()  # expect: LG401
    opt_distill.zero_grad()  # expect: LG401
    (loss / accumulation_steps).backward()
    if (i + 1) % accumulation_steps == 0:
        opt_proj.step()
        opt_distill.step()
""",
        # The gate has a name, and only one of two branches is wrong.
        """\
class Brain:
    def __init__(self, model, factor, use_amp):
        self.model = model
        self.factor = factor
        self.use_amp = use_amp
        self.step = 0
        self.optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    def fit_batch(self, inputs, targets):
        should_step = self.step % self.factor == 0
        if self.use_amp:
            self.optimizer.zero_grad()  # expect: LG401
            with torch.autocast(device):
                loss = F.cross_entropy(self.model(inputs), targets)
            scaler.scale(loss / self.factor).backward()
            if should_step:
                scaler.step(self.optimizer)
                scaler.update()
        else:
            loss = F.cross_entropy(self.model(inputs), targets)
            (loss / self.factor).backward()
            if should_step:
                self.optimizer.step()
                self.optimizer.zero_grad()

    def fit(self, loader):
        for inputs, targets in loader:
            self.step += 1
            self.fit_batch(inputs, targets)


Brain(model, accumulation_steps, use_amp=True).fit(loader)
""",
        # Accelerate gates the optimizer, not the module.
        """\
from accelerate import Accelerator

accelerator = Accelerator(gradient_accumulation_steps=2)
model, optimizer, loader = accelerator.prepare(model, optimizer, loader)
for inputs, targets in loader:
    with accelerator.accumulate(model):
        loss = criterion(model(inputs), targets)
        accelerator.backward(loss)
        if accelerator.sync_gradients:
            accelerator.clip_grad_norm_(model.parameters(), max_norm)
        optimizer.step()
        model.zero_grad(set_to_none=True)  # expect: LG401
""",
        # Accelerate lets this clear through on the batch that closes the window.
        """\
from accelerate import Accelerator

accelerator = Accelerator(gradient_accumulation_steps=2)
model, optimizer, loader = accelerator.prepare(model, optimizer, loader)
for inputs, targets in loader:
    with accelerator.accumulate(model):
        optimizer.zero_grad()  # expect: LG401
        loss = criterion(model(inputs), targets)
        accelerator.backward(loss)
        optimizer.step()
""",
    )
    good = (
        """\
optimizer.zero_grad()
for i, (inputs, targets) in enumerate(loader):
    loss = criterion(model(inputs), targets) / accumulation_steps
    loss.backward()
    if (i + 1) % accumulation_steps == 0:
        optimizer.step()
        optimizer.zero_grad()
""",
        # Cleared when a window begins.
        """\
for i, (inputs, targets) in enumerate(loader):
    if i % accumulation_steps == 0:
        optimizer.zero_grad()
    loss = criterion(model(inputs), targets) / accumulation_steps
    loss.backward()
    if (i + 1) % accumulation_steps == 0:
        optimizer.step()
""",
        # A counter of its own.
        """\
waiting = 0
optimizer.zero_grad()
for inputs, targets in loader:
    (criterion(model(inputs), targets) / accumulation_steps).backward()
    waiting += 1
    if waiting == accumulation_steps:
        optimizer.step()
        optimizer.zero_grad()
        waiting = 0
""",
        # The generator learns on every second batch: its backward pass is behind the gate as well.
        """\
for i, (real, _) in enumerate(loader):
    opt_d.zero_grad()
    fake = generator(torch.randn_like(real))
    d_loss = discriminator(fake).mean() - discriminator(real).mean()
    d_loss.backward()
    opt_d.step()

    opt_g.zero_grad()
    if i % 2 == 0:
        g_loss = -discriminator(generator(torch.randn_like(real))).mean()
        g_loss.backward()
        opt_g.step()
""",
        # The step waits for finite gradients, not for a window.
        """\
skipped = 0
for i, (inputs, targets) in enumerate(loader):
    optimizer.zero_grad()
    criterion(model(inputs), targets).backward()
    norm = nn.utils.clip_grad_norm_(model.parameters(), max_norm)
    if norm.isfinite():
        optimizer.step()
    else:
        skipped += 1
    if (i + 1) % 2 == 0:
        print(i, skipped)
""",
        # As Accelerate wants it.
        """\
from accelerate import Accelerator

accelerator = Accelerator(gradient_accumulation_steps=2)
model, optimizer, loader = accelerator.prepare(model, optimizer, loader)
for inputs, targets in loader:
    with accelerator.accumulate(model):
        loss = criterion(model(inputs), targets)
        accelerator.backward(loss)
        if accelerator.sync_gradients:
            accelerator.clip_grad_norm_(model.parameters(), max_norm)
        optimizer.step()
        optimizer.zero_grad()
""",
        # Two copies on purpose: one is gated by hand, the other by Accelerate.
        """\
from accelerate import Accelerator

accelerator = Accelerator(gradient_accumulation_steps=2)
reference = nn.Linear(4, 3)
ref_opt = torch.optim.SGD(reference.parameters(), lr=0.1)
model, optimizer, loader = accelerator.prepare(model, optimizer, loader)
for i, (inputs, targets) in enumerate(loader):
    (criterion(reference(inputs), targets) / 2).backward()
    with accelerator.accumulate(model):
        accelerator.backward(criterion(model(inputs), targets))
        optimizer.step()
        optimizer.zero_grad()
    if (i + 1) % 2 == 0 or i + 1 == len(loader):
        ref_opt.step()
        ref_opt.zero_grad()
""",
    )

    def explain(self, case: Case) -> str | None:
        gate = case.facts["window"]
        return (
            f"`{case.at.text}` clears inside the window of `{gate}`: the step sees only the last batch of each window"
        )

    def advise(self, case: Case) -> str:
        return f"clear `{case.subject}` once per window, directly after its step and behind the same gate"
