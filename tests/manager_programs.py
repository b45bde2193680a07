"""Training programs whose clears, backward passes and steps stand in context managers; each runs, and is right or wrong."""

from __future__ import annotations

import re
from collections.abc import Mapping
from textwrap import indent

from random_programs import UPDATE

HEAD = """\
import asyncio
import contextlib
import sys
from contextlib import AbstractContextManager, ContextDecorator, ExitStack, asynccontextmanager, contextmanager, nullcontext

import torch
from torch import nn

flag = "flag" in sys.argv
model, other = nn.Linear(3, 1), nn.Linear(3, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
second = torch.optim.SGD(other.parameters(), lr=0.01)
loader = [torch.randn(4, 3) for _ in range(8)]
"""

BACKWARD = "model(x).square().mean().backward()\n"
CLEAR, STEP = "optimizer.zero_grad()\n", "optimizer.step()\n"

_UPDATING = """\
@contextmanager
def updating(optimizer):
    optimizer.zero_grad()
    yield optimizer
    optimizer.step()
"""
_STEPPING = """\
@contextmanager
def stepping(optimizer):
    try:
        yield
    finally:
        optimizer.step()
"""
_CLEARING = """\
@contextmanager
def clearing(optimizer):
    yield
    optimizer.zero_grad()
"""
_CLASS_UPDATING = """\
class Updating(ContextDecorator):
    def __init__(self, optimizer):
        self.optimizer = optimizer

    def __enter__(self):
        self.optimizer.zero_grad()
        return self.optimizer

    def __exit__(self, kind, error, trace):
        if kind is None:
            self.optimizer.step()
"""
_CLASS_STEPPING = """\
class Stepping(AbstractContextManager, ContextDecorator):
    def __init__(self, optimizer):
        self.optimizer = optimizer

    def __exit__(self, *error):
        self.optimizer.step()
"""


def program_of(text: str) -> str:
    """A whole program, with the managers that it uses: of a step that does not run, nobody knows when it would."""
    managers = (_UPDATING, _STEPPING, _CLEARING, _CLASS_UPDATING, _CLASS_STEPPING)
    used = [item for item in managers if re.search(rf"\b{item.split('(')[0].split()[-1]}\b", text)]
    return "\n\n".join([HEAD, *used, text])


def _loop(body: str, before: str = "") -> str:
    return f"{before}for epoch in range(2):\n    for i, x in enumerate(loader):\n{indent(body, '        ')}"


def _within(managers: str, body: str = BACKWARD, *, before: str = "", behind: str = "", define: str = "") -> str:
    """A loop over batches with a block in it."""
    return _loop(f"{before}with {managers}:\n{indent(body, '    ')}{behind}", define)


def _manager(body: str, arguments: str = "o", *, decorator: str = "@contextmanager") -> str:
    return f"{decorator}\ndef managed({arguments}):\n{indent(body, '    ')}\n\n"


RIGHT: Mapping[str, str] = {
    "a generator": _within("updating(optimizer)"),
    "a generator, cleared once more": _within("updating(optimizer)", before=CLEAR),
    "a generator, cleared behind the block": _within("updating(optimizer)", behind=CLEAR),
    "its value": _within("updating(optimizer) as o", f"{BACKWARD}o.step()\no.zero_grad()\n{BACKWARD}"),
    "`finally`": _within("stepping(optimizer)", before=CLEAR),
    "`else` of a `try`": _within(
        "managed(optimizer)",
        before=CLEAR,
        define=_manager("try:\n    yield\nexcept ValueError:\n    raise\nelse:\n    o.step()\n"),
    ),
    "an exception that goes no further": _within(
        "managed(optimizer)",
        f"if i == 3:\n    raise ValueError\n{BACKWARD}",
        before=CLEAR,
        define=_manager("try:\n    yield\n    o.step()\nexcept ValueError:\n    o.zero_grad()\n"),
    ),
    "several managers": _within("clearing(optimizer), stepping(optimizer)"),
    "managers one in the other": _within(
        "clearing(optimizer)", f"with stepping(optimizer):\n{indent(BACKWARD, '    ')}"
    ),
    "a manager in a manager": _within(
        "managed(optimizer)", define=_manager("with clearing(o):\n    yield\n    o.step()\n")
    ),
    "a manager that calls itself": _within(
        "managed(optimizer)",
        before=CLEAR,
        define=_manager(
            "if n:\n    with managed(o, n - 1):\n        yield\nelse:\n    o.zero_grad()\n    yield\n    o.step()\n",
            "o, n=1",
        ),
    ),
    "two optimizers": _within(
        "updating(optimizer), updating(second)", "(model(x) + other(x)).square().mean().backward()\n"
    ),
    "a `yield` in each branch": _within(
        "managed(optimizer, flag)",
        define=_manager(
            "if f:\n    o.zero_grad()\n    yield\n    o.step()\nelse:\n    yield\n    o.step()\n    o.zero_grad()\n",
            "o, f",
        ),
    ),
    "a `yield` before an early return": _within(
        "managed(optimizer, flag)",
        behind=f"if flag:\n    {STEP}{CLEAR}",
        define=_manager("if f:\n    yield\n    return\no.zero_grad()\nyield\no.step()\n", "o, f"),
    ),
    "an early return before the `yield`": _within(
        "managed(optimizer)",
        behind=CLEAR,
        define=_manager("if o is None:\n    return\no.zero_grad()\nyield\no.step()\n"),
    ),
    "a return behind the `yield`, through `finally`": _within(
        "managed(optimizer, flag)",
        define=_manager(
            "try:\n    yield\n    if f:\n        return\nfinally:\n    o.step()\n    o.zero_grad()\n", "o, f"
        ),
    ),
    "a `yield` in a loop": _within(
        "managed(optimizer)",
        before=CLEAR,
        define=_manager("for _ in range(1):\n    o.zero_grad()\n    yield\n    o.step()\n"),
    ),
    "a `yield` on a line with others": _within(
        "managed(optimizer)", before=CLEAR, define=_manager("o.zero_grad(); yield; o.step()\n")
    ),
    "a `yield` whose value is kept": _within(
        "managed(optimizer)", before=CLEAR, define=_manager("o.zero_grad()\ngot = yield\no.step()\n")
    ),
    "`yield from`": _within(
        "managed(optimizer)",
        before=CLEAR,
        define=f"def inner(o):\n    yield\n    o.step()\n\n\n{_manager('yield from inner(o)')}",
    ),
    "`continue`": _within("updating(optimizer)", f"{BACKWARD}if i == 3:\n    continue\n", before=CLEAR),
    "nothing but `continue`": _within("clearing(optimizer)", f"{BACKWARD}{STEP}continue\n"),
    "`break`": _within("updating(optimizer)", f"{BACKWARD}if i == 3:\n    break\n", define=CLEAR),
    "`return`": _loop(
        f"go(x)\n{CLEAR}", f"def go(x):\n    with updating(optimizer):\n        {BACKWARD}        return x\n\n\n"
    ),
    "a window": _within(
        "managed(optimizer, i)",
        "(model(x).square().mean() / 2).backward()\n",
        define=_manager("if i % 2 == 0:\n    o.zero_grad()\nyield\nif i % 2 == 1:\n    o.step()\n", "o, i"),
    ),
    "the backward pass at the end": _within(
        "managed(optimizer) as losses",
        "losses.append(model(x).square().mean())\n",
        define=_manager("losses = []\nyield losses\nsum(losses).backward()\no.step()\no.zero_grad()\n"),
    ),
    "a method": _loop(
        f"with t.updating():\n    {BACKWARD}",
        "class T:\n    def __init__(self, o):\n        self.o = o\n\n    @contextmanager\n    def updating(self):\n"
        "        self.o.zero_grad()\n        yield\n        self.o.step()\n\n\nt = T(optimizer)\n",
    ),
    "a static method": _within(
        "T.managed(optimizer)",
        before=CLEAR,
        define=f"class T:\n    @staticmethod\n{indent(_manager('yield' + chr(10) + 'o.step()' + chr(10)), '    ')}",
    ),
    "a function within another": "def train():\n    @contextmanager\n    def managed():\n        optimizer.zero_grad()\n"
    "        yield\n        optimizer.step()\n\n    for x in loader:\n"
    f"        with managed():\n            {BACKWARD}        optimizer.zero_grad()\n\n\ntrain()\n",
    "a decorator of another name": _within(
        "managed(optimizer)",
        before=CLEAR,
        define="making = contextlib.contextmanager\n\n\n" + _manager("yield\no.step()\n", decorator="@making"),
    ),
    "a decorator that is called": _within(
        "made(optimizer)",
        before=CLEAR,
        define="def plain(o):\n    yield\n    o.step()\n\n\nmade = contextmanager(plain)\n",
    ),
    "a decorator of one's own": _within(
        "managed(optimizer)",
        before=CLEAR,
        define="def making(f):\n    return contextmanager(f)\n\n\n"
        + _manager("yield\no.step()\n", decorator="@making"),
    ),
    "around each call of a function": _loop(f"{CLEAR}go(x)\n", f"@updating(optimizer)\ndef go(x):\n    {BACKWARD}\n\n"),
    "an object around each call": _loop(f"{CLEAR}go(x)\n", f"@Updating(optimizer)\ndef go(x):\n    {BACKWARD}\n\n"),
    "an object": _within("Updating(optimizer)"),
    "an object, cleared before": _within("Stepping(optimizer)", before=CLEAR),
    "an object that is made once": _within("u", before=CLEAR, define="u = Updating(optimizer)\n"),
    "an object that swallows what is raised": _within(
        "Swallowing(optimizer)",
        f"if i == 3:\n    raise ValueError\n{BACKWARD}",
        before=CLEAR,
        define="class Swallowing(Updating):\n    def __exit__(self, *error):\n        super().__exit__(*error)\n"
        "        return True\n\n\n",
    ),
    "an object that is entered and left by hand": _loop(
        f"u = Updating(optimizer)\nu.__enter__()\n{BACKWARD}u.__exit__(None, None, None)\n{CLEAR}"
    ),
    "a generator that is entered and left by hand": _loop(
        f"{CLEAR}m = updating(optimizer)\nm.__enter__()\n{BACKWARD}m.__exit__(None, None, None)\n"
    ),
    "an object of a base that cannot be read": _within(
        "Profiling(optimizer)",
        before=CLEAR,
        define="class Profiling(torch.autograd.profiler.record_function):\n    def __init__(self, o):\n"
        "        super().__init__('update')\n        self.o = o\n\n    def __exit__(self, *error):\n"
        "        self.o.step()\n        return super().__exit__(*error)\n\n\n",
    ),
    "a manager under a name": _within("m", before=f"{CLEAR}m = updating(optimizer)\n"),
    "a manager or none": _within(
        "updating(optimizer) if flag else nullcontext()", before=CLEAR, behind=f"if not flag:\n    {STEP}"
    ),
    "a manager or none under a name": _within(
        "m",
        before=f"{CLEAR}if flag:\n    m = updating(optimizer)\nelse:\n    m = nullcontext()\n",
        behind=f"if not flag:\n    {STEP}",
    ),
    "a manager that is handed on": _loop(
        f"{CLEAR}go(x, updating(optimizer))\n", f"def go(x, manager):\n    with manager:\n        {BACKWARD}\n\n"
    ),
    "what makes it is handed on": _loop(
        f"{CLEAR}go(x, updating)\n", f"def go(x, make):\n    with make(optimizer):\n        {BACKWARD}\n\n"
    ),
    "a stack": _within("ExitStack() as stack", f"stack.enter_context(updating(optimizer))\n{BACKWARD}", behind=CLEAR),
    "a stack that is filled on some paths": _within(
        "ExitStack() as stack",
        f"if flag:\n    stack.enter_context(updating(optimizer))\n{BACKWARD}",
        before=CLEAR,
        behind=f"if not flag:\n    {STEP}",
    ),
    "a stack that is filled in a loop": _within(
        "ExitStack() as stack",
        f"for m in [updating(optimizer)]:\n    stack.enter_context(m)\n{BACKWARD}",
        before=CLEAR,
    ),
    "a stack that is left before it is filled": _within(
        "ExitStack() as stack",
        f"if i == 3:\n    continue\nstack.enter_context(updating(optimizer))\n{BACKWARD}",
        before=CLEAR,
    ),
    "a stack that calls": _within("ExitStack() as stack", f"{CLEAR}stack.callback(optimizer.step)\n{BACKWARD}"),
    "a stack that calls a function": _within(
        "ExitStack() as stack",
        f"{CLEAR}stack.callback(finish, optimizer)\n{BACKWARD}",
        define="def finish(o):\n    o.step()\n\n\n",
    ),
    "a stack that is closed by hand": _loop(
        f"{CLEAR}stack = ExitStack()\nstack.enter_context(updating(optimizer))\n{BACKWARD}stack.close()\n"
    ),
    "a coroutine": "@asynccontextmanager\nasync def managed(o):\n    yield\n    o.step()\n\n\nasync def train():\n"
    f"    for x in loader:\n        optimizer.zero_grad()\n        async with managed(optimizer):\n            {BACKWARD}"
    "\n\nasyncio.run(train())\n",
    "a generator that is walked over": "def batches(o):\n    for x in loader:\n        o.zero_grad()\n        yield x\n"
    f"        o.step()\n\n\nfor x in batches(optimizer):\n    {BACKWARD}",
    "no gradients meanwhile": _loop(
        f"{CLEAR}{BACKWARD}{STEP}with managed(model):\n    model(x)\n",
        _manager("m.eval()\nwith torch.no_grad():\n    yield\nm.train()\n", "m"),
    ),
}
"""Right programs, by what is special about them."""

WRONG: Mapping[str, tuple[str, str]] = {
    "a generator": ("LG101", _within("stepping(optimizer)")),
    "an object": ("LG101", _within("Stepping(optimizer)")),
    "a manager in a manager": (
        "LG101",
        _within("managed(o=optimizer)", define=_manager("with stepping(o):\n    yield\n")),
    ),
    "around each call": ("LG101", _loop("go(x)\n", f"@stepping(optimizer)\ndef go(x):\n    {BACKWARD}\n\n")),
    "an object around each call": (
        "LG101",
        _loop("go(x)\n", f"@Stepping(optimizer)\ndef go(x):\n    {BACKWARD}\n\n"),
    ),
    "a stack": ("LG101", _within("ExitStack() as s", f"s.enter_context(stepping(optimizer))\n{BACKWARD}")),
    "`continue`": ("LG101", _within("stepping(optimizer)", f"{BACKWARD}continue\n")),
    "a `yield` before an early return": (
        "LG101",
        _within(
            "managed(optimizer)", define=_manager("if not on:\n    yield\n    return\nyield\no.step()\n", "o, on=True")
        ),
    ),
    "a coroutine": (
        "LG101",
        "@asynccontextmanager\nasync def managed(o):\n    yield\n    o.step()\n\n\nasync def train():\n"
        f"    for x in loader:\n        async with managed(optimizer):\n            {BACKWARD}\n\nasyncio.run(train())\n",
    ),
    "cleared around the loop": (
        "LG102",
        "for epoch in range(2):\n    with updating(optimizer):\n        for x in loader:\n"
        f"            {BACKWARD}            optimizer.step()\n        optimizer.zero_grad()\n        {BACKWARD}",
    ),
    "cleared before the block": (
        "LG102",
        "for epoch in range(2):\n    optimizer.zero_grad()\n    for x in loader:\n        with stepping(optimizer):\n"
        f"            {BACKWARD}",
    ),
    "cleared at the end, before the step": ("LG103", _within("clearing(optimizer)", behind=STEP)),
    "left in the wrong order": ("LG103", _within("stepping(optimizer), clearing(optimizer)")),
    "no step": ("LG201", _within("clearing(optimizer)")),
    "the step at the beginning": (
        "LG202",
        _within("managed(optimizer)", define=_manager("o.zero_grad()\no.step()\nyield\n")),
    ),
    "a step in the block": ("LG204", _within("updating(optimizer)", BACKWARD + STEP)),
    "no backward pass": ("LG301", _within("updating(optimizer)", "model(x).square().mean()\n")),
    "no backward pass in the block of an object": ("LG301", _within("Updating(optimizer)", "model(x)\n")),
    "a clear for each batch of a window": (
        "LG401",
        _within(
            "managed(optimizer, i)",
            "(model(x).square().mean() / 2).backward()\n",
            define=_manager("o.zero_grad()\nyield\nif (i + 1) % 2 == 0:\n    o.step()\n", "o, i"),
        ),
    ),
}
"""Programs with one mistake, by what is special about them, each with the rule that tells of it."""

MANAGERS = f"""\
from contextlib import contextmanager

{UPDATE}
@contextmanager
def updating():
    optimizer.zero_grad()
    yield
    optimizer.step()

@contextmanager
def stepping(clears):
    if clears:
        with Clearing():
            yield
        return
    try:
        yield
    finally:
        optimizer.step()

class Clearing:
    def __enter__(self):
        return self
    def __exit__(self, *error):
        optimizer.zero_grad()

"""

MEANT = {
    "updating()": ("optimizer.zero_grad()", "optimizer.step()"),
    "stepping(False)": ("", "optimizer.step()"),
    "stepping(True)": ("", "optimizer.zero_grad()"),
    "Clearing()": ("", "optimizer.zero_grad()"),
}
"""What stands at the beginning of a block, and in its `finally`, with the same effect."""
