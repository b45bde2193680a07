"""A courier between ranks: reads and writes the process group's store, and is never waited for.

The store is a small key-value server that the ranks have for their own meeting. Asking it takes a fraction of a
millisecond as long as its host answers, and for ever when the host is gone. So a daemon thread of its own does the
asking, over a connection of its own where the store can be cloned, and whoever has a question has little patience.
"""

from __future__ import annotations

from collections.abc import Callable
from queue import SimpleQueue
from threading import Event, Thread
from typing import TYPE_CHECKING, TypeVar

import torch.distributed as dist

if TYPE_CHECKING:
    from torch._C._distributed_c10d import Store  # a torch that was built without has none

_Answer = TypeVar("_Answer")

_PREFIX = "loopguard"


class Courier:
    """Does errands at a store, one after the other."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._errands: SimpleQueue[Callable[[Store], None]] = SimpleQueue()
        self._thread: Thread | None = None
        self._last = Event()
        self._last.set()
        self.lost = False

    def ask(self, errand: Callable[[Store], _Answer], patience: float) -> _Answer | None:
        """What `errand` brings home from the store; None if it fails, or takes more than `patience` seconds.

        It is run all the same. While an errand is late, those that are behind it are not waited for.
        """
        if self.lost:
            return None
        if self._thread is None:
            self._thread = Thread(target=self._run, name="loopguard-courier", daemon=True)
            self._thread.start()
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

    def _run(self) -> None:
        try:
            # A client that waits for a key holds its connection's lock: ours must not be the training's.
            own = self._store.clone() if hasattr(self._store, "clone") else self._store
            store = dist.distributed_c10d.PrefixStore(_PREFIX, own)
            while True:
                self._errands.get()(store)
        except (RuntimeError, ValueError, OSError):
            self.lost = True  # the store is gone: with its host, or with the process group
