"""A window is gated or divided by hand on top of a wrapper that does it already.

## What it does

Finds code inside `accelerator.accumulate(...)` that gates a prepared optimizer's `step` or `zero_grad` by
a counter of its own, or that divides the loss which `accelerator.backward` divides.

## Why is this bad?

Inside `accumulate`, the prepared `step` and `zero_grad` do nothing until the window is full. A gate of
one's own on top lets them through only on batches where both agree. If they never agree, the step or the
clear never happens, and gradients are summed without end; if they agree by luck, a loader of another
length ends it.

`accelerator.backward` divides the loss by the number of accumulation steps. Divided by hand as well, the
gradients are k times too small, and so is the effective learning rate.

## Known limits

`if accelerator.sync_gradients:` is the wrapper's own gate, and right. So is a window by hand without
`accumulate`, and a gate around things that are not gated by the wrapper, such as logging.

## References

- [Accelerate: gradient accumulation](https://huggingface.co/docs/accelerate/usage_guides/gradient_accumulation):
  "you can remove all the special checks for the step number and the loss adjustment"
- [Gradient accumulation](https://docs.pytorch.org/docs/stable/notes/amp_examples.html#gradient-accumulation),
  by hand
"""

from loopguard.rule import Case, Kind, Level, Rule, window


class AccumulationDouble(Rule):
    code = "LG406"
    level = Level.ERROR
    engines = "S"
    mistakes = frozenset({window.Mistake.DOUBLE})

    bad = (
        """\
from accelerate import Accelerator

accelerator = Accelerator(gradient_accumulation_steps=2)
model, optimizer, loader = accelerator.prepare(model, optimizer, loader)
for i, (inputs, targets) in enumerate(loader):
    with accelerator.accumulate(model):
        loss = criterion(model(inputs), targets)
        accelerator.backward(loss)
        if (i + 1) % 2 == 0:
            optimizer.step()  # expect: LG406
            optimizer.zero_grad()
""",
        # Cleared on the first batch of a window, where the prepared clear does nothing.
        """\
from accelerate import Accelerator


class PPOTrainer:
    def __init__(self, model, optimizer, steps):
        self.steps = steps
        self.accelerator = Accelerator(gradient_accumulation_steps=steps)
        self.model, self.optimizer = self.accelerator.prepare(model, optimizer)

    def train(self, loader):
        for i, (inputs, targets) in enumerate(loader):
            with self.accelerator.accumulate(self.model):
                loss = F.cross_entropy(self.model(inputs), targets)
                if i % self.steps == 0:
                    self.optimizer.zero_grad()  # expect: LG406
                self.accelerator.backward(loss)
                self.optimizer.step()


PPOTrainer(model, optimizer, steps=2).train(loader)
""",
        # Divided twice.
        """\
from accelerate import Accelerator

accelerator = Accelerator(gradient_accumulation_steps=accumulation_steps)
model, optimizer, loader = accelerator.prepare(model, optimizer, loader)
for inputs, targets in loader:
    with accelerator.accumulate(model):
        loss = criterion(model(inputs), targets)
        loss = loss / accumulation_steps
        accelerator.backward(loss)  # expect: LG406
        optimizer.step()
        optimizer.zero_grad()
""",
        # Divided twice, in the call.
        """\
from accelerate import Accelerator


def train(model, optimizer, loader, steps):
    accelerator = Accelerator(gradient_accumulation_steps=steps)
    model, optimizer, loader = accelerator.prepare(model, optimizer, loader)
    for inputs, targets in loader:
        with accelerator.accumulate(model):
            accelerator.backward(F.cross_entropy(model(inputs), targets) / steps)  # expect: LG406
            optimizer.step()
            optimizer.zero_grad()


train(model, optimizer, loader, steps=2)
""",
    )
    good = (
        """\
from accelerate import Accelerator

accelerator = Accelerator(gradient_accumulation_steps=2)
model, optimizer, loader = accelerator.prepare(model, optimizer, loader)
for inputs, targets in loader:
    with accelerator.accumulate(model):
        loss = criterion(model(inputs), targets)
        accelerator.backward(loss)
        optimizer.step()
        optimizer.zero_grad()
""",
        # The wrapper's own gate, for what it does not gate by itself.
        """\
from accelerate import Accelerator

accelerator = Accelerator(gradient_accumulation_steps=2)
model, optimizer, loader = accelerator.prepare(model, optimizer, loader)
updates = 0
for inputs, targets in loader:
    with accelerator.accumulate(model):
        accelerator.backward(criterion(model(inputs), targets))
        if accelerator.sync_gradients:
            accelerator.clip_grad_norm_(model.parameters(), max_norm)
            updates += 1
        optimizer.step()
        optimizer.zero_grad()
""",
        # By hand alone.
        """\
from accelerate import Accelerator

accelerator = Accelerator()
model, optimizer, loader = accelerator.prepare(model, optimizer, loader)
for i, (inputs, targets) in enumerate(loader):
    loss = criterion(model(inputs), targets) / accumulation_steps
    accelerator.backward(loss)
    if (i + 1) % accumulation_steps == 0:
        optimizer.step()
        optimizer.zero_grad()
""",
        # A gate for the log.
        """\
from accelerate import Accelerator

accelerator = Accelerator(gradient_accumulation_steps=2)
model, optimizer, loader = accelerator.prepare(model, optimizer, loader)
total = 0.0
for i, (inputs, targets) in enumerate(loader):
    with accelerator.accumulate(model):
        loss = criterion(model(inputs), targets)
        total += loss.item() / 2
        accelerator.backward(loss)
        optimizer.step()
        optimizer.zero_grad()
    if (i + 1) % 2 == 0:
        print(i, total)
        total = 0.0
""",
        # Divided by something else than the window.
        """\
from accelerate import Accelerator

accelerator = Accelerator(gradient_accumulation_steps=2)
model, optimizer, loader = accelerator.prepare(model, optimizer, loader)
for inputs, targets in loader:
    with accelerator.accumulate(model):
        loss = F.cross_entropy(model(inputs), targets, reduction="sum") / len(targets)
        accelerator.backward(loss)
        optimizer.step()
        optimizer.zero_grad()
""",
        # DeepSpeed's engine steps, clears and divides by itself.
        """\
import deepspeed

config = {"train_micro_batch_size_per_gpu": 6, "gradient_accumulation_steps": 2}
engine, optimizer, _, _ = deepspeed.initialize(model=model, optimizer=optimizer, config=config)
for inputs, targets in loader:
    loss = criterion(engine(inputs), targets)
    engine.backward(loss)
    engine.step()
""",
    )

    def explain(self, case: Case) -> str | None:
        wrapper = case.facts["wrapper"]
        if case.at.kind is Kind.BACKWARD:
            return f"`{case.at.text}` gets a loss that is divided by hand, and `{wrapper}` divides it again"
        return (
            f"`{case.at.text}` is gated by hand, and `{wrapper}` gates it already: "
            "it takes effect only where both agree"
        )

    def advise(self, case: Case) -> str:
        wrapper = case.facts["wrapper"]
        if case.at.kind is Kind.BACKWARD:
            return f"pass the loss as it is: `{wrapper}` divides it by the number of accumulation steps"
        return f"call `{case.at.text}` on every batch: `{wrapper}` holds it back until the window is full"
