"""Training programs of which a check says that something is wrong, and what a run has to say of that."""

from __future__ import annotations

from collections.abc import Mapping
from textwrap import indent
from typing import NamedTuple

from loopguard.crosscheck import Verdict

HEAD = """\
import sys

import torch
from torch import nn

never = len(sys.argv) > 9
model, other = nn.Linear(3, 1), nn.Linear(3, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
second = torch.optim.SGD(other.parameters(), lr=0.01)


def loss_of(net):
    return net(torch.randn(4, 3)).square().mean()


"""


class Said(NamedTuple):
    """A program, the rule of the one finding of its check, and what becomes of that in a run."""

    text: str
    code: str
    verdict: Verdict


def _loop(body: str, before: str = "", header: str = "for i in range(16)") -> str:
    return f"{before}{header}:\n{indent(body, '    ')}"


def _hidden(name: str, text: str) -> str:
    """Let each forward pass of a module do something of which the text does not tell."""
    block = indent(text, "        ")
    return (
        f"def hiding(forward):\n    def inner(x):\n{block}        return forward(x)\n\n    return inner\n\n\n"
        f"setattr({name}, 'forward', hiding({name}.forward))\n"
    )


UNSEEN = "other(torch.randn(4, 3))\n"
CLEAR, BACKWARD, STEP = "optimizer.zero_grad()\n", "loss.backward()\n", "optimizer.step()\n"
LOSS = "loss = loss_of(model)\n"
NEVER = "if never:\n    loss.backward()\n"
MAIN = (
    "def main():\n    model = nn.Linear(3, 1)\n    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)\n"
    "    tick = lambda: optimizer.step()\n"
)
APPLY = "def apply(o):\n    o.step()\n\n\n"

PROGRAMS: Mapping[str, Said] = {
    # A run finds what a check has found.
    "a backward pass that never runs": Said(
        _loop(f"model.zero_grad()\n{LOSS}{STEP}{NEVER}"), "LG202", Verdict.CONFIRMED
    ),
    "a clear by hand": Said(
        _loop(f"{LOSS}{BACKWARD}for p in model.parameters():\n    p.grad = None\n{STEP}"), "LG103", Verdict.CONFIRMED
    ),
    "a step in a function": Said(
        _loop(f"model.zero_grad()\n{LOSS}apply(optimizer)\n{NEVER}", APPLY), "LG202", Verdict.CONFIRMED
    ),
    "a step in a lambda": Said(
        MAIN + indent(_loop(f"model.zero_grad()\n{LOSS}tick()\n{NEVER}"), "    ") + "\n\nmain()\n",
        "LG202",
        Verdict.CONFIRMED,
    ),
    "a step in a lambda that nobody calls": Said(
        MAIN + indent(_loop(CLEAR + LOSS + BACKWARD), "    ") + "\n\nmain()\n",
        "LG201",
        Verdict.CONFIRMED,
    ),
    "a window with another loss": Said(
        _loop(
            f"{CLEAR}{LOSS}{BACKWARD}if i % 2 == 0:\n    optimizer.step()\nsecond.zero_grad()\n"
            "(loss_of(other) + loss_of(model)).backward()\nsecond.step()\n"
        ),
        "LG401",
        Verdict.CONFIRMED,
    ),
    # What a run does is not what a check takes it for, and it was there.
    "a clear that no text shows": Said(
        _loop(
            LOSS + BACKWARD + STEP,
            "setattr(model, 'forward', (lambda f: lambda x: (model.zero_grad(), f(x))[1])(model.forward))\n",
        ),
        "LG101",
        Verdict.REFUTED,
    ),
    "a backward pass that no text shows": Said(
        _loop(f"{CLEAR}{LOSS}getattr(loss, 'back' + 'ward')()\n{STEP}"), "LG301", Verdict.REFUTED
    ),
    "a step that no text shows": Said(
        _loop(f"{CLEAR}{LOSS}{BACKWARD}hidden[i % 1]()\n", "hidden = [getattr(optimizer, 'st' + 'ep')]\n"),
        "LG201",
        Verdict.REFUTED,
    ),
    "a clear that no text shows, in an inner loop": Said(
        _loop(f"{CLEAR}for x in range(3):\n{indent(LOSS + BACKWARD + STEP, '    ')}", _hidden("model", CLEAR)),
        "LG102",
        Verdict.REFUTED,
    ),
    "another backward pass between the clear and the step": Said(
        _loop(f"{LOSS}{BACKWARD}{CLEAR}{UNSEEN}{STEP}", _hidden("other", "loss_of(model).backward()\n")),
        "LG103",
        Verdict.REFUTED,
    ),
    "gradients that are computed anew between two steps": Said(
        _loop(f"{CLEAR}{LOSS}{BACKWARD}{STEP}{UNSEEN}{STEP}", _hidden("other", f"{CLEAR}loss_of(model).backward()\n")),
        "LG204",
        Verdict.REFUTED,
    ),
    "a window that others apply, too": Said(
        _loop(
            f"{CLEAR}{LOSS}{BACKWARD}if i % 2 == 0:\n    optimizer.step()\nelse:\n    {UNSEEN}", _hidden("other", STEP)
        ),
        "LG401",
        Verdict.REFUTED,
    ),
    "a helper that is called once": Said(
        _loop(f"{LOSS}{BACKWARD}apply(optimizer)\n", APPLY + _hidden("model", CLEAR)), "LG101", Verdict.REFUTED
    ),
    "a context manager": Said(
        _loop(
            f"with stepping(optimizer):\n{indent(LOSS + BACKWARD, '    ')}",
            "from contextlib import contextmanager\n\n\n@contextmanager\ndef stepping(o):\n    yield\n    o.step()\n\n\n"
            + _hidden("model", CLEAR),
        ),
        "LG101",
        Verdict.REFUTED,
    ),
    "a context manager that is entered by its name": Said(
        _loop(
            f"with stepping:\n{indent(LOSS + BACKWARD, '    ')}",
            "class Stepping:\n    def __enter__(self):\n        return self\n\n"
            "    def __exit__(self, *error):\n        optimizer.step()\n\n\nstepping = Stepping()\n"
            + _hidden("model", CLEAR),
        ),
        "LG101",
        Verdict.REFUTED,
    ),
    # It was there, and that proves nothing.
    "too short a run": Said(
        _loop(LOSS + BACKWARD + STEP, _hidden("model", CLEAR), "for i in range(4)"), "LG101", Verdict.NOT_JUDGED
    ),
    "loops that go round once, cleared around them": Said(
        _loop(
            "hidden[i % 1]()\ntrain(range(1))\n",
            f"def train(numbers):\n    for _ in numbers:\n{indent(LOSS + BACKWARD + STEP, ' ' * 8)}\n\n"
            "hidden = [getattr(optimizer, 'zero' + '_grad')]\n",
        ),
        "LG101",
        Verdict.NOT_JUDGED,
    ),
    "loops that are left in their first iteration": Said(
        _loop(f"{CLEAR}for x in range(3):\n{indent(LOSS + BACKWARD + STEP, '    ')}    if not never:\n        break\n"),
        "LG102",
        Verdict.NOT_JUDGED,
    ),
    "steps of another optimizer on the same row": Said(
        _loop(f"{CLEAR}{LOSS}{BACKWARD}loss_of(other).backward()\noptimizer.step(); never and second.step()\n"),
        "LG101",
        Verdict.NOT_JUDGED,
    ),
    "a clear by hand that no text shows": Said(
        _loop(
            LOSS + BACKWARD + STEP,
            _hidden("model", "[setattr(p, 'gr' + 'ad', None) for p in model.parameters()]\n"),
        ),
        "LG101",
        Verdict.NOT_JUDGED,
    ),
    "a helper whose other call never runs": Said(
        _loop(
            f"{CLEAR}back(loss_of(model))\nif never:\n    back(loss_of(model).detach())\n{STEP}",
            "def back(value):\n    value.backward()\n\n\n",
        ),
        "LG303",
        Verdict.NOT_JUDGED,
    ),
    "a path that is not taken": Said(
        _loop(f"if not never:\n    optimizer.zero_grad()\n{LOSS}{BACKWARD}{STEP}"), "LG105", Verdict.NOT_JUDGED
    ),
    "what only the text can tell": Said(
        _loop(
            "loss = nn.functional.mse_loss(model(torch.randn(4, 3)), torch.zeros(4, 1))\nloss.backward()\n"
            "if (i + 1) % 4 == 0:\n    optimizer.step()\n    optimizer.zero_grad()\n"
        ),
        "LG402",
        Verdict.NOT_JUDGED,
    ),
    # It was not there.
    "a helper that gets another optimizer": Said(
        _loop(
            f"{CLEAR}{LOSS}{BACKWARD}apply(optimizer)\nloss_of(other).backward()\nif never:\n    apply(second)\n", APPLY
        ),
        "LG101",
        Verdict.NOT_REACHED,
    ),
    "another rank": Said(
        _loop(
            f"{LOSS}{BACKWARD}if rank == 1:\n    optimizer.step()\n",
            "import os\n\nrank = int(os.environ.get('RANK', 0))\n",
        ),
        "LG101",
        Verdict.NOT_REACHED,
    ),
    "a loop over nothing": Said(
        _loop(LOSS + BACKWARD + STEP, header="for i in range(16 * never)"), "LG101", Verdict.NOT_REACHED
    ),
}
"""By what is special about them."""
