"""A generator and a discriminator train in turns; each loss may leave gradients in the other's parameters."""

import torch
from tiny import LONG
from torch import Tensor, nn
from torch.optim import Adam


def pair() -> tuple[nn.Module, nn.Module, Adam, Adam]:
    generator = nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 3))
    discriminator = nn.Sequential(nn.Linear(3, 4), nn.LeakyReLU(0.2), nn.Linear(4, 1))
    return generator, discriminator, Adam(generator.parameters()), Adam(discriminator.parameters())


def judged(values: Tensor, real: bool) -> Tensor:
    return nn.functional.binary_cross_entropy_with_logits(values, torch.full_like(values, float(real)))


def healthy_discriminator_first() -> None:
    generator, discriminator, opt_g, opt_d = pair()
    for _ in range(LONG):
        fake = generator(torch.randn(5, 2))
        opt_d.zero_grad()
        loss_d = judged(discriminator(torch.randn(5, 3)), True) + judged(discriminator(fake.detach()), False)
        loss_d.backward()
        opt_d.step()
        opt_g.zero_grad()
        judged(discriminator(fake), True).backward()
        opt_g.step()


def broken_discriminator_first() -> None:
    generator, discriminator, opt_g, opt_d = pair()
    for _ in range(LONG):
        fake = generator(torch.randn(5, 2))
        loss_d = judged(discriminator(torch.randn(5, 3)), True) + judged(discriminator(fake.detach()), False)
        loss_d.backward()
        opt_d.step()  # expect: LG101
        opt_g.zero_grad()
        judged(discriminator(fake), True).backward()
        opt_g.step()


def healthy_generator_first() -> None:
    generator, discriminator, opt_g, opt_d = pair()
    for _ in range(LONG):
        opt_g.zero_grad()
        fake = generator(torch.randn(5, 2))
        judged(discriminator(fake), True).backward()
        opt_g.step()
        opt_d.zero_grad()
        judged(discriminator(torch.randn(5, 3)), True).backward()
        judged(discriminator(fake.detach()), False).backward()
        opt_d.step()


def broken_generator_first() -> None:
    generator, discriminator, opt_g, opt_d = pair()
    for _ in range(LONG):
        opt_d.zero_grad()
        opt_g.zero_grad()
        fake = generator(torch.randn(5, 2))
        judged(discriminator(fake), True).backward()
        opt_g.step()
        judged(discriminator(torch.randn(5, 3)), True).backward()
        judged(discriminator(fake.detach()), False).backward()
        opt_d.step()  # expect: LG106


def healthy_frozen_discriminator() -> None:
    generator, discriminator, opt_g, opt_d = pair()
    for _ in range(LONG):
        discriminator.requires_grad_(True)
        with torch.no_grad():
            fake = generator(torch.randn(5, 2))
        opt_d.zero_grad()
        (judged(discriminator(torch.randn(5, 3)), True) + judged(discriminator(fake), False)).backward()
        opt_d.step()
        discriminator.requires_grad_(False)
        opt_g.zero_grad()
        judged(discriminator(generator(torch.randn(5, 2))), True).backward()
        opt_g.step()


def broken_frozen_discriminator() -> None:
    generator, discriminator, opt_g, opt_d = pair()
    for _ in range(LONG):
        discriminator.requires_grad_(True)
        with torch.no_grad():
            fake = generator(torch.randn(5, 2))
        opt_d.zero_grad()
        (judged(discriminator(torch.randn(5, 3)), True) + judged(discriminator(fake), False)).backward()
        opt_d.step()
        discriminator.requires_grad_(False)
        judged(discriminator(generator(torch.randn(5, 2))), True).backward()
        opt_g.step()  # expect: LG101


def healthy_several_critics_steps() -> None:
    generator, discriminator, opt_g, opt_d = pair()
    for number in range(3 * LONG):
        opt_d.zero_grad()
        fake = generator(torch.randn(5, 2)).detach()
        (discriminator(fake).mean() - discriminator(torch.randn(5, 3)).mean()).backward()
        opt_d.step()
        for p in discriminator.parameters():
            p.data.clamp_(-0.1, 0.1)
        if number % 3 == 0:
            opt_g.zero_grad()
            (-discriminator(generator(torch.randn(5, 2))).mean()).backward()
            opt_g.step()


def healthy_fake_kept_attached() -> None:
    generator, discriminator, opt_g, opt_d = pair()
    for _ in range(LONG):
        fake = generator(torch.randn(5, 2))
        opt_d.zero_grad()
        loss_d = judged(discriminator(torch.randn(5, 3)), True) + judged(discriminator(fake), False)
        loss_d.backward(retain_graph=True)
        opt_d.step()
        opt_g.zero_grad()
        judged(discriminator(fake), True).backward()
        opt_g.step()


def broken_fake_kept_attached() -> None:
    generator, discriminator, opt_g, opt_d = pair()
    for _ in range(LONG):
        opt_g.zero_grad()
        opt_d.zero_grad()
        fake = generator(torch.randn(5, 2))
        loss_d = judged(discriminator(torch.randn(5, 3)), True) + judged(discriminator(fake), False)
        loss_d.backward()
        opt_d.step()
        judged(discriminator(generator(torch.randn(5, 2))), True).backward()
        opt_g.step()  # expect: LG106
