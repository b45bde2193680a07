"""Programs that grow in one direction, for what could take more than its share of time there."""

from __future__ import annotations

from collections.abc import Callable

_TOP = """\
import torch
from torch import nn

model = nn.Linear(4, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)


"""


def _long_function(size: int) -> str:
    body = "".join(f"        x{n} = model(x) * {n}\n        x = x + x{n}\n" for n in range(size * 5))
    return f"{_TOP}def train(loader):\n    for x in loader:\n        optimizer.zero_grad()\n{body}" + _END


_END = "        loss = model(x).sum()\n        loss.backward()\n        optimizer.step()\n"


def _many_functions(size: int) -> str:
    one = "def train{}(loader):\n    for x in loader:\n        optimizer.zero_grad()\n" + _END
    return _TOP + "\n\n".join(one.format(n) for n in range(size))


def _branches_in_a_row(size: int) -> str:
    body = "".join(f"        if flag{n}:\n            x = helper{n}(x)\n" for n in range(size))
    return f"{_TOP}def train(loader):\n    for x in loader:\n        optimizer.zero_grad()\n{body}{_END}"


def _events_under_many_conditions(size: int) -> str:
    body = "".join(f"        if flag{n}:\n            model(x).sum().backward()\n" for n in range(size))
    return f"{_TOP}def train(loader):\n    for x in loader:\n        optimizer.zero_grad()\n{body}{_END}"


def _loops_in_a_row(size: int) -> str:
    loop = "    for x in loader{}:\n        optimizer.zero_grad()\n" + _END
    return f"{_TOP}def train():\n" + "".join(loop.format(n) for n in range(size))


def _helpers_in_a_chain(size: int) -> str:
    chain = "".join(f"def step{n}(loss):\n    step{n + 1}(loss)\n\n\n" for n in range(size))
    last = f"def step{size}(loss):\n    loss.backward()\n    optimizer.step()\n\n\n"
    return f"{_TOP}{chain}{last}for x in loader:\n    step0(model(x).sum())\n"


def _optimizers(size: int) -> str:
    made = "".join(f"opt{n} = torch.optim.SGD(model{n}.parameters(), lr=0.1)\n" for n in range(size))
    clears = "".join(f"    opt{n}.zero_grad()\n" for n in range(size))
    steps = "".join(f"    opt{n}.step()\n" for n in range(size))
    return f"{_TOP}{made}for x in loader:\n{clears}    loss = model(x).sum()\n    loss.backward()\n{steps}"


KINDS: dict[str, Callable[[int], str]] = {
    "a_longer_function": _long_function,
    "functions": _many_functions,
    "branches_in_a_row": _branches_in_a_row,
    "events_under_conditions": _events_under_many_conditions,
    "loops_in_a_row": _loops_in_a_row,
    "helpers_in_a_chain": _helpers_in_a_chain,
    "optimizers": _optimizers,
}
"""What grows, and the program of a size."""
