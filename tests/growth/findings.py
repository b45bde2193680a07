"""Much to tell, in one place or in many."""

from __future__ import annotations

from growth.pieces import FAULTY, HEAD, indented, many

SHAPES = {
    "bare methods in a loop": lambda size: (
        f"{HEAD}for x in loader:\n" + "    optimizer.zero_grad()\n    loss.backward()\n    optimizer.step\n" * size
    ),
    "steps repeated in a loop": lambda size: (
        f"{HEAD}for x in loader:\n    optimizer.zero_grad()\n    loss.backward()\n" + "    optimizer.step()\n" * size
    ),
    "steps on one line": lambda size: (
        f"{HEAD}for x in loader:\n    optimizer.zero_grad(); loss.backward(); " + "optimizer.step(); " * size + "\n"
    ),
    "findings, each below much": lambda size: (
        f"{HEAD}for x in loader:\n    optimizer.zero_grad()\n    loss.backward()\n"
        + "    # nothing\n" * size
        + "    optimizer.step\n" * size
    ),
    "findings in functions below much": lambda size: (
        HEAD + "x = 1\n" * size + many("def f{}():\n" + indented(FAULTY), size)
    ),
    "steps with long arguments": lambda size: (
        f"{HEAD}for x in loader:\n    loss.backward({'a, ' * size})\n    optimizer.step({'a, ' * size})\n"
    ),
    "a step of many lines": lambda size: (
        f"{HEAD}for x in loader:\n    loss.backward()\n    optimizer.step(\n" + "\n" * size + "    )\n"
    ),
    "a finding far from its loop": lambda size: (
        f"{HEAD}for x in loader:\n    loss.backward()\n" + "    a = 1\n" * size + "    optimizer.step()\n"
    ),
    "findings with conditions around them": lambda size: (
        f"{HEAD}for x in loader:\n" + many("    if a{}:\n        loss.backward()\n        optimizer.step()\n", size)
    ),
    "findings behind continues": lambda size: (
        f"{HEAD}for x in loader:\n" + many("    if a{}: continue\n    loss.backward()\n    optimizer.step()\n", size)
    ),
    "findings in calls": lambda size: (
        f"{HEAD}def g():\n    loss.backward()\n    optimizer.step()\n" + many("for x{} in loader: g()\n", size)
    ),
    "a finding with many marks on one line": lambda size: (
        f"{HEAD}for x in loader:\n    {'loss.backward(); ' * size}\n    optimizer.step()\n"
    ),
    "a finding with marks on many lines": lambda size: (
        f"{HEAD}for x in loader:\n" + "    loss.backward()\n" * size + "    optimizer.step()\n"
    ),
}
