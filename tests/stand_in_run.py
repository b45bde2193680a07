"""Runs a program of plain events with stand-ins: no tensors, only the state of one optimizer's gradients."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext, suppress
from itertools import product

from loopguard.lifecycles.gradient import TRANSITIONS, Action, Mistake, State

BATCHES = 5
SEEDS = 4
MOST = 2_000
"""Events after which a run is long enough."""


class Enough(Exception):
    """The run has shown what it can show."""


class World:
    """One optimizer, one model, the rows at which something happens to them, and the mistakes, by row."""

    def __init__(self) -> None:
        self.state = State.CLEAN
        self.mistakes: set[tuple[int, Mistake]] = set()
        self.rows: list[int] = []

    def __call__(self, *_: object) -> World:
        return self

    def sum(self) -> World:
        """A loss."""
        return self

    def backward(self) -> None:
        """Gradients are deposited."""
        self._act(Action.BACKWARD)

    def step(self) -> None:
        """Gradients are used."""
        self._act(Action.STEP)

    def zero_grad(self) -> None:
        """Gradients are cleared."""
        self._act(Action.CLEAR)

    def _act(self, action: Action) -> None:
        self.state, mistake = TRANSITIONS[self.state, action]
        self.rows.append(sys._getframe(2).f_lineno)
        if mistake is not None:
            self.mistakes.add((self.rows[-1], mistake))
        if len(self.rows) > MOST:
            raise Enough


def scope() -> AbstractContextManager[None]:
    """A context manager that does nothing."""
    return nullcontext()


def runs(program: str, flags: tuple[str, ...] = ("a", "b")) -> Iterator[World]:
    """What each run of a program leaves behind, for every value of its flags.

    `rarely()` comes out true now and then, at other times in each run.
    """
    code = compile(program, "train.py", "exec")
    for seed, *values in product(range(SEEDS), *[(True, False)] * len(flags)):
        world = World()
        chance = random.Random(seed)
        names = {
            "model": world,
            "optimizer": world,
            "loader": range(BATCHES),
            "scope": scope,
            "rarely": lambda chance=chance: chance.random() < 0.2,
        }
        with suppress(Enough):
            exec(code, {**names, **dict(zip(flags, values, strict=True))})
        yield world
