"""What was found out about nodes of syntax trees, remembered until somebody is done with the trees.

A cache whose keys are nodes keeps them alive, and through a body that is not parsed yet, whole texts.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import lru_cache
from typing import TypeVar

_Node = TypeVar("_Node", bound=Hashable)
_Found = TypeVar("_Found")

_SIZE = 1 << 15
_clear: list[Callable[[], None]] = []


def remembered(function: Callable[[_Node], _Found]) -> Callable[[_Node], _Found]:
    """Have a function of a node remember what it has returned."""
    cached = lru_cache(maxsize=_SIZE)(function)
    _clear.append(cached.cache_clear)
    return cached


def forget() -> None:
    """Let go of all nodes."""
    for clear in _clear:
        clear()
