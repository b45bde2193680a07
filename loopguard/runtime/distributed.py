"""Several ranks: whether they still train the same model, and who of them tells what.

There is no collective here and nothing that could hang. At sparse moments of an optimizer's life each rank posts
the checksums of the parameters that should be equal to the store in which the ranks have met, and reads what others
have posted for the same moment, if they have: who comes later sees it at once, who comes first at the next moment.
Ranks go at their own speed, so what counts is what they hold after the same number of steps.
"""

from __future__ import annotations

import json
import os
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakKeyDictionary, WeakSet

import torch.distributed as dist
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel
from torch.optim.optimizer import Optimizer

from loopguard.lifecycles.ranks import Mistake
from loopguard.runtime.courier import Courier
from loopguard.runtime.gradients import UNREADABLE
from loopguard.runtime.rank import launched_rank
from loopguard.runtime.replicas import Replica, Replicas, checksums, digest, hardware

if TYPE_CHECKING:
    from torch._C._distributed_c10d import Store

_AT_A_STEP = 0.25
"""How many seconds a step may be held up by a store that does not answer, at a moment."""

_AT_THE_END = 2.0
"""How many seconds the end may be held up, while others are still on their way."""

_PEERS = 8
"""With how many others the first rank of a group compares itself; they compare themselves with the first."""

_KEPT = 8
"""For how many moments the others are waited for."""

_guards = count()
"""Numbers the guards of a process. Ranks run the same program, and so have the same guards in the same order."""

_Answer = TypeVar("_Answer")


def is_moment(step: int) -> bool:
    """Whether ranks compare themselves after this step: 2, 3, 4, 5, 8, 9, 16, 17, ... as something may alternate."""
    return step > 1 and (step & (step - 1) == 0 or (step - 1) & (step - 2) == 0)


def rank_of_process() -> int:
    """The rank of this process: as it is, or as the launcher says that it will be. 0 where it is alone."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank()
    return launched_rank()


@dataclass(frozen=True, slots=True)
class Divergence:
    """Ranks that do not train the same model: what differs after `step` steps of an optimizer, in which parameters.

    Where they have stepped a different number of times, `step` is this rank's number of steps.
    """

    mistake: Mistake
    ranks: tuple[int, ...]
    step: int
    parameters: tuple[str, ...] = ()


@dataclass(slots=True)
class _Post:
    """What this rank holds at one moment, and the ranks that have not been heard of."""

    key: str
    step: int
    names: list[str]
    content: dict[str, Any]
    waiting: set[int]


class Ranks:
    """One rank among `size`, which meet in `store`, and of them those that are under the same `guard` of theirs."""

    def __init__(self, store: Store, rank: int, size: int, guard: int) -> None:
        self.rank = rank
        self.size = size
        self.replicas = Replicas()
        self._courier = Courier(store)
        self._guard = guard
        self._goes_with_group = _goes_with_group(store)
        self._pending: WeakKeyDictionary[Optimizer, deque[_Post]] = WeakKeyDictionary()
        self._told: WeakSet[Optimizer] = WeakSet()

    @classmethod
    def of_process(cls) -> Ranks | None:
        """The rank that this process is; None as long as it is alone, or where stores cannot be cloned."""
        if not dist.is_available() or not dist.is_initialized() or dist.get_world_size() < 2:
            return None
        store = dist.distributed_c10d._get_default_store()
        if not hasattr(store, "clone"):
            return None
        return cls(store, dist.get_rank(), dist.get_world_size(), next(_guards))

    def wrapped(self, module: DistributedDataParallel) -> None:
        """A module is trained by several ranks from now on."""
        self.replicas.wrapped(module)

    def after_step(self, optimizer: Optimizer, step: int) -> Divergence | None:
        """Post what an optimizer has made of its parameters, and compare. To be called where `is_moment(step)`."""
        if optimizer in self._told or self._courier.lost:
            return None
        for replica in self.replicas:
            shared = replica.shared(optimizer)
            if shared:
                self._post(optimizer, replica, step, shared)
        return self._compare(optimizer)

    def at_end(self, steps: Iterable[tuple[Optimizer, int]]) -> list[tuple[Optimizer, Divergence]]:
        """Compare what is left, and how often each optimizer has stepped. For a training that has come to its end."""
        totals = [
            (optimizer, total, replica, self._key(replica, optimizer, "end"))
            for optimizer, total in steps
            for replica in self.replicas
            if replica.shared(optimizer)
        ]
        for _, total, _, key in totals:
            self._ask(_write, f"{key}/{self.rank}", str(total))
        found: list[tuple[Optimizer, Divergence]] = []
        deadline = time.monotonic() + _AT_THE_END
        for optimizer, total, replica, key in totals:
            counts = self._await(key, self._peers(replica.ranks), deadline)
            if optimizer in self._told:
                continue
            divergence = self._compare(optimizer)
            differing = sorted(rank for rank, text in counts.items() if int(text) != total)
            if divergence is None and differing and not replica.is_uneven():
                divergence = Divergence(Mistake.STEPS_DIFFER, tuple(sorted([self.rank, *differing])), total)
                self._told.add(optimizer)
            if divergence is not None:
                found.append((optimizer, divergence))
        return found

    def untold(self, found: Collection[str]) -> set[str]:
        """Which of this rank's findings are its own to tell, at the end: all of the first rank's, of others the rest.

        The findings are given as keys that are the same on all ranks.
        """
        list_key, read_key = f"{self._guard}/found", f"{self._guard}/read"
        deadline = time.monotonic() + _AT_THE_END
        if self.rank == 0:
            self._ask(_write, f"{list_key}/0", json.dumps(sorted(found)))
            # With this process its store may go: the others shall have read it before.
            while found and time.monotonic() < deadline and (self._ask(_add, read_key, 0) or 0) < self.size - 1:
                time.sleep(0.01)
            return set(found)
        known = self._await(list_key, {0}, deadline) if found else {}
        self._ask(_add, read_key, 1)
        return set(found) - set(json.loads(known.get(0, "[]")))

    def _post(self, optimizer: Optimizer, replica: Replica, step: int, shared: dict[str, Tensor]) -> None:
        """Tell the others what this rank holds now."""
        names, parameters = list(shared), list(shared.values())
        try:
            sums = checksums(parameters)
        except UNREADABLE:
            return
        content = {"names": digest("\n".join(names)), "hardware": hardware(parameters), "sums": sums}
        key = self._key(replica, optimizer, str(step))
        self._ask(_write, f"{key}/{self.rank}", json.dumps(content))
        posts = self._pending.setdefault(optimizer, deque(maxlen=_KEPT))
        posts.append(_Post(key, step, names, content, self._peers(replica.ranks)))

    def _compare(self, optimizer: Optimizer) -> Divergence | None:
        """The first moment after which this rank and another that has been there are known to differ."""
        for post in list(self._pending.get(optimizer, ())):
            others = self._ask(_read, post.key, frozenset(post.waiting)) or {}
            post.waiting -= others.keys()
            names: dict[str, None] = {}
            ranks = {self.rank}
            for rank, text in others.items():
                content = json.loads(text)
                if all(content[key] == post.content[key] for key in ("names", "hardware")):
                    pairs = zip(post.names, post.content["sums"], content["sums"], strict=True)
                    different = [name for name, ours, theirs in pairs if ours != theirs]
                    names.update(dict.fromkeys(different))
                    ranks.update([rank] if different else ())
            if names:
                self._told.add(optimizer)
                del self._pending[optimizer]
                return Divergence(Mistake.PARAMETERS_DIFFER, tuple(sorted(ranks)), post.step, tuple(names))
            if not post.waiting:
                self._pending[optimizer].remove(post)
        return None

    def _await(self, key: str, ranks: set[int], deadline: float) -> dict[int, str]:
        """What these ranks have posted as `key`, of those who do so before the deadline."""
        while True:
            found = self._ask(_read, key, frozenset(ranks)) or {}
            if len(found) == len(ranks) or self._courier.lost or time.monotonic() > deadline:
                return found
            time.sleep(0.01)

    def _peers(self, ranks: tuple[int, ...]) -> set[int]:
        """The ranks of a group that this one compares itself with. A few, as there may be thousands."""
        first, *rest = ranks
        return set(rest[:_PEERS]) if self.rank == first else {first}

    def _key(self, replica: Replica, optimizer: Optimizer, moment: str) -> str:
        return f"{self._guard}/{replica.key}/{replica.number(optimizer)}/{moment}"

    def _ask(self, errand: Callable[..., _Answer], *args: Any) -> _Answer | None:
        if self._goes_with_group and not dist.is_initialized():
            return None  # whoever asks all the same gets a page of C++ on the user's screen
        return self._courier.ask(partial(errand, *args), _AT_A_STEP)


def _goes_with_group(store: Any) -> bool:
    """Whether the server of a store is in one of the ranks, so that it may be gone once the process group is."""
    while isinstance(store, dist.distributed_c10d.PrefixStore):
        store = store.underlying_store
    return type(store).__name__ == "TCPStore" and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True"


# Errands: they run in the courier's thread, and with the store last.


def _write(key: str, value: str, store: Store) -> None:
    store.set(key, value)


def _add(key: str, number: int, store: Store) -> int:
    return store.add(key, number)


def _read(key: str, ranks: frozenset[int], store: Store) -> dict[int, str]:
    """What those of some ranks have posted that have posted anything."""
    keys = {rank: f"{key}/{rank}" for rank in ranks}
    return {rank: store.get(name).decode() for rank, name in keys.items() if store.check([name])}
