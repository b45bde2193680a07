"""Progress: how far a run is, what is going on in it at this moment, and how to enter again what is known."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from loopguard.lifecycles.scaling import Action
from loopguard.runtime.entries import Entry
from loopguard.runtime.journal import Act, Done, Operation, Play
from loopguard.runtime.ledger import Account
from loopguard.runtime.sites import Site

_USES = {
    Operation.UNSCALE: Action.UNSCALE,
    Operation.SCALED_STEP: Action.SCALER_STEP,
    Operation.UPDATE: Action.UPDATE,
    Operation.CLIP: Action.CLIP,
}


class Progress:
    """The iteration that a run is in, and the backward pass and the steps that are going on."""

    def __init__(self) -> None:
        self.iteration = 1
        self.events = 0
        self.depth = 0
        self.backward: Entry | None = None
        self.stepping: list[Account] = []
        self._seen: set[tuple[int, int]] = set()

    def enter(self, site: Site, subject: int) -> Entry:
        """Count an event at a site. One that comes again begins the next iteration."""
        key = (site.number, subject)
        if key in self._seen:
            self._seen.clear()
            self.iteration += 1
        self._seen.add(key)
        self.events += 1
        site.visits += 1
        return Entry(site, self.iteration, self.events)

    def moment(self, site: Site) -> Entry:
        """An event that begins no iteration."""
        return Entry(site, self.iteration, self.events)

    def skip(self, cycle: Sequence[Play], times: int, iterations: int) -> None:
        """Count a cycle of events, of so many iterations, as often as it went by unseen."""
        self.iteration += times * iterations
        for play in cycle:
            if play.site is not None:
                self.events += times
                play.site.visits += times
            if play.aside is not None:
                play.aside.visits += times
            for account, operation, site in play.done:
                if operation is Operation.DEPOSIT:
                    account.fed += times
                elif operation is Operation.STEP:
                    account.steps += times
                    if site is not None:
                        counts = account.step_sites[site]
                        counts[not counts[0]] += times  # who never found anything has not found it now

    def repeat(self, play: Play) -> None:
        """Enter an event that went as it did when it was taken down."""
        entry = self.enter(play.site, play.subject) if play.site is not None else None
        account = play.account
        if play.aside is not None:
            play.aside.visits += 1
        if play.act is Act.BACKWARD:
            self.depth += 1
            self.backward = entry or self.backward
        elif play.act is Act.STEP and account is not None:
            account.depth += 1
            if entry is not None:
                account.stepping = entry
                self.stepping.append(account)
        elif play.act is Act.STEP_END and account is not None:
            account.depth -= 1
            if account in self.stepping and not account.depth:
                self.stepping.remove(account)
        elif play.act is Act.SCALED_STEP and account is not None:
            account.scaled = self.events
        self.redo(play.done, entry, is_clear=play.act is Act.CLEAR)
        if play.act is Act.BACKWARD_END:
            self.depth -= 1
            self.backward = self.backward if self.depth else None

    def redo(self, done: Iterable[Done], entry: Entry | None, *, is_clear: bool = False) -> None:
        """Do to the accounts what an event did to them."""
        for account, operation, site in done:
            if operation is Operation.CLEAR:
                account.clear(entry if is_clear else account.doubt, seen=is_clear)
            elif operation is Operation.DOUBT and entry is not None:
                account.suspect(entry)
            elif operation is Operation.DEPOSIT and self.backward is not None:
                account.deposit(self.backward)
            elif operation is Operation.STEP and (step := entry or account.stepping) is not None:
                account.after_step(step, marked=True)
            elif operation is Operation.OTHER_STEP:
                account.other_step()
            elif operation in _USES:
                account.use.act(_USES[operation], self.moment(site) if site is not None else None)
            elif operation is Operation.FORGET:
                account.use.forget()
