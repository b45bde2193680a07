"""Optimization that a framework runs by itself: backward pass, step and clear are its own, unless it is told otherwise.

https://lightning.ai/docs/pytorch/stable/common/optimization.html
"""

from __future__ import annotations

from enum import Enum


class Mistake(Enum):
    """How code gets into the way of a framework that optimizes by itself."""

    BY_HAND = "a backward pass or a step by hand where the framework makes it by itself"
