"""One loop in many shapes: in a function, in a method, with helpers, beside another. The same is found in each."""

from __future__ import annotations

import re
from collections.abc import Callable
from textwrap import indent

import pytest
from hypothesis import given
from programs import HEAD, codes
from random_programs import BATCH, RUNNABLE, UPDATE, fuzz

codes(HEAD)  # the first analysis sets the recursion limit, which hypothesis would take for the fault of a test


def in_a_function(loop: str) -> str:
    """The loop in a function that gets what it needs."""
    head = "def train(model, optimizer, loader, a, b):\n"
    return f"{UPDATE}{head}{indent(loop, '    ')}train(model, optimizer, loader, a, b)\n"


def in_a_method(loop: str) -> str:
    """The loop in a method of an object that holds what it needs."""
    update = "    def update(self, loss):\n        loss.backward()\n        self.optimizer.step()\n"
    body = re.sub(r"\b(model|optimizer)\b", r"self.\1", loop).replace("update(loss)", "self.update(loss)")
    return (
        "class Trainer:\n    def __init__(self, model):\n        self.model = model\n"
        "        self.optimizer = torch.optim.SGD(model.parameters(), lr=0.1)\n"
        f"{update if 'update' in loop else ''}"
        f"    def fit(self, loader):\n{indent(body, '        ')}Trainer(model).fit(loader)\n"
    )


def with_helpers(loop: str) -> str:
    """Every event in a function of its own."""
    helpers = "def clear():\n    optimizer.zero_grad()\ndef deposit(loss):\n    loss.backward()\ndef move():\n    optimizer.step()\n"
    for event, helper in {
        "optimizer.zero_grad()": "clear()",
        "loss.backward()": "deposit(loss)",
        "optimizer.step()": "move()",
    }.items():
        loop = loop.replace(event, helper)
    return f"{helpers}{UPDATE}{loop}"


def with_other_names_for_things(loop: str) -> str:
    """The optimizer under another name, in a dict."""
    return f"{UPDATE}table = {{'main': optimizer}}\n" + loop.replace("optimizer.", "table['main'].")


def beside_another_optimizer(loop: str) -> str:
    """Each iteration also trains another model, as it should."""
    other = "critic = torch.nn.Linear(2, 1)\nadam = torch.optim.Adam(critic.parameters())\n"
    train = "    adam.zero_grad()\n    critic(x).sum().backward()\n    adam.step()\n"
    return f"{other}{UPDATE}{loop.replace(BATCH, BATCH + train, 1)}"


LEFT = {"LG302"}
"""A loss that a loop has left behind is told only in a file that also steps."""

SHAPES = [in_a_function, in_a_method, with_helpers, with_other_names_for_things, beside_another_optimizer]


@pytest.mark.parametrize("shape", SHAPES)
@fuzz(100)
@given(loop=RUNNABLE)
def test_in_another_shape_the_same_is_found(shape: Callable[[str], str], loop: str) -> None:
    found, expected = set(codes(HEAD + shape(loop))) - LEFT, set(codes(HEAD + UPDATE + loop)) - LEFT
    if shape is with_helpers:
        # Where two mistakes of one kind meet in one helper, the first is told.
        assert found <= expected and bool(found) == bool(expected)
    else:
        assert found == expected
