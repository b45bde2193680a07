"""Runs a program of plain events with stand-ins: no tensors, only the state of one optimizer's gradients."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from itertools import product

from loopguard.lifecycles.gradient import TRANSITIONS, Action, Mistake, State

BATCHES = 3
MOST = 2_000
"""Events after which a run is long enough."""


class Enough(Exception):
    """The run has shown what it can show."""


class World:
    """One optimizer, one model, and the mistakes that are made with them, by row."""

    def __init__(self) -> None:
        self.state = State.CLEAN
        self.mistakes: set[tuple[int, Mistake]] = set()
        self.events = 0

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
        if mistake is not None:
            self.mistakes.add((sys._getframe(2).f_lineno, mistake))
        self.events += 1
        if self.events > MOST:
            raise Enough


def scope() -> AbstractContextManager[None]:
    """A context manager that does nothing."""
    return nullcontext()


def mistakes_of(program: str, flags: tuple[str, ...] = ("a", "b")) -> Iterator[set[tuple[int, Mistake]]]:
    """The mistakes that each run of a program makes, by row, for every value of its flags."""
    code = compile(program, "train.py", "exec")
    for values in product((True, False), repeat=len(flags)):
        world = World()
        names = {"model": world, "optimizer": world, "loader": range(BATCHES), "scope": scope}
        try:
            exec(code, {**names, **dict(zip(flags, values, strict=True))})
        except Enough:
            pass
        yield world.mistakes
