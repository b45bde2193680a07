"""The work of an analysis, counted in steps: one look at a node of a tree, an event, a value, or a fact on a path.

What is done once for each character of a text needs no count. What may be done more often is counted where it is done,
so that whatever grows faster than the text comes to an end, and to the same one on every machine.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager


class ExhaustedError(Exception):
    """An analysis has taken all the steps that it may take."""


class _Steps:
    """The steps that are left to the analysis that is under way."""

    __slots__ = ("left",)

    def __init__(self) -> None:
        self.left = sys.maxsize


STEPS = _Steps()


def spend(steps: int = 1) -> None:
    """Take so many steps. Raises ExhaustedError if they are too many."""
    STEPS.left -= steps
    if STEPS.left < 0:
        raise ExhaustedError


@contextmanager
def allowed(steps: int) -> Iterator[None]:
    """Let what follows take so many steps."""
    before, STEPS.left = STEPS.left, steps
    try:
        yield
    finally:
        STEPS.left = before
