"""What shapes are made of."""

from __future__ import annotations

HEAD = """\
import torch
from torch import nn
model = nn.Linear(2, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
"""
"""A model and its optimizer."""

HEALTHY = """\
for x in loader:
    optimizer.zero_grad()
    loss = model(x).sum()
    loss.backward()
    optimizer.step()
"""
FAULTY = HEALTHY.replace("    optimizer.zero_grad()\n", "")


def many(line: str, size: int) -> str:
    """A line so many times; `{}` in it is the number, from 0."""
    return "".join(line.replace("{}", str(number)) for number in range(size))


def several(item: str, size: int, between: str = ", ") -> str:
    """An item so many times, on one line; `{}` in it is the number."""
    return between.join(item.replace("{}", str(number)) for number in range(size))


def indented(text: str, by: int = 4) -> str:
    """A block, indented."""
    return "".join(f"{' ' * by}{line}\n" if line else "\n" for line in text.split("\n")[:-1])


def before(text: str) -> str:
    """Something that stands between the head and a loop that never clears."""
    return f"{HEAD}{text}{FAULTY}"


def within(text: str) -> str:
    """Something that stands in a loop that never clears, between the forward pass and the backward pass."""
    first, last = FAULTY.split("    loss.backward()\n")
    return f"{HEAD}{first}{indented(text)}    loss.backward()\n{last}"
