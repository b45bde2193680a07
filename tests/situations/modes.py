"""Modes of modules between training and evaluation, with layers that depend on them."""

import copy

import torch
from tiny import batches
from torch import Tensor, nn
from torch.optim import SGD, Adam
from torch.optim.swa_utils import AveragedModel, update_bn

Batches = list[tuple[Tensor, Tensor]]


def network() -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Dropout(0.5), nn.Linear(6, 1))


def train(model: nn.Module, optimizer: torch.optim.Optimizer, count: int = 4) -> None:
    for inputs, targets in batches(count):
        optimizer.zero_grad()
        nn.functional.mse_loss(model(inputs), targets).backward()
        optimizer.step()


def healthy_restored() -> None:
    model = network()
    optimizer = Adam(model.parameters())
    for _ in range(6):
        model.train()
        train(model, optimizer)
        model.eval()
        with torch.no_grad():
            sum(model(inputs).sum().item() for inputs, _ in batches(3))


def broken_not_restored() -> None:
    model = network()
    optimizer = Adam(model.parameters())
    model.train()
    for _ in range(2):
        train(model, optimizer)
        model.eval()  # expect: LG701
        with torch.no_grad():
            sum(model(inputs).sum().item() for inputs, _ in batches(3))


def broken_not_restored_after_long() -> None:
    model = network()
    optimizer = Adam(model.parameters())
    for _ in range(2):
        train(model, optimizer, 60)
        model.eval()  # expect: LG701
        for inputs, _ in batches(3):
            model(inputs)


def healthy_restored_each_iteration() -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.01)
    for inputs, targets in batches(60):
        model.eval()
        with torch.no_grad():
            model(inputs)
        model.train()
        optimizer.zero_grad()
        nn.functional.mse_loss(model(inputs), targets).backward()
        optimizer.step()


def broken_once_in_a_while() -> None:
    """After many evaluations that were right, one takes another way out."""
    model = network()
    optimizer = SGD(model.parameters(), lr=0.01)
    for number, (inputs, targets) in enumerate(batches(70)):
        optimizer.zero_grad()
        nn.functional.mse_loss(model(inputs), targets).backward()
        optimizer.step()
        model.eval()  # expect: LG701
        with torch.no_grad():
            model(inputs)
        if number < 63:
            model.train()


def healthy_evaluated_between_forward_and_backward() -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.01)
    for inputs, targets in batches(20):
        model.train()
        loss = nn.functional.mse_loss(model(inputs), targets)
        model.eval()
        with torch.no_grad():
            model(inputs)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def healthy_in_evaluation_mode_from_the_start() -> None:
    model = network().eval()
    optimizer = SGD(model.parameters(), lr=0.01)
    for _ in range(3):
        train(model, optimizer)
        model.eval()
        with torch.no_grad():
            sum(model(inputs).sum().item() for inputs, _ in batches(3))


def healthy_statistics_frozen_later() -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.01)
    for epoch in range(5):
        model.train()
        if epoch >= 2:
            model[1].eval()
        train(model, optimizer)


def healthy_trained_without_noise_later() -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.01)
    for epoch in range(5):
        if epoch >= 2:
            model.eval()
        for inputs, targets in batches(4):
            optimizer.zero_grad()
            nn.functional.mse_loss(model(inputs), targets).backward()
            optimizer.step()


def healthy_trained_without_noise_later_and_averaged() -> None:
    model = network()
    average = copy.deepcopy(model)
    optimizer = SGD(model.parameters(), lr=0.01)
    for epoch in range(5):
        if epoch >= 2:
            model.eval()
        for inputs, targets in batches(4):
            with torch.no_grad():
                targets = targets + average(inputs)
            optimizer.zero_grad()
            nn.functional.mse_loss(model(inputs), targets).backward()
            optimizer.step()
            with torch.no_grad():
                for mine, theirs in zip(average.parameters(), model.parameters(), strict=True):
                    mine.lerp_(theirs, 0.1)


def healthy_flags_set_by_hand() -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.01)
    for _ in range(4):
        train(model, optimizer)
        model.eval()
        with torch.no_grad():
            sum(model(inputs).sum().item() for inputs, _ in batches(3))
        for part in model.modules():
            part.training = True


def healthy_teacher_and_average() -> None:
    model = network()
    average = copy.deepcopy(model)
    optimizer = SGD(model.parameters(), lr=0.01)
    for inputs, _ in batches(12):
        average.eval()
        with torch.no_grad():
            targets = average(inputs)
        optimizer.zero_grad()
        nn.functional.mse_loss(model(inputs), targets).backward()
        optimizer.step()
        with torch.no_grad():
            for mine, theirs in zip(average.parameters(), model.parameters(), strict=True):
                mine.lerp_(theirs, 0.1)


def healthy_layers_with_one_mode() -> None:
    model = nn.Sequential(nn.Linear(4, 6), nn.LayerNorm(6), nn.Dropout(0.0), nn.LSTM(6, 1))
    optimizer = SGD(model.parameters(), lr=0.01)
    for _ in range(3):
        for inputs, targets in batches(4):
            optimizer.zero_grad()
            nn.functional.mse_loss(model(inputs)[0], targets).backward()
            optimizer.step()
        with torch.no_grad():
            for inputs, _ in batches(3):
                print(model(inputs)[0].sum(), end="\r")
        model.eval()


def healthy_samples_of_a_generator() -> None:
    generator, discriminator = network(), nn.Sequential(nn.Linear(1, 4), nn.Dropout(0.1), nn.Linear(4, 1))
    opt_g, opt_d = Adam(generator.parameters()), Adam(discriminator.parameters())
    for inputs, real in batches(12):
        with torch.no_grad():
            fake = generator(inputs)
        opt_d.zero_grad()
        (discriminator(fake).mean() - discriminator(real).mean()).backward()
        opt_d.step()
        opt_g.zero_grad()
        (-discriminator(generator(inputs)).mean()).backward()
        opt_g.step()
        with torch.no_grad():
            [generator(torch.randn(3, 4)) for _ in range(3)]


def broken_generator_left_in_evaluation_mode() -> None:
    generator, discriminator = network(), nn.Linear(1, 1)
    opt_g, opt_d = Adam(generator.parameters()), Adam(discriminator.parameters())
    for inputs, real in batches(12):
        opt_d.zero_grad()
        (discriminator(generator(inputs).detach()).mean() - discriminator(real).mean()).backward()
        opt_d.step()
        opt_g.zero_grad()
        (-discriminator(generator(inputs)).mean()).backward()
        opt_g.step()
        generator.eval()  # expect: LG701
        with torch.no_grad():
            generator(inputs)


def broken_validation_in_training_mode() -> None:
    model = network()
    optimizer = Adam(model.parameters())
    loader = list(batches(4))
    for _ in range(2):
        train(model, optimizer)
        total = 0.0
        with torch.no_grad():
            for inputs, targets in loader:
                total += nn.functional.mse_loss(model(inputs), targets).item()  # expect: LG702


def broken_validation_by_batches_after_long() -> None:
    model = network()
    optimizer = Adam(model.parameters())
    loader = list(batches(4))
    train(model, optimizer, 100)
    for inputs, _ in loader:
        with torch.inference_mode():
            outputs = model(inputs)  # expect: LG702
        print(outputs.mean(), end="\r")


@torch.no_grad()
def predict(model: nn.Module, loader: Batches) -> list[Tensor]:
    found = []
    for inputs, _ in loader:
        found.append(model(inputs))
    return found


def healthy_prediction_in_evaluation_mode() -> None:
    model = network()
    optimizer = Adam(model.parameters())
    loader = list(batches(4))
    for _ in range(3):
        model.train()
        train(model, optimizer)
        model.eval()
        predict(model, loader)


def healthy_modes_of_many_runs() -> None:
    """Monte Carlo dropout: training mode is chosen for the predictions, as a whole or for dropout alone."""
    model = network()
    optimizer = Adam(model.parameters())
    loader = list(batches(4))
    for _ in range(3):
        model.train()
        train(model, optimizer)
        model.train()
        predict(model, loader)
        model.eval()
        model[2].train()
        predict(model, loader)


def healthy_statistics_of_an_average() -> None:
    model = network()
    average = AveragedModel(model)
    optimizer = SGD(model.parameters(), lr=0.01)
    loader = list(batches(4))
    for _ in range(3):
        train(model, optimizer)
        average.update_parameters(model)
        update_bn(loader, average)
        update_bn(loader, model)


def healthy_statistics_by_hand() -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.01)
    loader = list(batches(4))
    for _ in range(3):
        train(model, optimizer)
        with torch.no_grad():
            for inputs, _ in loader:
                model(inputs)


def healthy_rollouts() -> None:
    policy = network()
    optimizer = Adam(policy.parameters())
    for _ in range(4):
        state, states = torch.randn(3, 4), []
        with torch.no_grad():
            for _ in range(6):
                action = policy(state)
                states.append(state)
                state = state + action
        optimizer.zero_grad()
        policy(torch.cat(states)).square().mean().backward()
        optimizer.step()


def healthy_one_pass() -> None:
    """A single forward pass, for a shape or a log line, is no validation."""
    model = network()
    optimizer = Adam(model.parameters())
    loader = list(batches(4))
    with torch.no_grad():
        model(torch.zeros(2, 4))
    for inputs, targets in loader:
        optimizer.zero_grad()
        nn.functional.mse_loss(model(inputs), targets).backward()
        optimizer.step()
        with torch.no_grad():
            print(model(inputs).mean(), end="\r")


def healthy_guessed_targets() -> None:
    model = network()
    optimizer = Adam(model.parameters())
    loader = list(batches(8))
    for inputs, _ in loader:
        with torch.no_grad():
            targets = sum(model(inputs + 0.1 * torch.randn_like(inputs)) for _ in range(4)) / 4
        optimizer.zero_grad()
        nn.functional.mse_loss(model(inputs), targets).backward()
        optimizer.step()


class Refining(nn.Module):
    """Goes through a part of itself several times, and learns from the last."""

    def __init__(self) -> None:
        super().__init__()
        self.part = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4))
        self.head = nn.Linear(4, 1)

    def forward(self, inputs: Tensor) -> Tensor:
        with torch.no_grad():
            for _ in range(3):
                inputs = self.part(inputs)
        return self.head(self.part(inputs))


def healthy_refining() -> None:
    model = Refining()
    train(model, Adam(model.parameters()), 12)


def healthy_phases() -> None:
    model = network()
    optimizer = Adam(model.parameters())
    loaders = {"train": list(batches(4)), "val": list(batches(3))}
    for _ in range(3):
        for phase, loader in loaders.items():
            model.train(phase == "train")
            for inputs, targets in loader:
                optimizer.zero_grad()
                with torch.set_grad_enabled(phase == "train"):
                    loss = nn.functional.mse_loss(model(inputs), targets)
                if phase == "train":
                    loss.backward()
                    optimizer.step()
