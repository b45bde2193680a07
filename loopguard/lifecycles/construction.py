"""The making of an optimizer: once, over the parameters that will be trained, before anything replaces them.

https://docs.pytorch.org/docs/stable/optim.html#constructing-it
"""

from __future__ import annotations

from enum import Enum


class Mistake(Enum):
    """How the making of an optimizer goes wrong."""

    REBUILT = "an optimizer built anew, over and over, for the same parameters"
    REPLACED = "an optimizer that holds parameters which the model has replaced"


STATELESS = frozenset({"SGD"})
"""Optimizers that remember nothing from step to step, unless they are given a momentum."""
