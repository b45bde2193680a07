"""The loop clears and steps, and no backward pass feeds it.

## What it does

Finds steps that can only ever see cleared gradients: there is a clear and a step, and no `backward()` in
between, in the loop or in anything it calls.

## Why is this bad?

The step has nothing to apply. With gradients of None, as `zero_grad()` leaves them, the optimizer skips
every parameter; the loss is computed, printed and thrown away, and the model stays as it was initialised.
Usually the line was lost in a refactoring.

## Known limits

Gradients can come from elsewhere: `torch.autograd.grad`, an assignment to `.grad`, a function that
loopguard cannot read, a wrapper such as Accelerate or DeepSpeed. All of these count as a backward pass.

A single step before the loop, made to silence a scheduler's warning or to create the optimizer's state,
does no harm and is not reported.

## References

- [`Tensor.backward`](https://docs.pytorch.org/docs/stable/generated/torch.Tensor.backward.html)
- [Taking an optimization step](https://docs.pytorch.org/docs/stable/optim.html#taking-an-optimization-step)
"""

from loopguard.rule import Case, Level, Rule, gradient


class MissingBackward(Rule):
    code = "LG301"
    level = Level.ERROR
    engines = "SR"
    mistakes = frozenset({gradient.Mistake.EMPTY_STEP})

    bad = (
        """\
for inputs, targets in loader:
    optimizer.zero_grad()
    loss = criterion(model(inputs), targets)
    optimizer.step()  # expect: LG301
""",
        # The gradients are clipped, all the same.
        """\
def train(model, loader, op, clip_val=8.0):
    for epoch in range(num_epochs):
        total, count = 0.0, 0
        model.train()
        for inputs, targets in loader:
            op.zero_grad()
            loss = F.cross_entropy(model(inputs), targets)
            total += loss.item() * len(targets)
            count += len(targets)
            torch.nn.utils.clip_grad_norm_(model.parameters(), clip_val)
            op.step()  # expect: LG301
        print(epoch, total / count)


train(model, loader, torch.optim.RMSprop(model.parameters()))
""",
        # A method that overrides the one with the backward pass.
        """\
class Brain:
    def __init__(self, model):
        self.model = model
        self.optimizer = torch.optim.Adam(model.parameters())

    def compute_objectives(self, batch):
        inputs, targets = batch
        return F.cross_entropy(self.model(inputs), targets)

    def fit_batch(self, batch):
        loss = self.compute_objectives(batch)
        self.optimizer.step()  # expect: LG301
        self.optimizer.zero_grad()
        return loss.detach().cpu()

    def fit(self, loader):
        for batch in loader:
            self.fit_batch(batch)


Brain(model).fit(loader)
""",
        # Scaled, but not differentiated. PyTorch notices this one and raises.
        """\
for inputs, targets in loader:
    optimizer.zero_grad()
    with torch.autocast(device):
        loss = criterion(model(inputs), targets)
    scaler.scale(loss)
    scaler.step(optimizer)  # expect: LG301
    scaler.update()
""",
        # The second of two networks.
        """\
for real, _ in loader:
    opt_g.zero_grad()
    opt_d.zero_grad()
    fake = generator(torch.randn_like(real))
    d_loss = discriminator(fake.detach()).mean() - discriminator(real).mean()
    d_loss.backward()
    opt_d.step()

    g_loss = -discriminator(fake).mean()
    opt_g.step()  # expect: LG301
    print(d_loss.item(), g_loss.item())
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
        # By the engine's other entrance.
        """\
for inputs, targets in loader:
    optimizer.zero_grad()
    losses = [F.cross_entropy(model(x), y) for x, y in zip(inputs.chunk(2), targets.chunk(2))]
    torch.autograd.backward(losses)
    optimizer.step()
""",
        # Gradients that are computed and put in place.
        """\
parameters = list(model.parameters())
for inputs, targets in loader:
    optimizer.zero_grad()
    loss = criterion(model(inputs), targets)
    for p, g in zip(parameters, torch.autograd.grad(loss, parameters)):
        p.grad = g
    optimizer.step()
""",
        # Gradients that are guessed: an evolution strategy.
        """\
for inputs, targets in loader:
    optimizer.zero_grad()
    with torch.no_grad():
        before = criterion(model(inputs), targets)
        for p in model.parameters():
            noise = 0.01 * torch.randn_like(p)
            p.add_(noise)
            p.grad = noise * (criterion(model(inputs), targets) - before)
            p.sub_(noise)
    optimizer.step()
""",
        # Gradients of another model, as a worker shares them.
        """\
import copy

shared = copy.deepcopy(model)
shared_optimizer = torch.optim.SGD(shared.parameters(), lr=0.1)
for inputs, targets in loader:
    model.load_state_dict(shared.state_dict())
    model.zero_grad()
    shared_optimizer.zero_grad()
    criterion(model(inputs), targets).backward()
    for p, q in zip(model.parameters(), shared.parameters()):
        q.grad = p.grad
    shared_optimizer.step()
""",
        # A step for its side effects, before there is anything to learn.
        """\
optimizer.zero_grad()
optimizer.step()
scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=1)
for epoch in range(num_epochs):
    for inputs, targets in loader:
        criterion(model(inputs), targets).backward()
        optimizer.step()
        optimizer.zero_grad()
    scheduler.step()
""",
        # In a wrapper's method, which is a function of another library.
        """\
from accelerate import Accelerator

accelerator = Accelerator()
model, optimizer, loader = accelerator.prepare(model, optimizer, loader)
for inputs, targets in loader:
    optimizer.zero_grad()
    loss = criterion(model(inputs), targets)
    accelerator.backward(loss)
    optimizer.step()
""",
        # In the module itself.
        """\
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 3)

    def learn(self, inputs, targets):
        loss = F.cross_entropy(self.layer(inputs), targets)
        loss.backward()
        return loss.item()


net = Net()
optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
for batch in loader:
    optimizer.zero_grad()
    value = net.learn(*batch)
    optimizer.step()
""",
    )

    def explain(self, case: Case) -> str | None:
        if case.facts.get("order") != "no backward":
            return None
        return (
            f"`{case.at.text}` sees no gradients: "
            f"nothing calls `backward()` after those of `{case.subject}` are cleared"
        )

    def advise(self, case: Case) -> str:
        return f"call `backward()` on the loss before `{case.at.text}`"
