"""Passes without gradients between those with: validation, sampling, inference, statistics."""

import torch
from tiny import batches, loss_of, network
from torch import Tensor, nn
from torch.optim import SGD


@torch.no_grad()
def validate(model: nn.Module) -> float:
    model.eval()
    total = sum(loss_of(model, batch).item() for batch in batches(3))
    model.train()
    return total


def healthy_validation() -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.01)
    for _ in range(4):
        for batch in batches(10):
            optimizer.zero_grad()
            loss_of(model, batch).backward()
            optimizer.step()
        validate(model)


def broken_validation() -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.01)
    for _ in range(4):
        for batch in batches(10):
            loss_of(model, batch).backward()
            optimizer.step()  # expect: LG101
        validate(model)


def healthy_inference() -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.01)
    for number, batch in enumerate(batches()):
        loss = loss_of(model, batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if number % 7 == 0:
            with torch.inference_mode():
                model(torch.randn(2, 4))


def broken_inference() -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.01)
    for inputs, targets in batches():
        with torch.no_grad():
            outputs = model(inputs)
        loss = nn.functional.mse_loss(outputs, targets)
        optimizer.zero_grad()
        try:
            loss.backward()  # expect: LG303
        except RuntimeError:
            break
        optimizer.step()


def healthy_sensitivity() -> None:
    """Gradients of the inputs are computed with `backward`, and leave some in the model, which are cleared."""
    model = network()
    optimizer = SGD(model.parameters(), lr=0.01)
    for number, batch in enumerate(batches()):
        optimizer.zero_grad()
        loss_of(model, batch).backward()
        optimizer.step()
        if number % 10 == 0:
            inputs = torch.randn(2, 4, requires_grad=True)
            model(inputs).sum().backward()
            assert inputs.grad is not None


def broken_sensitivity() -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.01)
    optimizer.zero_grad()
    for batch in batches():
        loss_of(model, batch).backward()
        optimizer.step()  # expect: LG102
        inputs = torch.randn(2, 4, requires_grad=True)
        model(inputs).sum().backward()


def healthy_two_losses() -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.01)

    def update(loss: Tensor) -> None:
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    for batch in batches():
        update(loss_of(model, batch))
        update(sum((p.square().sum() for p in model.parameters()), torch.zeros(())))


def broken_two_losses() -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.01)

    def update(loss: Tensor) -> None:
        loss.backward()
        optimizer.step()  # expect: LG101

    for batch in batches():
        update(loss_of(model, batch))
        update(sum((p.square().sum() for p in model.parameters()), torch.zeros(())))
