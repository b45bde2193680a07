"""The watch: everything that guards one stretch of a process, put together, from its start to its end."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Sequence
from enum import Enum
from typing import Literal

from torch.optim.optimizer import Optimizer

from loopguard.escape import visible
from loopguard.events import Event, Kind
from loopguard.finding import Finding
from loopguard.report.terminal import say
from loopguard.runtime import hooks
from loopguard.runtime.bookkeeper import Bookkeeper
from loopguard.runtime.cruise import Cruise
from loopguard.runtime.distributed import rank_of_process
from loopguard.runtime.docket import Docket, Record, Tell
from loopguard.runtime.journal import Journal
from loopguard.runtime.judge import Judge
from loopguard.runtime.listener import MEANT
from loopguard.runtime.progress import Progress
from loopguard.runtime.proofs import disproves, may_be_at
from loopguard.runtime.sites import Sites
from loopguard.runtime.statement import statement
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
    ) -> None:
        self.failed: BaseException | None = None
        self._judge = Judge(select, extend_select, ignore)
        self._full = ledger == "full"
        self._sites = Sites()
        self._docket = Docket(self._judge, tell, self._sites, quiet=once and rank_of_process() > 0)
        progress, journal = Progress(), Journal()
        self._bookkeeper = Bookkeeper(self._docket, self._sites, progress, journal, full=self._full, only=only)
        self.listener = Cruise(self._bookkeeper, progress, journal, self._fail, enabled=not self._full)

    @property
    def records(self) -> list[Record]:
        """What has been found, and how often."""
        return self._docket.records

    @property
    def findings(self) -> list[Finding]:
        """What has been found, one for each rule and place, in the order of time."""
        return [record.finding for record in self.records]

    @property
    def sources(self) -> Callable[[str], Source | None]:
        """Gives the source that a finding's path stands for, to those who show it."""
        return self._judge.source

    def start(self) -> None:
        """Begin to watch."""
        hooks.listen(self.listener)

    def stop(self, error: BaseException | None = None) -> None:
        """Give the verdicts that need the end of the run, and leave torch as it was. `error` is what ended it early."""
        try:
            self.listener.do(lambda: self._bookkeeper.conclude(error))
        except MEANT:
            raise
        except Exception as failure:
            self.listener.fail(failure)
        finally:
            self.listener.stop()
            hooks.forget(self.listener)

    def visits(self, event: Event) -> int:
        """How often an event in the text may have happened, as far as it is known by which calls."""
        self.listener.do(lambda: None)  # brings the books up to date
        return sum(site.visits for site in self._sites.all if may_be_at(site, event))

    def disproves(self, finding: Finding, mistakes: Collection[Enum]) -> bool:
        """Whether what has happened proves that none of some mistakes was made, as a finding says."""
        self.listener.do(lambda: None)
        history = self._bookkeeper.history
        return history.is_whole and disproves(history.rounds, finding, mistakes)

    @property
    def optimizers(self) -> int:
        """How many optimizers have been watched."""
        return self._bookkeeper.optimizers

    @property
    def steps(self) -> int:
        """How many steps they have been asked for."""
        self.listener.do(lambda: None)
        return sum(site.visits for site in self._sites.all if site.kind is Kind.STEP)

    def ledger_text(self) -> str:
        """What each gradient is made of now, for a person."""
        self.listener.do(lambda: None)
        return statement(self._bookkeeper.history, self._full)

    def _fail(self, error: BaseException) -> None:
        self.failed = error
        hooks.forget(self.listener)
        text = f"loopguard has failed and watches no longer; your training is not affected ({visible(repr(error))})"
        try:
            warnings.warn(text, RuntimeWarning, stacklevel=2)
        except Exception:  # warnings are errors here, or go to a stream that does not take them
            say(text)
