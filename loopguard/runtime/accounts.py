"""The accounts that one monitor keeps: of which optimizers, and of which no longer, as another thread has them, too.

An optimizer belongs to the thread that trains it. One that was only made in a thread, or whose thread is at rest, goes
to the next that uses it. Two threads that use the same one, or train the same parameters, make of its gradients what
no order of events tells: it is *given up* by both, and judged no more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from weakref import WeakKeyDictionary, WeakSet, ref

import torch
from torch.optim.optimizer import Optimizer

from loopguard.runtime import threads
from loopguard.runtime.docket import OFTEN
from loopguard.runtime.gradients import parameters_of
from loopguard.runtime.journal import Journal
from loopguard.runtime.ledger import Account
from loopguard.runtime.names import optimizers_alive
from loopguard.runtime.threads import Thread
from loopguard.runtime.verdicts.telling import History


class Roll:
    """All optimizers that a watch has heard of, in any thread, and their numbers."""

    def __init__(self) -> None:
        self.count = 0
        self.given_up: WeakSet[Optimizer] = WeakSet()
        self.unjudged = 0
        self._numbers: WeakKeyDictionary[Optimizer, int] = WeakKeyDictionary()

    def number(self, optimizer: Optimizer) -> int:
        """The number of an optimizer, from 1."""
        if optimizer not in self._numbers:
            self.count += 1
            self._numbers[optimizer] = self.count
        return self._numbers[optimizer]

    def give_up(self, optimizer: Optimizer) -> None:
        """Judge an optimizer no more."""
        if optimizer not in self.given_up:
            self.given_up.add(optimizer)
            self.unjudged += 1


class Accounts:
    """Opens and closes the accounts of one monitor. `others` are those of the same watch in other threads.

    `full`: at every parameter is looked each time. `only`: of no other optimizers are accounts kept.
    """

    def __init__(
        self, history: History, journal: Journal, roll: Roll, *, full: bool, only: Iterable[ref[Optimizer]] | None
    ) -> None:
        self.roll = roll
        self.late: list[Account] = []
        self.thread: Thread | None = None
        self.others: Callable[[], Iterable[Accounts]] = tuple
        self.is_at_rest: Callable[[], bool] = lambda: False
        self._history = history
        self._journal = journal
        self._full = full
        self._only = None if only is None else [*only]
        self._gone: list[Account] = []
        self._lost: list[Account] = []

    def of(self, optimizer: object) -> Account | None:
        """The account of an optimizer that this thread uses. None for one that is not watched."""
        if self._lost:
            self.close()
        account = self._history.accounts.get(id(optimizer))
        if account is not None and account.optimizer() is optimizer:
            return account
        if not isinstance(optimizer, Optimizer) or not self._is_wanted(optimizer):
            return None
        held = frozenset(map(id, parameters_of(optimizer)))
        is_shared = [other.lose(held) for other in self.others()]
        if any(is_shared):
            self.roll.give_up(optimizer)
        return self._open(optimizer, held)

    def find(self, leaves: Iterable[torch.Tensor]) -> None:
        """Open the accounts of those that were made before anybody listened: of all, or of what this thread trains."""
        reached = frozenset(map(id, leaves))
        for optimizer in optimizers_alive() if self._only is None else ():
            held = frozenset(map(id, parameters_of(optimizer)))
            is_ours = threads.is_alone() or not held.isdisjoint(reached)
            if is_ours and not any(other.holds(held) for other in self.others()):
                self._open(optimizer, held)

    def holds(self, parameters: frozenset[int]) -> bool:
        """Whether an account is about any of some parameters, given by their ids."""
        return any(not account.holds().isdisjoint(parameters) for account in [*self._history.accounts.values()])

    def lose(self, parameters: frozenset[int]) -> bool:
        """Another thread uses an optimizer of some parameters. Whether both do: this one may come back to it.

        Called in that thread. So the accounts are closed when this one does something next.
        """
        is_shared = False
        for account in [*self._history.accounts.values()]:
            if not account.holds().isdisjoint(parameters):
                is_shared |= self._give_up(account)
                self._lost += [account] if account not in self._lost else []
        return is_shared

    def is_lost(self, account: Account) -> bool:
        """Whether another thread uses an optimizer, too, of which this thread does not know yet."""
        return account in self._lost

    def let_go(self, parameters: frozenset[int]) -> None:
        """The backward pass of another thread writes to some parameters. Close their accounts at once."""
        for account in [*self._history.accounts.values()]:
            if not account.holds().isdisjoint(parameters):
                self._give_up(account)
                account.surrender()
                self._history.close(account)

    def close(self) -> None:
        """Close the accounts of optimizers that are gone. What there is to tell of them waits for the end."""
        while self._lost:
            account = self._lost.pop()
            account.surrender()
            self._history.close(account)
        while self._gone:
            account = self._gone.pop()
            self._history.close(account)
            if not account.is_fed and (account.steps or account.discards) and len(self.late) < OFTEN:
                self.late.append(account)

    def _open(self, optimizer: Optimizer, held: frozenset[int]) -> Account | None:
        self.close()
        if optimizer in self.roll.given_up:
            return None
        opened = Account(self.roll.number(optimizer), optimizer, self._full, self._journal)
        # This is heard wherever the last reference went, in the middle of anything: no more than a note is safe.
        opened.optimizer = ref(optimizer, lambda gone: self._gone.append(opened))
        self._history.open(optimizer, opened)
        if not threads.is_free(held, self.thread):
            self._history.close(opened)
            return None
        opened.begin(optimizer)
        return opened

    def _give_up(self, account: Account) -> bool:
        optimizer = account.optimizer()
        if optimizer is None or not account.is_used or self.is_at_rest():
            return False
        self.roll.give_up(optimizer)
        return True

    def _is_wanted(self, optimizer: Optimizer) -> bool:
        return self._only is None or any(wanted() is optimizer for wanted in self._only)
