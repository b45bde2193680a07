"""healthy.py with one bug: nothing clears the gradients, so every step uses the sum of all batches so far.

Nothing fails. The loss explodes and the accuracy stays at one in three, where healthy.py has learned the
task after two epochs.
"""

import argparse

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

ARMS = 3


def spirals(points: int, seed: int) -> TensorDataset:
    generator = torch.Generator().manual_seed(seed)
    arm = torch.randint(ARMS, (points,), generator=generator)
    radius = torch.rand(points, generator=generator).sqrt()
    angle = 6 * radius + arm * 2 * torch.pi / ARMS
    noise = 0.03 * torch.randn(points, 2, generator=generator)
    place = radius[:, None] * torch.stack([angle.cos(), angle.sin()], dim=1)
    return TensorDataset(2 * (place + noise), arm)


def train_epoch(model, loader, optimizer):
    model.train()
    total = 0.0
    for inputs, targets in loader:
        loss = nn.functional.cross_entropy(model(inputs), targets)
        loss.backward()
        optimizer.step()
        total += loss.item()
    return total / len(loader)


@torch.no_grad()
def accuracy(model, loader):
    model.eval()
    right = sum((model(inputs).argmax(1) == targets).sum().item() for inputs, targets in loader)
    return right / len(loader.dataset)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=10)
    args = parser.parse_args()

    torch.set_num_threads(1)  # tensors as small as these are fastest so
    torch.manual_seed(0)
    train_loader = DataLoader(spirals(1920, seed=1), batch_size=16, shuffle=True)
    valid_loader = DataLoader(spirals(480, seed=2), batch_size=120)
    model = nn.Sequential(nn.Linear(2, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, ARMS))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)

    for epoch in range(1, args.epochs + 1):
        loss = train_epoch(model, train_loader, optimizer)
        print(f"epoch {epoch:2}  loss {loss:9.4f}  accuracy {accuracy(model, valid_loader):.2f}")


if __name__ == "__main__":
    main()
