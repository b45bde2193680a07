"""A loop's step uses gradients summed over iterations, and nothing clears them.

## What it does

Finds loops that call `backward()` and `step()` in every iteration and never clear the gradients that the
optimizer holds: not by `optimizer.zero_grad()`, not by `model.zero_grad()`, not by hand.

## Why is this bad?

PyTorch adds the gradients of every backward pass to what `.grad` already holds. Without a clear, the step
of iteration n uses the sum of the gradients of iterations 1 to n. The steps grow, old batches weigh as
much as new ones, and the loss often falls at first and then rises, oscillates or turns to NaN.

Nothing fails, so the mistake tends to be taken for a bad learning rate.

## Known limits

Where the optimizer or its model is handed to code that loopguard cannot read, the gradients may be
cleared there, and it says nothing.

A loop that is left after its first step is not a loop of steps; a script that steps once is right without
a clear.

## References

- [`Optimizer.zero_grad`](https://docs.pytorch.org/docs/stable/generated/torch.optim.Optimizer.zero_grad.html)
- [`Tensor.backward`](https://docs.pytorch.org/docs/stable/generated/torch.Tensor.backward.html): "this
  function accumulates gradients in the leaves"
- [`Tensor.grad`](https://docs.pytorch.org/docs/stable/generated/torch.Tensor.grad.html), the field that
  backward adds to
"""

from loopguard.rule import Case, Kind, Level, Relation, Rule, gradient


class MissingZeroGrad(Rule):
    code = "LG101"
    level = Level.ERROR
    engines = "SR"
    mistakes = frozenset({gradient.Mistake.STALE_STEP})

    bad = (
        """\
for inputs, targets in loader:
    loss = criterion(model(inputs), targets)
    loss.backward()
    optimizer.step()  # expect: LG101
""",
        # A helper that receives the optimizer; nor does its caller clear.
        """\
def train(model, loader, optimizer, criterion, max_iters=3):
    model.train()
    losses = []
    for i, (inputs, targets) in enumerate(loader):
        loss = criterion(model(inputs.to(device)), targets.to(device))
        loss.backward()
        optimizer.step()  # expect: LG101
        losses.append(loss.item())
        if i > max_iters:
            break
    return sum(losses) / len(losses)


for epoch in range(num_epochs):
    print(epoch, train(model, loader, optimizer, criterion))
""",
        # A method; the step waits for finite gradients.
        """\
class Executor:
    def __init__(self):
        self.steps = 0

    def train(self, model, optimizer, loader, clip):
        model.train()
        for inputs, targets in loader:
            if len(inputs) == 0:
                continue
            loss = F.cross_entropy(model(inputs), targets)
            loss.backward()
            norm = torch.nn.utils.clip_grad_norm_(model.parameters(), clip)
            if torch.isfinite(norm):
                optimizer.step()  # expect: LG101
            self.steps += 1


Executor().train(model, optimizer, loader, clip=5.0)
""",
        # Both branches of mixed precision.
        """\
def run_epoch(model, loader, optimizer, scaler=None):
    for inputs, targets in loader:
        with torch.autocast(device, enabled=scaler is not None):
            loss = F.cross_entropy(model(inputs), targets)
        if scaler is not None:
            scaler.scale(loss).backward()
            scaler.unscale_(optimizer)
            nn.utils.clip_grad_norm_(model.parameters(), max_norm)
            scaler.step(optimizer)  # expect: LG101
            scaler.update()
        else:
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), max_norm)
            optimizer.step()  # expect: LG101


run_epoch(model, loader, optimizer)
run_epoch(model, loader, optimizer, scaler)
""",
        # One of three optimizers is forgotten.
        """\
student = nn.Linear(4, 1)
opt_s = torch.optim.Adam(student.parameters(), lr=1e-3)
for real, _ in loader:
    fake = generator(torch.randn_like(real))

    opt_d.zero_grad()
    d_loss = F.softplus(-discriminator(real)).mean() + F.softplus(discriminator(fake.detach())).mean()
    d_loss.backward()
    opt_d.step()

    s_loss = F.mse_loss(student(fake.detach()), discriminator(fake.detach()).detach())
    s_loss.backward()
    opt_s.step()  # expect: LG101

    opt_g.zero_grad()
    g_loss = F.softplus(-student(fake)).mean()
    g_loss.backward()
    opt_g.step()
""",
        # A loop without a header to speak of.
        """\
batches = iter(loader)
while True:
    try:
        inputs, targets = next(batches)
    except StopIteration:
        break
    F.cross_entropy(model(inputs), targets).backward()
    optimizer.step()  # expect: LG101
""",
        # The optimizer is new for each batch, its loop goes on for several steps.
        """\
for inputs, targets in loader:
    mask = nn.Parameter(torch.ones_like(inputs) * 0.5)
    opt = torch.optim.Adam([mask], lr=1e-2)
    for _ in range(3):
        score = model(inputs * mask).gather(1, targets[:, None])
        (mask.abs().mean() - score.mean()).backward()
        opt.step()  # expect: LG101
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
        # By the model, and after the step.
        """\
def train(model, loader, optimizer):
    for inputs, targets in loader:
        loss = F.cross_entropy(model(inputs), targets)
        loss.backward()
        optimizer.step()
        model.zero_grad()


train(model, loader, optimizer)
""",
        # By hand.
        """\
for inputs, targets in loader:
    for p in model.parameters():
        p.grad = None
    criterion(model(inputs), targets).backward()
    optimizer.step()
""",
        # By a helper, for several optimizers.
        """\
class Solver:
    def __init__(self):
        self.optimizers = [opt_g, opt_d]

    def reset_grad(self):
        for o in self.optimizers:
            o.zero_grad()

    def train(self):
        for real, _ in loader:
            fake = generator(torch.randn_like(real))
            d_loss = discriminator(fake.detach()).mean() - discriminator(real).mean()
            self.reset_grad()
            d_loss.backward()
            opt_d.step()

            g_loss = -discriminator(fake).mean()
            self.reset_grad()
            g_loss.backward()
            opt_g.step()


Solver().train()
""",
        # A batch that gives NaN is skipped, and its gradients with it.
        """\
for inputs, targets in loader:
    loss = criterion(model(inputs), targets)
    loss.backward()
    if not torch.isfinite(loss):
        optimizer.zero_grad()
        continue
    optimizer.step()
    optimizer.zero_grad()
""",
        # An attack: a fresh leaf and a fresh optimizer for each batch, and one step of it.
        """\
for inputs, targets in loader:
    delta = torch.zeros_like(inputs, requires_grad=True)
    attack = torch.optim.SGD([delta], lr=0.1)
    (-criterion(model(inputs + delta), targets)).backward()
    attack.step()
""",
        # Callbacks get the optimizer: what they do is unknown.
        """\
def train(model, loader, optimizer, callbacks):
    for inputs, targets in loader:
        for callback in callbacks:
            callback.before_batch(model, optimizer)
        F.cross_entropy(model(inputs), targets).backward()
        optimizer.step()


class Clear:
    def before_batch(self, model, optimizer):
        optimizer.zero_grad()


train(model, loader, optimizer, [Clear()])
""",
        # Distributed autograd keeps the gradients of each context apart.
        """\
def run_worker(net, remote_parameters):
    import torch.distributed.autograd as dist_autograd
    from torch.distributed.optim import DistributedOptimizer

    opt = DistributedOptimizer(torch.optim.SGD, remote_parameters, lr=0.05)
    for inputs, targets in loader:
        with dist_autograd.context() as context_id:
            loss = criterion(net(inputs), targets)
            dist_autograd.backward(context_id, [loss])
            opt.step(context_id)
""",
        # One step, not a loop of them.
        """\
inputs, targets = loader[0]
loss = criterion(model(inputs), targets)
loss.backward()
optimizer.step()
print(loss.item(), criterion(model(inputs), targets).item())
""",
    )

    def explain(self, case: Case) -> str | None:
        if case.facts.get("wrong_target") or case.has(Kind.CLEAR, Relation.WHOLE):
            return None
        summed = (
            "gradients summed over iterations" if "loop" in case.facts else "the gradients of an earlier step again"
        )
        return f"`{case.at.text}` uses {summed}: nothing clears those of `{case.subject}`"

    def advise(self, case: Case) -> str:
        # Not "in each iteration": in an accumulation window, that would throw away what it has gathered.
        return f"call `{case.subject}.zero_grad()` after each step"
