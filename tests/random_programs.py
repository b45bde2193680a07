"""Random training programs, as hypothesis strategies: every statement that the engine gives a meaning to, in any order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from textwrap import indent

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st


def fuzz(examples: int) -> settings:
    """The same examples in every run, as many as given, however long they take."""
    return settings(
        derandomize=True,
        deadline=None,
        database=None,
        max_examples=examples,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
    )


SETUP = """\
import torch
from torch import nn
from contextlib import ExitStack, contextmanager
model = nn.Linear(2, 1)
other = nn.Linear(2, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
second = torch.optim.Adam(other.parameters())
scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1)
scaler = torch.amp.GradScaler()
losses, total, k = [], 0, 4
loss = model(x).sum()
"""

BATCH = "for x in loader:\n    loss = model(x).sum()\n"
UPDATE = "def update(loss):\n    loss.backward()\n    optimizer.step()\n"

EVENTS = (
    "optimizer.zero_grad()",
    "optimizer.step()",
    "loss.backward()",
    "loss = model(x).sum()",
)
"""The statements of a plain loop."""

SIMPLE = (
    *EVENTS,
    "model.zero_grad()",
    "second.zero_grad()",
    "second.step()",
    "loss = other(model(x)).mean() / k",
    "loss = other(model(x).detach()).sum()",
    "(loss + other(x).sum()).backward()",
    "torch.autograd.backward(loss)",
    "scaler.scale(loss).backward()",
    "scaler.unscale_(optimizer)",
    "scaler.step(optimizer)",
    "scaler.update()",
    "nn.utils.clip_grad_norm_(model.parameters(), 1.0)",
    "scheduler.step()",
    "accelerator.backward(loss)",
    "total += loss",
    "total += loss.item()",
    "losses.append(loss)",
    "sum(losses).backward()",
    "loss = loss.detach()",
    "loss, extra = model(x), other(x)",
    "for p in model.parameters(): p.grad = None",
    "[o.zero_grad() for o in (optimizer, second)]",
    "helper(optimizer)",
    "update(loss, optimizer)",
    "update(loss, optimizer, clear=a)",
    "trainer.update(x)",
    "trainer.optimizer.zero_grad()",
    "optimizer.step(closure)",
    "optimizer.step",
    "optimizer = torch.optim.SGD(model.parameters(), lr=0.1)",
    "optimizer, second = second, optimizer",
    "optimizer = trainer.optimizer",
    "clear = optimizer.zero_grad",
    "clear()",
    "(lambda: optimizer.step())()",
    "a and optimizer.step()",
    "optimizer.zero_grad() if a else second.zero_grad()",
    "a = not a",
    "k += 1",
    "del loss",
    "pass",
)
JUMPS = ("break", "continue", "return", "return loss", "raise ValueError", "yield loss", "sys.exit()")

CONDITIONS = (
    "a",
    "not a",
    "b",
    "a and b",
    "a or not b",
    "args.amp",
    "scaler is None",
    "k == 4",
    "k % 4 == 0",
    "(k + 1) % 4 == 0 or last",
    "loss.isnan()",
    "ready()",
    "True",
    "False",
)
LOOPS = (
    "for x in loader",
    "for k, x in enumerate(loader)",
    "for k in range(9)",
    "for k in range(1)",
    "for o in (optimizer, second)",
    "for p in model.parameters()",
    "while True",
    "while a",
    "while k < 9",
    "while ready()",
    "async for x in loader",
)
SCOPES = (
    *("torch.no_grad()", "torch.set_grad_enabled(a)", "scope() as y", "accelerator.accumulate(model)"),
    *("updating(optimizer) as y", "trainer.updating()", "ExitStack() as y", "y.enter_context(updating(second))"),
)
DEFINITIONS = (
    "def closure()",
    "def update(loss, optimizer, clear=True)",
    "def helper(optimizer)",
    "def ready()",
    "async def run(optimizer, loss=loss)",
    "@contextmanager\ndef updating(optimizer)",
    "@updating(optimizer)\ndef ready()",
)


def block(body: Sequence[str]) -> str:
    """Some statements as an indented block."""
    return indent("".join(body) or "pass\n", "    ")


def _flat(inner: st.SearchStrategy[list[str]]) -> st.SearchStrategy[str]:
    """A compound statement that defines nothing."""
    conditions, body = st.sampled_from(CONDITIONS), inner.map(block)
    return st.one_of(
        st.builds("if {}:\n{}".format, conditions, body),
        st.builds("if {}:\n{}else:\n{}".format, conditions, body, body),
        st.builds("if {}:\n{}elif {}:\n{}else:\n{}".format, conditions, body, conditions, body, body),
        st.builds("{}:\n{}".format, st.sampled_from(LOOPS), body),
        st.builds("{}:\n{}else:\n{}".format, st.sampled_from(LOOPS), body, body),
        st.builds("with {}:\n{}".format, st.sampled_from(SCOPES), body),
        st.builds("try:\n{}except RuntimeError as e:\n{}".format, body, body),
        st.builds("try:\n{}finally:\n{}".format, body, body),
        st.builds("match k:\n    case 1 if a:\n{}    case _:\n{}".format, *[body.map(lambda t: indent(t, "    "))] * 2),
    )


def _compound(inner: st.SearchStrategy[list[str]]) -> st.SearchStrategy[str]:
    body = inner.map(block)
    return st.one_of(
        _flat(inner),
        _flat(inner),
        st.builds("{}:\n{}".format, st.sampled_from(DEFINITIONS), body),
        st.builds(
            "class Trainer(nn.Module):\n    def __init__(self):\n        self.optimizer = optimizer\n"
            "    def update(self, x):\n{}trainer = Trainer()\n".format,
            body.map(lambda text: indent(text, "    ")),
        ),
    )


def _statements(
    leaves: Sequence[str], compound: Callable[[st.SearchStrategy[list[str]]], st.SearchStrategy[str]]
) -> st.SearchStrategy[list[str]]:
    return st.recursive(
        st.lists(st.sampled_from(leaves).map("{}\n".format), max_size=6),
        lambda inner: st.lists(
            st.one_of(st.sampled_from((*EVENTS, *SIMPLE)).map("{}\n".format), compound(inner)), min_size=1, max_size=5
        ),
        max_leaves=8,
    )


def _programs(statements: st.SearchStrategy[list[str]]) -> st.SearchStrategy[str]:
    """Whole programs: the statements once, or in a loop."""
    once = statements.map("".join)
    looped = statements.map(lambda body: f"for x in loader:\n{block(['loss = model(x).sum()' + chr(10), *body])}")
    return st.one_of(once, looped, st.builds("{}{}".format, looped, looped)).map(lambda body: SETUP + body)


PROGRAMS = _programs(_statements((*EVENTS * 4, *SIMPLE, *SIMPLE, *JUMPS), _compound))
"""Programs of everything."""

FLAT = _programs(_statements((*EVENTS * 4, *SIMPLE, "break", "continue"), _flat))
"""Programs that define no functions and no classes, and never return."""


def _plain(inner: st.SearchStrategy[list[str]]) -> st.SearchStrategy[str]:
    conditions, body = st.sampled_from(("a", "not a", "b", "a and b", "a or b")), inner.map(block)
    return st.one_of(
        st.builds("if {}:\n{}".format, conditions, body),
        st.builds("if {}:\n{}else:\n{}".format, conditions, body, body),
        st.builds("for x in loader:\n{}".format, body),
        st.builds("for x in loader:\n{}else:\n{}".format, body, body),
        st.builds("try:\n{}finally:\n{}".format, body, body),
        st.builds("with scope():\n{}".format, body),
    )


_LEAVES = st.lists(
    st.sampled_from((*EVENTS, *EVENTS, "update(loss)", "if rarely(): break", "if rarely(): continue")).map(
        "{}\n".format
    ),
    max_size=5,
)
RUNNABLE: st.SearchStrategy[str] = st.recursive(
    _LEAVES,
    lambda inner: st.lists(
        st.one_of(st.sampled_from(EVENTS).map("{}\n".format), _plain(inner)), min_size=1, max_size=4
    ),
    max_leaves=6,
).map(lambda body: BATCH + block(body))
"""Loops of plain events under flags that never change: they can be run with stand-ins. They may call `UPDATE`."""
