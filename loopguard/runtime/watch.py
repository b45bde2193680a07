"""The watch: everything that guards one stretch of a process, put together, from its start to its end."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Sequence
from enum import Enum
from functools import partial
from typing import Literal
from weakref import ref

from torch.optim.optimizer import Optimizer

from loopguard.escape import visible
from loopguard.events import Event, Kind
from loopguard.finding import Finding
from loopguard.report.terminal import say
from loopguard.runtime import hooks, threads
from loopguard.runtime.accounts import Accounts, Roll
from loopguard.runtime.bookkeeper import Bookkeeper
from loopguard.runtime.cruise import Cruise
from loopguard.runtime.distributed import rank_of_process
from loopguard.runtime.docket import Docket, Findings, Record, Tell
from loopguard.runtime.journal import Journal
from loopguard.runtime.judge import Judge
from loopguard.runtime.listener import MEANT, Listener
from loopguard.runtime.monitors import Monitors
from loopguard.runtime.peers import Peers
from loopguard.runtime.progress import Progress
from loopguard.runtime.proofs import disproves, may_be_at
from loopguard.runtime.sites import Sites
from loopguard.runtime.statement import elsewhere, statement
from loopguard.runtime.threads import Thread, here
from loopguard.runtime.verdicts.telling import History
from loopguard.source import Source


class Watch:
    """Watches the training of this process from `start` to `stop`.

    `tell` is called with each new finding. With `only`, nothing but these optimizers is judged. `ledger` is "auto" or
    "full": a full one looks at every parameter in every backward pass. With `once`, what several ranks find is told
    by one of them.
    """

    def __init__(
        self,
        tell: Tell,
        *,
        ledger: Literal["auto", "full"] = "auto",
        select: Sequence[str] = (),
        extend_select: Sequence[str] = (),
        ignore: Sequence[str] = (),
        only: Sequence[Optimizer] | None = None,
        once: bool = False,
        everywhere: bool = True,
    ) -> None:
        self.failed: BaseException | None = None
        self._judge = Judge(select, extend_select, ignore)
        self._full = ledger == "full"
        self._findings = Findings(self._judge, tell, quiet=once and rank_of_process() > 0)
        self._only = None if only is None else [ref(optimizer) for optimizer in only]
        self._roll = Roll()
        self._peers = Peers()
        self._is_over = False
        self._monitors = Monitors(self._monitor, None if everywhere else here.thread)
        for optimizer in only or ():
            self._monitors.all[0].accounts.of(optimizer)

    @property
    def records(self) -> list[Record]:
        """What has been found, and how often."""
        return self._findings.records

    @property
    def findings(self) -> list[Finding]:
        """What has been found, one for each rule and place, in the order of time."""
        return [record.finding for record in self.records]

    @property
    def sources(self) -> Callable[[str], Source | None]:
        """Gives the source that a finding's path stands for, to those who show it."""
        return self._judge.source

    def listener(self, thread: Thread) -> Listener:
        """Who listens in a thread."""
        return self._monitors.listener(thread)

    def monitors(self) -> Sequence[Cruise]:
        """All who watch optimizers, or did."""
        return self._monitors.all

    def fail(self, error: BaseException) -> None:
        """A bug of the guard ends the guard, not the training."""
        self._monitors.fail(error)

    def start(self) -> None:
        """Begin to watch."""
        hooks.listen(self)

    def stop(self, error: BaseException | None = None) -> None:
        """Give the verdicts that need the end of the run, and leave torch as it was. `error` is what ended it early.

        What happens in other threads that train on has no end yet, and no such verdicts.
        """
        try:
            if not self._is_over:
                self._is_over = True
                if self in threads.audiences and (removed := hooks.removed()):
                    self._fail(RuntimeError(f"somebody has taken its hooks away: {', '.join(removed)}"))
                else:
                    self._conclude(error)
        finally:
            try:
                self.forget()
            except BaseException:  # may be done again, and has to be done
                self.forget()
                raise

    def forget(self) -> None:
        """Watch no longer, without any verdict, and leave torch as it was. May be done again."""
        self._is_over = True
        hooks.forget(self)
        self._monitors.stop()

    def visits(self, event: Event) -> int:
        """How often an event in the text may have happened in any thread, as far as it is known by which calls."""
        monitors = (monitor for monitor in self.monitors() if not monitor.is_lost)
        return sum(n for monitor in monitors for site, n in monitor.visits().items() if may_be_at(site, event))

    def disproves(self, finding: Finding, mistakes: Collection[Enum]) -> bool:
        """Whether what has happened proves that none of some mistakes was made, as a finding says."""
        monitors = self.monitors()
        if not all(self._is_ours(monitor) and not monitor.is_lost for monitor in monitors):
            return False
        for monitor in monitors:
            monitor.do(int)  # brings its books up to date
        histories = [monitor.history for monitor in monitors]
        rounds = [rounds for history in histories for rounds in history.rounds]
        return all(history.is_whole for history in histories) and disproves(rounds, finding, mistakes)

    @property
    def optimizers(self) -> int:
        """How many optimizers have been watched."""
        return self._roll.count

    @property
    def unjudged(self) -> int:
        """How many of them were not judged to the end: several threads train them, or the same parameters."""
        return self._roll.unjudged

    @property
    def steps(self) -> int:
        """How many steps they have been asked for."""
        return sum(n for m in self.monitors() for site, n in m.visits().items() if site.kind is Kind.STEP)

    def ledger_text(self) -> str:
        """What each gradient is made of now, for a person. Of what another thread trains, nothing can be told."""
        texts = (self._text(monitor) for monitor in self._monitors.all if monitor.is_on or self._is_over)
        return "\n".join(text for text in texts if text) or "no optimizer has been seen yet"

    def _text(self, monitor: Cruise) -> str | None:
        if self._is_ours(monitor):
            told = partial(statement, monitor.history, self._full)
            return told() if self._is_over else monitor.do(told)
        return elsewhere(monitor.history)

    def _conclude(self, error: BaseException | None) -> None:
        ours = [monitor for monitor in self._monitors.all if monitor.is_on and self._is_ours(monitor)]
        trained = [monitor for monitor in self._monitors.all if monitor.trains]
        for monitor in ours:
            monitor.conclude(error, is_only=trained in ([], [monitor]))
        try:
            self._peers.leave(self._findings)
            if self._findings.quiet:
                self._findings.speak(self._peers.own(self._findings))
        except MEANT:
            raise
        except Exception as failure:
            self.fail(failure)

    def _is_ours(self, monitor: Cruise) -> bool:
        """Whether a monitor can be asked here: nobody else does anything that it would hear of."""
        thread = monitor.thread
        return thread is None or thread is here.thread or not monitor.trains or monitor.is_at_rest(thread)

    def _monitor(self) -> Cruise:
        """A monitor for one more thread."""
        sites, progress, journal, history = Sites(), Progress(), Journal(), History()
        docket = Docket(self._findings, sites)
        accounts = Accounts(history, journal, self._roll, full=self._full, only=self._only)
        bookkeeper = Bookkeeper(history, accounts, docket, sites, progress, journal, self._peers)
        return Cruise(bookkeeper, docket, progress, journal, self._fail, enabled=not self._full)

    def _fail(self, error: BaseException) -> None:
        self.failed = error
        self.forget()
        text = f"loopguard has failed and watches no longer; your training is not affected ({visible(repr(error))})"
        try:
            warnings.warn(text, RuntimeWarning, stacklevel=2)
        except Exception:  # warnings are errors here, or go to a stream that does not take them
            say(text)
