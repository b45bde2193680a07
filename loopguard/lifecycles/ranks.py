"""Ranks: the processes of one training that hold the same parameters and are to keep them the same.

Data parallelism broadcasts the parameters once and then only averages gradients. Replicas stay equal, bit for bit,
because every rank makes the same steps with the same gradients; nothing ever compares them:
https://docs.pytorch.org/docs/stable/notes/ddp.html
"""

from __future__ import annotations

from enum import Enum


class Mistake(Enum):
    """How ranks part."""

    STEPS_DIFFER = "ranks have stepped a different number of times"
    PARAMETERS_DIFFER = "ranks hold different values in parameters that should be equal"
