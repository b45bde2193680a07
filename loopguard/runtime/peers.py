"""The peers of this process: what the other ranks are asked, and which findings are this one's to tell."""

from __future__ import annotations

from collections.abc import Iterable
from threading import RLock
from typing import Any

from torch.nn.parallel import DistributedDataParallel
from torch.optim.optimizer import Optimizer

from loopguard.runtime.distributed import Divergence, Ranks, is_moment
from loopguard.runtime.docket import Findings, key_of
from loopguard.runtime.ledger import Account


class Peers:
    """The ranks of the process group that this process is in, for as long as it is in one, whichever thread asks."""

    def __init__(self) -> None:
        self._ranks: Ranks | None = None
        self._own: set[str] | None = None
        self._lock = RLock()

    def wrapped(self, module: Any) -> None:
        """A module is trained by several processes from now on."""
        with self._lock:
            ranks = self._here()
            if ranks is not None and isinstance(module, DistributedDataParallel):
                ranks.wrapped(module)

    def after_step(self, account: Account, optimizer: Optimizer) -> Divergence | None:
        """Compare what the ranks hold, at the moments for that."""
        if not is_moment(account.steps):
            return None
        with self._lock:
            ranks = self._here()
            return ranks.after_step(optimizer, account.steps) if ranks is not None else None

    def at_end(self, accounts: Iterable[Account]) -> list[tuple[Account, Divergence]]:
        """Compare what is left, before the process group or the guard goes."""
        with self._lock:
            if self._ranks is None:
                return []
            alive = {optimizer: account for account in accounts if (optimizer := account.optimizer()) is not None}
            found = self._ranks.at_end((optimizer, account.steps) for optimizer, account in alive.items())
            return [(alive[optimizer], divergence) for optimizer, divergence in found]

    def leave(self, findings: Findings) -> None:
        """Agree with the others on who tells what, and have no more to do with them."""
        with self._lock:
            ranks, self._ranks = self._ranks, None
            if ranks is not None:
                self._own = ranks.untold({key_of(record.finding) for record in findings.records})

    def own(self, findings: Findings) -> set[str]:
        """The keys of the findings that this process has to tell: all, where it has never met another."""
        return {key_of(record.finding) for record in findings.records} if self._own is None else self._own

    def _here(self) -> Ranks | None:
        if self._ranks is None:
            self._ranks = Ranks.of_process()
        return self._ranks
