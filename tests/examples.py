"""What the examples of the rules stand on: a preamble, the marks in their lines, and stand-ins.

An example is a fragment of a training script. `PREAMBLE + example` is a whole program: small enough to
run on a CPU in milliseconds, and real enough to be judged as a user's file would be.
"""

from __future__ import annotations

import re

PREAMBLE = """\
import torch
import torch.nn as nn
import torch.nn.functional as F

device = "cpu"
num_epochs = 2
accumulation_steps = 2
max_norm = 1.0

model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3)).to(device)
criterion = nn.CrossEntropyLoss()
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
scaler = torch.amp.GradScaler(device)
loader = [(torch.randn(6, 4), torch.randint(3, (6,))) for _ in range(5)]

generator, discriminator = nn.Linear(4, 4), nn.Linear(4, 1)
opt_g = torch.optim.Adam(generator.parameters(), lr=1e-3)
opt_d = torch.optim.Adam(discriminator.parameters(), lr=1e-3)

"""
"""The names that every example may use. It does nothing wrong, and nothing that any rule could judge."""

PREAMBLE_LINES = PREAMBLE.count("\n")

_MARK = re.compile(r"#\s*expect:\s*(LG\d{3}(?:\s*,\s*LG\d{3})*)")
_IN_A_RUN = re.compile(r"#\s*expect:.*, in a run$", re.MULTILINE)


def program(example: str) -> str:
    """Return the whole program of an example."""
    return PREAMBLE + example


def marks(text: str) -> list[tuple[int, str]]:
    """Return the marks of a whole program, sorted: (row, code) for each."""
    found = []
    for row, line in enumerate(text.splitlines(), 1):
        if mark := _MARK.search(line):
            found += [(row, code.strip()) for code in mark.group(1).split(",")]
    return sorted(found)


def expected(example: str) -> list[tuple[int, str]]:
    """Return the marks of an example, sorted: (row within the whole program, code) for each."""
    return marks(program(example))


def in_the_text(example: str) -> list[tuple[int, str]]:
    """Return the marks of an example without those `in a run`, of which nothing can be known from the text."""
    return marks(_IN_A_RUN.sub("", program(example)))
