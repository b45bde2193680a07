"""A backward pass or a step by hand, where the framework makes it by itself.

## What it does

Finds `training_step` methods of a `LightningModule` in automatic optimization that call `manual_backward`, run the
backward pass of the loss that they return, or step the optimizers of `self.optimizers()`. Finds `training_step`
and `compute_loss` methods of a `transformers.Trainer` that step `self.optimizer`.

## Why is this bad?

Lightning calls `training_step`, and then clears, runs the backward pass of the loss that it returned, and steps.
The Trainer steps behind `training_step`, and clears. What is done by hand in there comes on top:

- `self.manual_backward()` raises, and so does a second backward pass through the same graph;
- a step by hand uses whatever gradients are there, and the framework's own step comes right behind it, on the same
  gradients or on none;
- neither precision, accumulation nor clipping of the framework knows of it.

Set `self.automatic_optimization = False` in `__init__`, and all of it is yours. Or return the loss and leave all of
it to the framework.

## Known limits

A class that mentions `automatic_optimization` or overrides `optimizer_step` or `backward` is left alone, and so is
one with a base that cannot be read. Losses and optimizers of one's own within the method, as for an attack on the
inputs, are nobody else's business.

## References

- [Lightning: manual optimization](https://lightning.ai/docs/pytorch/stable/model/manual_optimization.html)
- [Lightning: automatic optimization](https://lightning.ai/docs/pytorch/stable/common/optimization.html)
- [What each of the three does](https://docs.pytorch.org/docs/stable/optim.html#taking-an-optimization-step), by hand
- [Transformers: Trainer](https://huggingface.co/docs/transformers/main_classes/trainer)
"""

from loopguard.rule import Case, Kind, Level, Rule, automation

_DOES = {
    "Lightning": "Lightning runs backward pass, step and clear by itself behind it",
    "the Trainer": "the Trainer steps by itself behind it",
}
_ADVICE = {
    "Lightning": "set `self.automatic_optimization = False` in `__init__`, or return the loss and leave the rest",
    "the Trainer": "return the loss, and leave the step and the clear to the Trainer",
}


class ManualStepInAutomaticOptimization(Rule):
    code = "LG206"
    level = Level.ERROR
    engines = "S"
    mistakes = frozenset(automation.Mistake)

    bad = (
        """\
import lightning as L


class Classifier(L.LightningModule):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def training_step(self, batch, batch_idx):
        optimizer = self.optimizers()
        inputs, targets = batch
        loss = F.cross_entropy(self.model(inputs), targets)
        optimizer.zero_grad()
        self.manual_backward(loss)
        optimizer.step()  # expect: LG206

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=1e-3)
""",
        # The loss is returned, and Lightning runs its backward pass once more.
        """\
import pytorch_lightning as pl


class Classifier(pl.LightningModule):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def training_step(self, batch, batch_idx):
        inputs, targets = batch
        loss = F.cross_entropy(self.model(inputs), targets)
        loss.backward(retain_graph=True)  # expect: LG206
        self.log("loss", loss)
        return {"loss": loss}

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=1e-3)
""",
        # In a helper, for each of two optimizers, of a class with a base of the project.
        """\
from pytorch_lightning import LightningModule


class Base(LightningModule):
    def configure_optimizers(self):
        return torch.optim.Adam(generator.parameters()), torch.optim.Adam(discriminator.parameters())


class GAN(Base):
    def training_step(self, batch, batch_idx):
        opt_g, opt_d = self.optimizers()
        noise, images = torch.randn(6, 4), batch[0]
        self.update(opt_d, discriminator(generator(noise).detach()).mean() - discriminator(images).mean())
        self.update(opt_g, -discriminator(generator(noise)).mean())

    def update(self, optimizer, loss):
        optimizer.zero_grad()
        self.manual_backward(loss)
        optimizer.step()  # expect: LG206
""",
        # The Trainer steps behind `training_step`.
        """\
from transformers import Trainer


class MyTrainer(Trainer):
    def training_step(self, model, inputs, num_items_in_batch=None):
        model.train()
        loss = self.compute_loss(model, inputs)
        self.accelerator.backward(loss)
        self.optimizer.step()  # expect: LG206
        self.optimizer.zero_grad()
        return loss.detach()
""",
    )
    good = (
        """\
import lightning as L


class Classifier(L.LightningModule):
    def __init__(self, model):
        super().__init__()
        self.model = model
        self.automatic_optimization = False

    def training_step(self, batch, batch_idx):
        optimizer = self.optimizers()
        inputs, targets = batch
        loss = F.cross_entropy(self.model(inputs), targets)
        optimizer.zero_grad()
        self.manual_backward(loss)
        optimizer.step()

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=1e-3)
""",
        # All of it left to Lightning.
        """\
import lightning as L


class Classifier(L.LightningModule):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def training_step(self, batch, batch_idx):
        inputs, targets = batch
        return F.cross_entropy(self.model(inputs), targets)

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=1e-3)
""",
        # An attack on the inputs, with a loss and an optimizer of its own.
        """\
import lightning as L


class Robust(L.LightningModule):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def training_step(self, batch, batch_idx):
        inputs, targets = batch
        delta = torch.zeros_like(inputs, requires_grad=True)
        attack = torch.optim.SGD([delta], lr=0.1)
        for _ in range(3):
            attack.zero_grad()
            gain = -F.cross_entropy(self.model(inputs + delta), targets)
            gain.backward()
            attack.step()
        return F.cross_entropy(self.model(inputs + delta.detach()), targets)

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=1e-3)
""",
        # Several optimizers by hand, each frozen while it is not its turn.
        """\
import lightning as L


class GAN(L.LightningModule):
    def __init__(self, generator, discriminator):
        super().__init__()
        self.generator, self.discriminator = generator, discriminator
        self.automatic_optimization = False

    def training_step(self, batch, batch_idx):
        opt_g, opt_d = self.optimizers()
        noise, images = torch.randn(6, 4), batch[0]

        self.toggle_optimizer(opt_g)
        g_loss = -self.discriminator(self.generator(noise)).mean()
        opt_g.zero_grad()
        self.manual_backward(g_loss)
        opt_g.step()
        self.untoggle_optimizer(opt_g)

        self.toggle_optimizer(opt_d)
        d_loss = self.discriminator(self.generator(noise).detach()).mean() - self.discriminator(images).mean()
        opt_d.zero_grad()
        self.manual_backward(d_loss)
        opt_d.step()
        self.untoggle_optimizer(opt_d)

    def configure_optimizers(self):
        return torch.optim.Adam(self.generator.parameters()), torch.optim.Adam(self.discriminator.parameters())
""",
        # Windows by hand.
        """\
import lightning as L


class Classifier(L.LightningModule):
    automatic_optimization = False

    def __init__(self, model, accumulate):
        super().__init__()
        self.model, self.accumulate = model, accumulate

    def training_step(self, batch, batch_idx):
        optimizer = self.optimizers()
        inputs, targets = batch
        loss = F.cross_entropy(self.model(inputs), targets) / self.accumulate
        self.manual_backward(loss)
        if (batch_idx + 1) % self.accumulate == 0:
            optimizer.step()
            optimizer.zero_grad()

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=1e-3)
""",
        # The backward pass belongs into the Trainer's `training_step`.
        """\
from transformers import Trainer


class MyTrainer(Trainer):
    def training_step(self, model, inputs, num_items_in_batch=None):
        model.train()
        loss = self.compute_loss(model, inputs)
        self.accelerator.backward(loss)
        return loss.detach() / self.args.gradient_accumulation_steps
""",
    )

    def explain(self, case: Case) -> str | None:
        framework, method = case.facts["framework"], case.facts["method"]
        does = "is a step" if case.at.kind is Kind.STEP else "is a backward pass"
        return f"`{case.at.text}` {does} by hand in `{method}`: {_DOES[framework]}"

    def advise(self, case: Case) -> str:
        return _ADVICE[case.facts["framework"]]
