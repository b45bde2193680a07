"""The rank of a process as its launcher has set it, which is known before torch is imported."""

from __future__ import annotations

import os


def launched_rank() -> int:
    """The rank that `torchrun` or the like has given to this process; 0 where it is alone.

    https://docs.pytorch.org/docs/stable/elastic/run.html#environment-variables
    """
    text = os.environ.get("RANK", "0")
    return int(text) if text.isdecimal() else 0
