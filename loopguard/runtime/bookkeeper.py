"""The bookkeeper: enters each event into the ledger, and asks the verdicts where one is a mistake.

It finds the site of each event, counts iterations, and lets each account go through the gradient lifecycle. Where a
transition is a mistake, a verdict looks at what has happened and either has a case or is silent; the rules name it,
as they name the static engine's cases.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any
from weakref import ref

import torch
from torch.amp import GradScaler
from torch.optim.optimizer import Optimizer

from loopguard.events import Kind, Relation
from loopguard.lifecycles import loss
from loopguard.lifecycles.gradient import Mistake
from loopguard.runtime.accounts import Accounts
from loopguard.runtime.docket import OFTEN, Docket
from loopguard.runtime.entries import Entry
from loopguard.runtime.gradients import leaves_of
from loopguard.runtime.journal import Journal
from loopguard.runtime.ledger import Account
from loopguard.runtime.peers import Peers
from loopguard.runtime.progress import Progress
from loopguard.runtime.rows import CLEAN
from loopguard.runtime.sites import Site, Sites, is_nested
from loopguard.runtime.surroundings import Surroundings
from loopguard.runtime.threads import EVERYTHING, here, is_alone, is_part_of_pass
from loopguard.runtime.verdicts import closures, coverage, losses, stale_steps, unused_gradients, windows
from loopguard.runtime.verdicts.empty_steps import empty
from loopguard.runtime.verdicts.last_words import last_words
from loopguard.runtime.verdicts.movement import unmoved
from loopguard.runtime.verdicts.parted_ranks import parted
from loopguard.runtime.verdicts.telling import History, Telling, Verdict, relation_of

_STEPS: dict[Mistake, Verdict] = {
    Mistake.STALE_STEP: stale_steps.stale,
    Mistake.REPEATED_STEP: stale_steps.repeated,
    Mistake.MIXED_STEP: stale_steps.mixed,
    Mistake.EMPTY_STEP: empty,
}
"""What looks at a step that is a mistake in the lifecycle."""

Safely = Callable[[Callable[[], object]], object]
"""Does some work of the guard's in the middle of the user's, and lets no error of it out."""


class Bookkeeper:
    """Keeps the accounts of all optimizers, or of `only` some. A `full` ledger looks at every parameter each time.

    `frame` is the innermost frame of an event's stack to be looked at, torch's or the user's.
    """

    def __init__(
        self,
        history: History,
        accounts: Accounts,
        docket: Docket,
        sites: Sites,
        progress: Progress,
        journal: Journal,
        peers: Peers,
    ) -> None:
        self.history = history
        self.accounts = accounts
        self.account = accounts.of
        self._docket = docket
        self.sites = sites
        self._now = progress
        self._journal = journal
        self._graphs = losses.Graphs()
        self.reached = coverage.Reached()
        self._peers = peers
        self.around = Surroundings(self.history, docket, sites, progress, journal)
        self._relations: dict[tuple[int, int], tuple[ref[Optimizer | torch.nn.Module] | None, Relation]] = {}
        self._closures: dict[int, closures.Evaluations] = {}
        self._writes: frozenset[int] = EVERYTHING  # what the backward pass that is going on may write to

    # What the hooks tell.

    def wrapped(self, module: torch.nn.Module) -> None:
        """A module is trained by several processes."""
        self._peers.wrapped(module)
        self.around.wrapped(module)

    def made(self, optimizer: Optimizer, frame: FrameType) -> None:
        """An optimizer is there."""
        self.around.made(self.account(optimizer), optimizer, frame)

    def clear(self, owner: Optimizer | torch.nn.Module, frame: FrameType) -> None:
        """Gradients have been cleared."""
        account = self.account(owner) if isinstance(owner, Optimizer) else None
        entry = self._happens(Kind.CLEAR, account.number if account is not None else id(owner), frame)
        is_new = entry.site not in self.history.clears
        if is_new or entry.site.visits < OFTEN:
            self.history.clears[entry.site] = ref(owner)
        for seen in self._closures.values():
            seen.clears += 1
        for other in self.history.accounts.values():
            relation = Relation.OTHER if other is account else self._relation(owner, other, entry.site)
            if relation is Relation.OTHER:
                continue
            if other.row is not CLEAN:
                other.suspect(entry)
            elif relation is Relation.WHOLE:
                other.last_clear = entry
        if account is not None:
            mistake = account.clear(entry)
            if mistake is not None:
                self._ask(mistake, account, entry, unused_gradients.not_yet_applied, frame)

    def begin_backward(self, roots: Sequence[Any], frame: FrameType) -> None:
        """Gradients are about to be computed."""
        if self._now.depth and not is_part_of_pass():
            self._now.depth = 0  # the one before was cut off
        self._now.depth += 1
        writes = here.thread.writes or EVERYTHING
        if self._now.depth > 1:  # reentrant: a part of the pass that is going on
            self._writes = EVERYTHING if writes is EVERYTHING or self._writes is EVERYTHING else self._writes | writes
            return
        self._writes = writes
        if not self.history.accounts and not self.history.backwards:
            self.accounts.find(leaves_of(roots))
        entry = self._now.backward = self._happens(Kind.BACKWARD, 0, frame)
        self.history.backwards.setdefault(entry.site, entry)
        self.around.exchanges.begins(entry)
        self.around.updates.backward_begins(entry, roots)
        for seen in self._closures.values():
            seen.backwards += 1
        for account in list(self.history.accounts.values()):
            mistake = account.before_backward(entry.site)
            if mistake is not None and account.last_clear is not None:
                self._ask(mistake, account, account.last_clear, unused_gradients.not_yet_applied, frame, entry.site)
        if entry.site.visits < OFTEN:
            self._journal.disturb()
            self._look_closely(entry, roots, frame)
        elif self.history.accounts and not getattr(roots[0], "requires_grad", True):
            self.around.backward_without_graph(entry, roots, frame)

    def end_backward(self, error: BaseException | None) -> None:
        """Gradients have been computed, or could not be."""
        if not self._now.depth:
            return
        self._now.depth -= 1
        if self._now.depth:
            return
        entry, self._now.backward = self._now.backward, None
        if error is not None:
            self._journal.disturb()
        elif entry is not None:
            for account in list(self.history.accounts.values()):
                # What has changed meanwhile where this pass does not write was changed by another thread.
                is_elsewhere = self._writes is not EVERYTHING and self._writes.isdisjoint(account.holds())
                if is_elsewhere or (account.last_step is not None and account.last_step.number >= entry.number):
                    account.skip_backward()
                else:
                    account.after_backward(entry)

    def begin_step(
        self, optimizer: Optimizer, closure: Callable[[], Any] | None, frame: FrameType, safely: Safely
    ) -> Callable[[], Any] | None:
        """An optimizer is about to step. Returns the closure that it is to be given, which uses `safely` to look."""
        account = self.account(optimizer)
        if account is None:
            return closure
        if account.depth and not is_nested(optimizer, frame):
            self.abandon(optimizer)  # the step before this one was left by an exception
        account.depth += 1
        if account.depth > 1:
            return closure  # a subclass that calls the step of its base
        if self._now.stepping and not self._closures and self._is_within_another(frame):
            account.inner = True
        self._now.stepping.append(account)
        entry = account.stepping = self._happens(Kind.STEP, account.number, frame)
        if callable(closure):
            self._journal.disturb()
            return self._recorded(account, entry, closure, frame, safely)
        if self._now.backward is not None and is_part_of_pass():
            account.deposit_within(self._now.backward)
        if entry.site.visits == 1 and closures.needs_closure(optimizer):
            self._docket.file(closures.absent(self._telling(account, entry, frame)), frame)
        elif not account.inner:
            self.around.updates.steps(account, entry, frame)
            self._check_step(account, entry, frame)
            if account.movement.before(optimizer, account.steps + 1):
                self._journal.disturb()
        return closure

    def end_step(self, optimizer: Optimizer, frame: FrameType) -> None:
        """An optimizer has stepped."""
        account = self.history.account(optimizer)
        if account is None or not account.depth:
            return
        account.depth -= 1
        if account.depth or account.stepping is None:
            return
        if account in self._now.stepping:
            self._now.stepping.remove(account)
        seen = self._closures.pop(account.number, None)
        if seen is not None:
            self._check_closure(account, account.stepping, seen, optimizer, frame)
        self._finish(account, account.stepping, optimizer, frame)

    def begin_scaled_step(self, optimizer: Optimizer, scaler: GradScaler, frame: FrameType) -> None:
        """A scaler is about to step an optimizer, or to skip the step."""
        account = self.account(optimizer)
        if account is not None:
            account.scaled = self._now.events
        self.around.updates.scaled_step(account, optimizer, scaler, frame)

    def end_scaled_step(self, optimizer: Optimizer, error: BaseException | None, frame: FrameType) -> None:
        """The scaler has. A step that it skipped has used up its gradients all the same."""
        account = self.history.account(optimizer)
        if account is None or account.inner:
            return
        if account.last_step is not None and account.last_step.number > account.scaled and error is None:
            return
        entry = self._happens(Kind.STEP, account.number, frame)
        if error is None:
            self._check_step(account, entry, frame)
            self._finish(account, entry, optimizer, frame)
        elif isinstance(error, AssertionError) and account.before_step() is Mistake.EMPTY_STEP:
            self._ask(Mistake.EMPTY_STEP, account, entry, lambda t: empty(t, raises=True), frame)

    def abandon(self, optimizer: Optimizer) -> None:
        """A step does not take place after all."""
        account = self.history.account(optimizer)
        if account is not None:
            account.depth = 0
            self._now.stepping = [other for other in self._now.stepping if other is not account]

    def abandon_backward(self) -> None:
        """A backward pass does not take place after all."""
        self._now.depth = 0
        self._now.backward = None

    def leave_group(self) -> None:
        """The process group is about to go: the last words between the ranks."""
        self.compare_at_end()
        self._peers.leave(self._docket.findings)

    def compare_at_end(self) -> None:
        """See whether other ranks have stepped as often, and have the same."""
        for account, divergence in self._peers.at_end(self.history.accounts.values()):
            if account.last_step is not None:
                telling = Telling(self.history, account, account.last_step, ())
                self._docket.file(parted(telling, divergence), None)

    def conclude(self, error: BaseException | None, *, is_only: bool) -> None:
        """The verdicts that only the end can give. `error` ended it early; `is_only`: no other thread trains."""
        if error is not None:
            self._docket.file(losses.number_of(error, self.sites), None)
        self.accounts.close()
        for case in last_words(self.history, self.accounts.late, self._docket, ended=error is None):
            self._docket.file(case, None)
        if error is None:
            if is_only:
                self.around.schedules.conclude()
            self.compare_at_end()

    # What comes of it.

    def _check_step(self, account: Account, entry: Entry, frame: FrameType) -> None:
        mistake = account.before_step()
        if mistake is not None:
            self._ask(mistake, account, entry, _STEPS[mistake], frame)
        elif account.discarded:
            for verdict in (unused_gradients.cleared_in_window, unused_gradients.applied_outside):
                self._ask(verdict, account, entry, verdict, frame)
        if account.steps < 4 and not account.inner and is_alone():
            passes = sum(site.visits for site in self.history.backwards)
            self._ask(coverage.missed, account, entry, lambda t: coverage.missed(t, self.reached, passes), frame)

    def _finish(self, account: Account, entry: Entry, optimizer: Optimizer, frame: FrameType) -> None:
        """A step is over: its gradients are used."""
        account.after_step(entry)
        if len(self.history.accounts) > 1 and account.last_use:
            last = account.last_use[-1]
            for other in self.history.accounts.values():
                if other is not account and other.deposits and other.deposits[-1] is last:
                    other.other_step()
                    if other.is_fed_within(last.site, account.held):
                        other.applied.add(last.site)
        if account.windows and account.windows[-1].step is entry:
            sizes = account.windows[-1]
            if account.steps <= OFTEN and (len(sizes.deposits) > 1 or account.steps > 1):
                for verdict in (windows.misplaced, windows.remainder):
                    self._ask(verdict, account, entry, verdict, frame)
        if account.inner:
            return
        self.around.stepped(account, entry, frame)
        still = account.movement.after()
        if still:
            self._docket.file(unmoved(self._telling(account, entry, frame), still), frame)
        divergence = self._peers.after_step(account, optimizer)
        if divergence is not None:
            self._docket.file(parted(self._telling(account, entry, frame), divergence), frame)

    def _check_closure(
        self, account: Account, entry: Entry, seen: closures.Evaluations, optimizer: Optimizer, frame: FrameType
    ) -> None:
        needed = closures.needs_closure(optimizer)
        lacks = self._ask(closures.lacking, account, entry, lambda t: closures.lacking(t, seen, needed), frame)
        mistake = account.before_step(looks=False)
        if mistake is not None and seen.backwards and not account.inner and not lacks:
            self._ask(mistake, account, entry, _STEPS[mistake], frame)

    def _recorded(
        self, account: Account, entry: Entry, closure: Callable[[], Any], frame: FrameType, safely: Safely
    ) -> Callable[[], Any]:
        optimizer = account.optimizer()
        needed = optimizer is not None and closures.needs_closure(optimizer)

        def check(seen: closures.Evaluations) -> None:
            # The step is about to fail on a loss of None, and will not be heard of again.
            if needed and seen.returned_nothing:
                telling = self._telling(account, entry, frame)
                safely(lambda: self._docket.file(closures.lacking(telling, seen, needed), frame))

        given, self._closures[account.number] = closures.recording(closure, check)
        return given

    def _look_closely(self, entry: Entry, roots: Sequence[Any], frame: FrameType) -> None:
        """What the first passes from a site are looked at for."""
        site = entry.site
        if self.history.accounts:
            self.around.backward_without_graph(entry, roots, frame)
        if self._graphs.watch(site, roots):
            self._docket.ask((-1, loss.Mistake.RETAINED, site), lambda: losses.retained(entry), frame)
        if site.visits == 2:
            self.reached.look(leaves_of(roots))
            self._docket.ask((-1, loss.Mistake.LAST_ONLY, site), lambda: losses.last_only(entry), frame)

    def _ask(
        self,
        question: object,
        account: Account,
        entry: Entry,
        verdict: Verdict,
        frame: FrameType,
        about: Site | None = None,
    ) -> bool:
        if self.accounts.is_lost(account):
            return False
        key = (account.number, question, about if about is not None else entry.site)
        if not account.steps or not self._docket.is_settled(key):
            self._journal.disturb()
        return self._docket.ask(key, lambda: verdict(self._telling(account, entry, frame)), frame)

    def _telling(self, account: Account, entry: Entry, frame: FrameType) -> Telling:
        return Telling(self.history, account, entry, self.sites.user_frames(frame))

    # Who and where.

    def _is_within_another(self, frame: FrameType) -> bool:
        """Whether a step is a part of one that is going on. Others are forgotten: they were cut off."""
        if not is_part_of_pass():
            self._now.stepping = [other for other in self._now.stepping if is_nested(other.optimizer(), frame)]
        return bool(self._now.stepping)

    def _relation(self, owner: Optimizer | torch.nn.Module, account: Account, site: Site) -> Relation:
        """What a clear of `owner` touches of what an account is about; worked out anew now and then."""
        key = (id(owner), account.number)
        known, relation = self._relations.get(key, (None, Relation.OTHER))
        if known is None or known() is not owner or site.visits & (site.visits - 1) == 0:
            relation = relation_of(owner, account)
            self._relations[key] = (ref(owner), relation)
        return relation

    def _happens(self, kind: Kind, subject: int, frame: FrameType) -> Entry:
        """An event: where it is, and in which iteration."""
        self.accounts.close()
        site = self.sites.at(kind, frame)
        self._journal.happened(site, subject, self.sites.depth)
        return self._now.enter(site, subject)
