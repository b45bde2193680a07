"""Gradients are computed and cleared, and no step ever applies them.

## What it does

Finds loops that clear the gradients of an optimizer and call `backward()` in every iteration, while the
optimizer never steps.

## Why is this bad?

The model does not learn: each iteration pays for a forward and a backward pass and then throws the
gradients away. The loss stays where it was, up to the noise of the batches, and nothing fails. In a loop
with several optimizers only one of the networks stands still, which is harder to see.

A `scheduler.step()` does not move the weights, and neither does `scaler.update()`.

## Known limits

Loops that look at gradients without an update (saliency maps, adversarial examples, gradient norms,
Fisher information) read `.grad`, and are left alone. So are weights that are updated by hand.

Where the optimizer is handed to code that loopguard cannot read, it may step there, and nothing is said.

## References

- [Taking an optimization step](https://docs.pytorch.org/docs/stable/optim.html#taking-an-optimization-step)
- [`Optimizer.step`](https://docs.pytorch.org/docs/stable/generated/torch.optim.Optimizer.step.html)
"""

from loopguard.rule import Case, Kind, Level, Relation, Rule, gradient


class MissingStep(Rule):
    code = "LG201"
    level = Level.ERROR
    engines = "SR"
    mistakes = frozenset({gradient.Mistake.UNUSED})

    bad = (
        """\
for inputs, targets in loader:
    optimizer.zero_grad()
    loss = criterion(model(inputs), targets)
    loss.backward()  # expect: LG201
""",
        # A helper; its caller does not step either.
        """\
def train_batch(model, optimizer, inputs, targets):
    optimizer.zero_grad()
    loss = F.cross_entropy(model(inputs), targets)
    loss.backward()  # expect: LG201
    nn.utils.clip_grad_norm_(model.parameters(), max_norm)
    return loss.item()


for epoch in range(num_epochs):
    total = 0.0
    for inputs, targets in loader:
        total += train_batch(model, optimizer, inputs, targets)
    print(epoch, total / len(loader))
""",
        # The scheduler steps, the optimizer does not.
        """\
opt = torch.optim.SGD(model.parameters(), lr=0.1)
scheduler = torch.optim.lr_scheduler.ConstantLR(opt, factor=0.5)
for epoch in range(num_epochs):
    for inputs, targets in loader:
        loss = criterion(model(inputs), targets)
        opt.zero_grad()
        loss.backward()  # expect: LG201
    scheduler.step()
""",
        # The scaler scales, and that is all.
        """\
for inputs, targets in loader:
    optimizer.zero_grad(set_to_none=True)
    with torch.autocast(device):
        loss = criterion(model(inputs), targets)
    scaler.scale(loss).backward()  # expect: LG201
    scaler.unscale_(optimizer)
    nn.utils.clip_grad_norm_(model.parameters(), max_norm)
    scaler.update()
""",
        # One of two networks stands still.
        """\
class GAN:
    def train_step(self, real):
        fake = generator(torch.randn_like(real))

        opt_d.zero_grad()
        d_loss = F.softplus(-discriminator(real)).mean() + F.softplus(discriminator(fake.detach())).mean()
        d_loss.backward()
        opt_d.step()

        opt_g.zero_grad()
        g_loss = F.softplus(-discriminator(fake)).mean()
        g_loss.backward()  # expect: LG201


gan = GAN()
for real, _ in loader:
    gan.train_step(real)
""",
    )
    good = (
        """\
for inputs, targets in loader:
    optimizer.zero_grad()
    loss = criterion(model(inputs), targets)
    loss.backward()
    optimizer.step()
""",
        # The update is made by hand.
        """\
def train(lr):
    for inputs, targets in loader:
        model.zero_grad()
        loss = F.cross_entropy(model(inputs), targets)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 0.25)
        for p in model.parameters():
            p.data.add_(p.grad, alpha=-lr)


train(lr=0.1)
""",
        # An adversarial example: the gradient of the input is what is wanted.
        """\
def attack(inputs, targets, epsilon):
    inputs = inputs.clone().requires_grad_(True)
    loss = F.cross_entropy(model(inputs), targets)
    model.zero_grad()
    loss.backward()
    return (inputs + epsilon * inputs.grad.sign()).detach()


for inputs, targets in loader:
    adversarial = attack(inputs, targets, epsilon=0.1)
    optimizer.zero_grad()
    criterion(model(adversarial), targets).backward()
    optimizer.step()
""",
        # How large are the gradients?
        """\
norms = []
for inputs, targets in loader:
    optimizer.zero_grad()
    criterion(model(inputs), targets).backward()
    norms.append(torch.stack([p.grad.norm() for p in model.parameters()]).norm().item())
print(max(norms))
""",
        # Fisher information.
        """\
fisher = {name: torch.zeros_like(p) for name, p in model.named_parameters()}
for inputs, targets in loader:
    model.zero_grad()
    F.nll_loss(F.log_softmax(model(inputs), dim=1), targets).backward()
    for name, p in model.named_parameters():
        fisher[name] += p.grad.pow(2) / len(loader)
""",
        # The update of a framework that is given the optimizer.
        """\
class Loop:
    def __init__(self, update):
        self.update = update

    def run(self):
        for inputs, targets in loader:
            optimizer.zero_grad()
            criterion(model(inputs), targets).backward()
            self.update(optimizer)


Loop(update=lambda o: o.step()).run()
""",
        # On a condition.
        """\
for inputs, targets in loader:
    optimizer.zero_grad()
    loss = criterion(model(inputs), targets)
    loss.backward()
    if all(p.grad.isfinite().all() for p in model.parameters()):
        optimizer.step()
""",
    )

    def explain(self, case: Case) -> str | None:
        if case.has(Kind.STEP, Relation.WHOLE):
            return None
        return (
            f"the gradients of `{case.at.text}` are cleared and never applied: "
            f"`{case.subject}` does not step, so its parameters stay as they are"
        )

    def advise(self, case: Case) -> str:
        return f"call `{case.subject}.step()` after `backward()`"
