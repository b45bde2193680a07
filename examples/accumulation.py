"""What this is all about: `backward()` adds to the gradients that are there, and only a clear takes them away.

First the sum in numbers, on one linear layer. Then two trainings with a step per two batches, one with the clear behind
the step and one with none; before each step, the ledger says of which batches the gradients are that it will use.
"""

import torch
from torch import nn

import loopguard

WINDOW = 2


def synthetic_batches(number):
    task = nn.Linear(5, 2)
    for _ in range(number):
        inputs = torch.randn(8, 5)
        yield inputs, task(inputs).detach()


def gradient_of(model, *batches):
    """The gradient that one backward pass per batch leaves in the bias."""
    model.zero_grad()
    for inputs, targets in batches:
        nn.functional.mse_loss(model(inputs), targets).backward()
    return model.bias.grad


def show_the_sum(model, first, second):
    apart = gradient_of(model, first), gradient_of(model, second)
    both = gradient_of(model, first, second)
    model.zero_grad()
    print("the gradient of the bias")
    print("    of the first batch  ", *(f"{value:8.4f}" for value in apart[0]))
    print("    of the second batch ", *(f"{value:8.4f}" for value in apart[1]))
    print("    of one and the other", *(f"{value:8.4f}" for value in both))
    print("    which is their sum:", torch.equal(apart[0] + apart[1], both))


def train(model, loader):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for number, (inputs, targets) in enumerate(loader, 1):
        loss = nn.functional.mse_loss(model(inputs), targets)
        (loss / WINDOW).backward()
        if number % WINDOW == 0:
            print(loopguard.ledger())
            optimizer.step()
            optimizer.zero_grad()


def train_without_clear(model, loader):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for number, (inputs, targets) in enumerate(loader, 1):
        loss = nn.functional.mse_loss(model(inputs), targets)
        (loss / WINDOW).backward()
        if number % WINDOW == 0:
            print(loopguard.ledger())
            optimizer.step()


def main():
    torch.manual_seed(0)
    loader = list(synthetic_batches(2 * WINDOW))
    show_the_sum(nn.Linear(5, 2), *loader[:2])
    for training in (train, train_without_clear):
        print(f"\n{training.__name__}")
        with loopguard.guard(on_finding="collect") as watch:
            training(nn.Linear(5, 2), loader)
        for finding in watch.findings:
            print(f"{finding.code} {finding.name}: {finding.message}")
        print("mistakes:", len(watch.findings))


if __name__ == "__main__":
    main()
