"""Modes: which modules were switched to evaluation while they were trained, and whether training goes on so.

Each such module goes through the lifecycle of modes (`loopguard.lifecycles.mode`). Its state is read from the module
itself where a training step is over, since a module may be switched with a larger one, or by an assignment. One that
was in evaluation mode from the start is none of these: somebody wants it so.
"""

from __future__ import annotations

from collections.abc import Callable
from types import FrameType
from weakref import ref

import torch
from torch import nn

from loopguard.case import Case
from loopguard.events import Kind
from loopguard.lifecycles.mode import TRANSITIONS, Action, Mistake, State
from loopguard.runtime.docket import OFTEN, Docket
from loopguard.runtime.entries import Entry
from loopguard.runtime.journal import Journal
from loopguard.runtime.layers import sensitive
from loopguard.runtime.ledger import Account
from loopguard.runtime.progress import Progress
from loopguard.runtime.sites import Site, Sites
from loopguard.runtime.verdicts import modes as verdicts
from loopguard.runtime.verdicts.telling import History

_PROOF = 2
"""After how many steps in evaluation mode training goes on in it: the first forward pass may have been before."""


class Modes:
    """The modules that have been switched. `clock` numbers the moments between two backward passes or steps."""

    def __init__(
        self,
        history: History,
        docket: Docket,
        sites: Sites,
        progress: Progress,
        journal: Journal,
        clock: Callable[[], int],
    ) -> None:
        self.chosen = -1  # when a module was last switched to training
        self.switched_back: Site | None = None  # where, if that undid a switch to evaluation
        self._evaluated = -1
        self._history = history
        self._docket = docket
        self._sites = sites
        self._now = progress
        self._journal = journal
        self._clock = clock
        self._evaluations: list[verdicts.Evaluation] = []
        self._visits: dict[Site, int] = {}
        self._restored: dict[Site, int] = {}

    def is_news(self, module: nn.Module, before: bool, frame: FrameType) -> bool:
        """Whether the switch of a module, which was in training mode `before` or not, has to be looked at."""
        if not self._history.accounts:
            return False
        moment = self._clock()
        if module.training:
            self.chosen = moment
            self.switched_back = self._sites.at(Kind.TRAIN, frame) if self._evaluated == moment else None
            return False
        self._evaluated = moment
        if not before:
            return False
        site = self._sites.at(Kind.EVAL, frame)
        visits = self._visits[site] = self._visits.get(site, 0) + 1
        if self._restored.get(site, 0) >= OFTEN and visits & (visits - 1):
            return False  # training mode comes back, as it always has
        return self._is_trained(module) and (
            any(True for _ in sensitive(module)) or self._docket.judges(Mistake.BUILDS_GRAPH, site)
        )

    def evaluates(self, module: nn.Module, frame: FrameType) -> verdicts.Evaluation:
        """A module that is trained has been switched to evaluation."""
        entry = Entry(self._sites.at(Kind.EVAL, frame), self._now.iteration, self._now.events)
        self._evaluations = [known for known in self._evaluations if known.module() not in (None, module)]
        trained = frozenset(
            account.number for account in self._history.accounts.values() if account.steps and holds(account, module)
        )
        found = verdicts.Evaluation(ref(module), entry, trained, unrecorded=not torch.is_grad_enabled())
        self._evaluations.append(found)
        return found

    @property
    def awaits_a_pass(self) -> bool:
        """Whether a module was switched to evaluation, and it has to be seen yet whether it is evaluated then."""
        return any(not (evaluation.unrecorded or evaluation.learned) for evaluation in self._evaluations)

    def passed_unrecorded(self, module: nn.Module) -> None:
        """A module computes something of which nothing is recorded: if it was switched to evaluation, for that."""
        for evaluation in self._evaluations:
            if not evaluation.learned and any(part is evaluation.module() for part in module.modules()):
                evaluation.unrecorded = True

    def learned(self, account: Account, step: Entry, frame: FrameType) -> None:
        """An optimizer has stepped: see in which mode the modules are that it trains."""
        for evaluation in [*self._evaluations] if account.last_use else ():
            module = evaluation.module()
            if module is None or module.training:
                self._evaluations.remove(evaluation)
                if module is not None:
                    site = evaluation.switch.site
                    self._restored[site] = self._restored.get(site, 0) + 1
            elif account.number in evaluation.trained and account.last_use[-1].number > evaluation.switch.number:
                self._journal.disturb()
                evaluation.learned.append(account.last_use[-1])
                evaluation.state, mistake = TRANSITIONS[evaluation.state, Action.LEARN]
                if mistake is not None and len(evaluation.learned) == _PROOF:
                    self._evaluations.remove(evaluation)
                    self._ask(mistake, evaluation, module, step, frame)

    def _ask(
        self, mistake: Mistake, evaluation: verdicts.Evaluation, module: nn.Module, step: Entry, frame: FrameType
    ) -> None:
        def verdict() -> Case | None:
            frames = self._sites.user_frames(frame)
            return verdicts.not_restored(evaluation, module, step, self._history, frames)

        self._docket.ask((-1, mistake, evaluation.switch.site), verdict, frame)

    def _is_trained(self, module: nn.Module) -> bool:
        return any(account.steps and holds(account, module) for account in self._history.accounts.values())


def holds(account: Account, module: nn.Module) -> bool:
    """Whether an optimizer holds parameters of a module that are trained."""
    return any(id(p) in account.held and p.requires_grad for p in module.parameters())


def state_of(module: nn.Module) -> State:
    """The mode that a module is in."""
    return State.TRAIN if module.training else State.EVAL
