"""The life of a loss: attached to a graph by the forward pass, used by backward, then dropped with its graph.

https://docs.pytorch.org/docs/stable/notes/faq.html#my-model-reports-cuda-runtime-error-2-out-of-memory
"""

from __future__ import annotations

from enum import Enum


class Mistake(Enum):
    """What goes wrong between a loss and its graph."""

    NO_GRAPH = "backward of a value without a graph"
    RETAINED = "a graph kept alive after its iteration"
    LAST_ONLY = "backward after the loop sees the last loss only"
