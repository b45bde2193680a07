"""Makings: where optimizers are made, and whether one takes the place of another that had the same parameters.

What an optimizer remembers is lost with it. That is as it should be where the model begins anew, too, which shows at
the parameters: their versions say whether anybody but the optimizer before has written to them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import FrameType
from weakref import ref

from torch import Tensor
from torch.optim.optimizer import Optimizer

from loopguard.events import Kind
from loopguard.lifecycles.construction import STATELESS, Mistake
from loopguard.runtime.docket import Docket
from loopguard.runtime.entries import Entry
from loopguard.runtime.gradients import parameters_of
from loopguard.runtime.ledger import Account
from loopguard.runtime.progress import Progress
from loopguard.runtime.sites import Site, Sites
from loopguard.runtime.verdicts import construction
from loopguard.runtime.verdicts.telling import History


@dataclass(slots=True, eq=False)
class Making:
    """An optimizer that was made: by whom, and how far its steps raise the versions of its parameters."""

    account: Account
    entry: Entry
    parameters: list[tuple[ref[Tensor], int]]
    a_step: list[int] | None = None
    before: Making | None = None

    @property
    def is_undisturbed(self) -> bool:
        """Whether nobody has written to the parameters but the steps of the optimizer."""
        steps = self.account.steps
        return self.a_step is not None and all(
            (p := known()) is not None and p._version == version + steps * rise
            for (known, version), rise in zip(self.parameters, self.a_step, strict=True)
        )

    def continues(self, other: Making) -> bool:
        """Whether this one has the parameters of another, as its steps have left them."""
        same = self.account.held == other.account.held and len(self.parameters) == len(other.parameters)
        pairs = zip(self.parameters, other.parameters, strict=True) if same else ()
        return same and all(mine() is theirs() for (mine, _), (theirs, _) in pairs) and other.is_undisturbed


class Makings:
    """The last making at each place. The optimizers themselves are not kept alive."""

    def __init__(self, history: History, docket: Docket, sites: Sites, progress: Progress) -> None:
        self._history = history
        self._docket = docket
        self._sites = sites
        self._now = progress
        self._last: dict[Site, Making] = {}
        self._waiting: dict[int, Making] = {}

    def made(self, account: Account, optimizer: Optimizer, frame: FrameType) -> None:
        """An optimizer has been made, at what `frame` has led to."""
        if not _remembers(optimizer):
            return
        parameters = _sample(list(parameters_of(optimizer)))
        site = self._sites.at(Kind.BUILD, maker(frame, optimizer))
        entry = Entry(site, self._now.iteration, self._now.events)
        making = Making(account, entry, [(ref(p), p._version) for p in parameters])
        before = self._last.get(site)
        if before is not None and before.account.steps and making.continues(before):
            making.before = before
            before.before = None
        self._last[site] = self._waiting[account.number] = making

    def stepped(self, account: Account, step: Entry, frame: FrameType) -> None:
        """An optimizer has stepped for the first time."""
        making = self._waiting.pop(account.number, None)
        if making is None:
            return
        versions = [(p._version, version) for known, version in making.parameters if (p := known()) is not None]
        making.a_step = [now - version for now, version in versions]
        optimizer, before = account.optimizer(), making.before
        if before is not None and optimizer is not None:
            frames = self._sites.user_frames(frame)
            self._docket.ask(
                (-1, Mistake.REBUILT, making.entry.site),
                lambda: construction.rebuilt(self._history, optimizer, making.entry, before.entry, step, frames),
                frame,
            )


def _remembers(optimizer: Optimizer) -> bool:
    """Whether an optimizer remembers anything from step to step."""
    return type(optimizer).__name__ not in STATELESS or any(group.get("momentum") for group in optimizer.param_groups)


def _sample(parameters: Sequence[Tensor]) -> list[Tensor]:
    """The first and the last of some parameters that are trained."""
    trained = [p for p in parameters if p.requires_grad and not p.is_inference()]
    return [trained[0], trained[-1]] if trained else []


def maker(frame: FrameType, thing: object) -> FrameType:
    """The frame that has made an object: the one above those of its own constructors."""
    found, up = frame, frame.f_back
    while up is not None:
        if up.f_code.co_name == "__init__" and up.f_locals.get("self") is thing:
            found = up.f_back or up
        up = up.f_back
    return found
