"""Another loss has left its gradients in the parameters that this optimizer steps.

## What it does

Finds two optimizers that take turns, where the backward pass of the one reaches the parameters of the
other, and nothing clears them before the other's own turn: a discriminator that is fed by the generator's
loss, a critic that is fed by the actor's.

## Why is this bad?

The generator's loss runs through the discriminator to reach the generator, and leaves gradients in both.
They say how the discriminator should change to be fooled more easily. If the next step of the
discriminator applies them together with its own, the two losses pull at the same weights in opposite
directions. Training still moves, which makes this one of the harder faults to notice.

Clearing right behind the step does not help, since the foreign gradients arrive afterwards. The clear
belongs directly in front of the backward pass.

## Known limits

Which modules a loss runs through is read from how it is computed. Where that is not known, loopguard says
nothing; so it does where the foreign parameters are frozen for the time being or `backward(inputs=...)`
names what is wanted.

One loss that several optimizers step on is not foreign to any of them.

## References

- [`Tensor.backward`](https://docs.pytorch.org/docs/stable/generated/torch.Tensor.backward.html), and its
  `inputs`
- [DCGAN tutorial](https://docs.pytorch.org/tutorials/beginner/dcgan_faces_tutorial.html), with the clears
  where they belong
- [Working with multiple models, losses, and optimizers](https://docs.pytorch.org/docs/stable/notes/amp_examples.html#working-with-multiple-models-losses-and-optimizers)
"""

from loopguard.rule import Case, Level, Rule, gradient


class ForeignGradients(Rule):
    code = "LG106"
    level = Level.WARNING
    engines = "SR"
    mistakes = frozenset({gradient.Mistake.MIXED_STEP})

    bad = (
        # Both are cleared at the start, and the generator goes first.
        """\
for real, _ in loader:
    opt_g.zero_grad()
    opt_d.zero_grad()

    fake = generator(torch.randn_like(real))
    g_loss = F.softplus(-discriminator(fake)).mean()
    g_loss.backward()
    opt_g.step()

    d_loss = F.softplus(-discriminator(real)).mean() + F.softplus(discriminator(fake.detach())).mean()
    d_loss.backward()
    opt_d.step()  # expect: LG106
""",
        # Each is cleared right behind its own step.
        """\
def train_epoch(student, discriminator, loader, student_optimizer, discriminator_optimizer):
    for real, _ in loader:
        fake = student(torch.randn_like(real))
        d_loss = discriminator(fake.detach()).mean() - discriminator(real).mean()
        d_loss.backward()
        discriminator_optimizer.step()  # expect: LG106
        discriminator_optimizer.zero_grad()

        student_loss = -discriminator(fake).mean()
        student_loss.backward()
        student_optimizer.step()
        student_optimizer.zero_grad()


train_epoch(generator, discriminator, loader, opt_g, opt_d)
""",
        # Actor and critic.
        """\
actor, critic = nn.Linear(4, 4), nn.Linear(8, 1)
actor_opt = torch.optim.Adam(actor.parameters(), lr=1e-3)
critic_opt = torch.optim.Adam(critic.parameters(), lr=1e-3)
for states, rewards in loader:
    actor_opt.zero_grad()
    critic_opt.zero_grad()

    actions = actor(states)
    actor_loss = -critic(torch.cat([states, actions], dim=1)).mean()
    actor_loss.backward()
    actor_opt.step()

    values = critic(torch.cat([states, actions.detach()], dim=1)).squeeze(1)
    critic_loss = F.mse_loss(values, rewards.float())
    critic_loss.backward()
    critic_opt.step()  # expect: LG106
""",
        # In a class.
        """\
class GAN:
    def __init__(self):
        self.G, self.D = nn.Linear(4, 4), nn.Linear(4, 1)
        self.opt_g = torch.optim.Adam(self.G.parameters(), lr=1e-3)
        self.opt_d = torch.optim.Adam(self.D.parameters(), lr=1e-3)

    def fit(self, loader):
        for real, _ in loader:
            self.opt_d.zero_grad()
            self.opt_g.zero_grad()
            fake = self.G(torch.randn_like(real))
            (-self.D(fake).mean()).backward()
            self.opt_g.step()
            (self.D(fake.detach()).mean() - self.D(real).mean()).backward()
            self.opt_d.step()  # expect: LG106


GAN().fit(loader)
""",
    )
    good = (
        """\
for real, _ in loader:
    opt_g.zero_grad()
    fake = generator(torch.randn_like(real))
    g_loss = F.softplus(-discriminator(fake)).mean()
    g_loss.backward()
    opt_g.step()

    opt_d.zero_grad()
    d_loss = F.softplus(-discriminator(real)).mean() + F.softplus(discriminator(fake.detach())).mean()
    d_loss.backward()
    opt_d.step()
""",
        # Foreign gradients arrive, and are cleared before the own backward pass.
        """\
class Brain:
    def fit_batch(self, real, stage):
        fake = generator(torch.randn_like(real))
        if stage == "discriminator":
            for batch in (real, fake.detach()):
                loss = F.softplus(discriminator(batch)).mean()
                opt_d.zero_grad()
                loss.backward()
                opt_d.step()
        else:
            loss = F.softplus(-discriminator(fake)).mean()
            opt_g.zero_grad()
            loss.backward()
            opt_g.step()
        return loss.detach()


brain = Brain()
for i, (real, _) in enumerate(loader):
    brain.fit_batch(real, "discriminator" if i % 2 else "generator")
""",
        # The discriminator is frozen while the generator learns.
        """\
def set_requires_grad(net, value):
    for p in net.parameters():
        p.requires_grad = value


for real, _ in loader:
    opt_g.zero_grad()
    opt_d.zero_grad()
    fake = generator(torch.randn_like(real))

    set_requires_grad(discriminator, False)
    (-discriminator(fake).mean()).backward()
    opt_g.step()

    set_requires_grad(discriminator, True)
    (discriminator(fake.detach()).mean() - discriminator(real).mean()).backward()
    opt_d.step()
""",
        # The backward pass says where it may leave gradients.
        """\
for real, _ in loader:
    opt_g.zero_grad()
    opt_d.zero_grad()
    fake = generator(torch.randn_like(real))
    (-discriminator(fake).mean()).backward(inputs=list(generator.parameters()))
    opt_g.step()
    (discriminator(fake.detach()).mean() - discriminator(real).mean()).backward()
    opt_d.step()
""",
        # One loss, two optimizers.
        """\
for real, _ in loader:
    opt_g.zero_grad()
    opt_d.zero_grad()
    loss = discriminator(generator(real)).pow(2).mean()
    loss.backward()
    opt_g.step()
    opt_d.step()
""",
        # Two losses on purpose: both are there before the first step.
        """\
for real, _ in loader:
    opt_g.zero_grad()
    opt_d.zero_grad()
    hidden = generator(real)
    F.mse_loss(hidden, real).backward(retain_graph=True)
    discriminator(hidden).pow(2).mean().backward()
    opt_g.step()
    opt_d.step()
""",
        # The critic goes first and is cleared first; what the actor leaves in it does not last.
        """\
actor, critic = nn.Linear(4, 4), nn.Linear(8, 1)
actor_opt = torch.optim.Adam(actor.parameters(), lr=1e-3)
critic_opt = torch.optim.Adam(critic.parameters(), lr=1e-3)
for states, rewards in loader:
    with torch.no_grad():
        actions = actor(states)
    values = critic(torch.cat([states, actions], dim=1)).squeeze(1)
    critic_opt.zero_grad()
    F.mse_loss(values, rewards.float()).backward()
    critic_opt.step()

    actor_opt.zero_grad()
    (-critic(torch.cat([states, actor(states)], dim=1)).mean()).backward()
    actor_opt.step()
""",
    )

    def explain(self, case: Case) -> str | None:
        other = f", the backward pass for `{case.facts['other']}`" if "other" in case.facts else ""
        foreign = f"`{case.facts['foreign']}`{other}"
        return f"`{case.at.text}` also applies the gradients of {foreign}: nothing has cleared them"

    def advise(self, case: Case) -> str:
        return f"call `{case.subject}.zero_grad()` directly before the backward pass of its own loss"
