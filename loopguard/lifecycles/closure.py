"""The closure that some optimizers evaluate again and again inside `step`: clear, forward, backward, return.

https://docs.pytorch.org/docs/stable/optim.html#optimizer-step-closure
"""

from __future__ import annotations

import re
from enum import Enum

USES_GRADIENTS = re.compile(r"\.grad\b|\bgrad\(|autograd")
"""What a closure's text shows that computes, reads or sets gradients by other means than `backward`."""


class Mistake(Enum):
    """What a closure lacks."""

    ABSENT = "an optimizer that needs a closure gets none"
    NO_CLEAR = "the closure does not clear the gradients"
    NO_BACKWARD = "the closure does not call backward"
    NO_RETURN = "the closure does not return the loss"
