"""Which parameters an optimizer covers, and which of them a backward pass ever reaches.

https://docs.pytorch.org/docs/stable/optim.html#constructing-it: an optimizer holds the parameter objects that
it was given. It knows nothing of those that are made, swapped or sharded later.
"""

from __future__ import annotations

from enum import Enum


class Mistake(Enum):
    """How parameters, gradients and optimizers miss each other."""

    UNFED = "an optimizer whose parameters never receive a gradient"
    UNCOVERED = "parameters that receive gradients and that no optimizer holds"
    UNMOVED = "an optimizer whose steps leave parameters with gradients as they are"
    FROZEN = "an optimizer built over parameters that are frozen"
