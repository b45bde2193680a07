"""A courier between ranks: reads and writes the process group's store, and is never waited for.

The store is a small key-value server that the ranks have for their own meeting. Asking it takes a fraction of a
millisecond as long as its host answers, and for ever when the host is gone. So a daemon thread of its own does the
asking, over a connection of its own, and whoever has a question has little patience.

The store itself is not kept: its server must be gone when the process group is, for the next one to take its port.
"""

from __future__ import annotations

from collections.abc import Callable
from queue import SimpleQueue
from threading import Event, Thread
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import finalize

import torch.distributed as dist

if TYPE_CHECKING:
    from torch._C._distributed_c10d import Store  # a torch that was built without has none

_Answer = TypeVar("_Answer")

_PREFIX = "loopguard"


class Courier:
    """Does errands at a store that can be cloned, one after the other."""

    def __init__(self, store: Store) -> None:
        self._errands: SimpleQueue[Callable[[Store], None] | None] = SimpleQueue()
        self._lost = Event()
        self._last = Event()
        self._last.set()
        finalize(self, self._errands.put, None)
        arguments = ([store], self._errands, self._lost)
        Thread(target=_serve, args=arguments, name="loopguard-courier", daemon=True).start()

    @property
    def lost(self) -> bool:
        """Whether the store has failed to do an errand. There will be no other."""
        return self._lost.is_set()

    def ask(self, errand: Callable[[Store], _Answer], patience: float) -> _Answer | None:
        """What `errand` brings home from the store; None if it fails, or takes more than `patience` seconds.

        It is run all the same. While an errand is late, those that are behind it are not waited for.
        """
        if self.lost:
            return None
        answers: list[_Answer] = []
        back = Event()

        def go(store: Store) -> None:
            try:
                answers.append(errand(store))
            finally:
                back.set()

        self._errands.put(go)
        is_behind = not self._last.is_set()
        self._last = back
        back.wait(0 if is_behind else patience)
        return answers[0] if answers else None


def _serve(given: list[Any], errands: SimpleQueue[Callable[[Store], None] | None], lost: Event) -> None:
    """Do errands, until there is None to do or the store is gone: with its host, or with the process group."""
    try:
        # A client that waits for a key holds the lock of its connection: ours must not be the training's.
        store = dist.distributed_c10d.PrefixStore(_PREFIX, given.pop().clone())
        while (errand := errands.get()) is not None:
            errand(store)
    except (RuntimeError, ValueError, OSError):
        lost.set()
