"""Updates: follows gradients through scalers and clips, and asks the verdicts where a use of them is a mistake.

Scaled losses are known by a mark on their graph, never by their values: a backward pass from what a scaler has
returned is scaled; of one from what was derived from that, nothing is known.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from types import FrameType
from typing import Any

from torch import Tensor
from torch.amp import GradScaler

from loopguard.events import Kind
from loopguard.lifecycles import clipping
from loopguard.lifecycles.scaling import Action, Mistake
from loopguard.runtime.docket import OFTEN, Docket
from loopguard.runtime.entries import Entry
from loopguard.runtime.gradients import parameters_of
from loopguard.runtime.journal import Journal, Operation
from loopguard.runtime.ledger import Account
from loopguard.runtime.names import optimizers_alive
from loopguard.runtime.progress import Progress
from loopguard.runtime.sites import Site, Sites
from loopguard.runtime.threads import is_alone
from loopguard.runtime.verdicts import clipping as clips
from loopguard.runtime.verdicts import scaling
from loopguard.runtime.verdicts.telling import History, Telling

_MARK = "scaled by a scaler"
"""A key in the metadata of the node that has made a scaled loss: it lives as long as the graph does."""


@dataclass(slots=True)
class _Astray:
    """A clip of what no optimizer that is known holds."""

    clip: Entry
    tensors: frozenset[int]


class Updates:
    """Hears of backward passes, scalers, clips and steps. In a cruise, only of what scalers return."""

    def __init__(self, history: History, docket: Docket, sites: Sites, progress: Progress, journal: Journal) -> None:
        self._history = history
        self._docket = docket
        self._sites = sites
        self._now = progress
        self._journal = journal
        self._is_scaling = False
        self._waiting = 0
        self._updated: set[int] = set()
        self._useful: set[Site] = set()
        self._aimed: set[Site] = set()
        self._shared: dict[tuple[int, int], bool] = {}
        self._astray: _Astray | None = None

    # Losses.

    def scaled(self, losses: Any) -> None:
        """A scaler has returned scaled losses."""
        for loss in (losses,) if isinstance(losses, Tensor) else _tensors(losses):
            node: Any = loss.grad_fn
            if node is not None:
                node.metadata[_MARK] = self._is_scaling = True
                self._waiting += 1

    def settle(self) -> None:
        """The scale has changed: whatever was scaled before is done with."""
        self._waiting = 0

    def backward_begins(self, entry: Entry, roots: Sequence[Any]) -> None:
        """A backward pass begins."""
        site = entry.site
        if not self._is_scaling:
            site.loss = Action.BACKWARD
            return
        known = sum(_MARK in root.grad_fn.metadata for root in roots if getattr(root, "grad_fn", None) is not None)
        if known == len(roots):
            site.loss = Action.SCALED_BACKWARD
            self._waiting = max(0, self._waiting - known)
        elif known:
            site.loss = None
        elif not self._waiting:
            site.loss = Action.BACKWARD
        elif site.visits < OFTEN or site.loss is not None:
            site.loss = None if _is_derived(roots) else Action.BACKWARD

    # Steps and scalers.

    def steps(self, account: Account, entry: Entry, frame: FrameType) -> None:
        """An optimizer is about to step; within the step of a scaler, that has told of it already."""
        for mistake in account.use.mistakes(Action.STEP) if self._is_scaling else ():
            self._ask(mistake, account, entry, frame)
        if self._astray is not None:
            self._strays(account, entry, frame)

    def stepped(self, account: Account, frame: FrameType) -> None:
        """An optimizer has stepped, or has been passed over by its scaler: clips of no effect are known by then."""
        proved, account.use.proved = account.use.proved, None
        if proved is None or proved.clip.site in self._useful:
            return
        self._journal.disturb()
        self._docket.ask(
            (account.number, proved.mistake, proved.clip.site),
            lambda: clips.misplaced(self._telling(account, proved.clip, frame), proved),
            frame,
        )

    def scaled_step(self, account: Account | None, optimizer: object, scaler: GradScaler, frame: FrameType) -> None:
        """A scaler is about to step an optimizer, or what stands for one: a wrapper of somebody's own."""
        if not scaler.is_enabled():
            return
        if account is None:
            self._stands_for(optimizer)
            return
        use = account.use
        if not _is_plain(scaler):
            use.forget()
            return
        use.through(scaler)
        entry = self._entry(Kind.STEP, frame)
        for mistake in use.mistakes(Action.SCALER_STEP):
            before = use.last.get(Action.SCALER_STEP)
            if mistake is not Mistake.NO_UPDATE:
                self._ask(mistake, account, entry, frame)
            elif before is not None and (before.site is entry.site or id(scaler) not in self._updated):
                self._ask(mistake, account, entry, frame, scaler)
        use.act(Action.SCALER_STEP, entry)
        self._journal.note(account, Operation.SCALED_STEP, entry.site)
        self._changed(account)

    def unscales(self, account: Account | None, optimizer: object, scaler: GradScaler, frame: FrameType) -> None:
        """A scaler has been asked to unscale the gradients of an optimizer, or of what stands for one."""
        if account is None:
            self._stands_for(optimizer)
            return
        use = account.use
        if not _is_plain(scaler):
            use.forget()
            return
        use.through(scaler)
        entry = self._entry(Kind.UNSCALE, frame)
        for mistake in use.mistakes(Action.UNSCALE):
            before, step = use.last.get(Action.UNSCALE), use.last.get(Action.SCALER_STEP)
            if mistake is Mistake.UNSCALED_LATE and before is not None and before.site is entry.site:
                if step is not None:  # once around the loop: what is missing is the update behind the step
                    self._ask(Mistake.NO_UPDATE, account, step, frame, scaler)
            else:
                self._ask(mistake, account, entry, frame)
        use.act(Action.UNSCALE, entry)
        self._journal.note(account, Operation.UNSCALE, entry.site)
        self._changed(account)

    def _changed(self, account: Account) -> None:
        """The gradients of an optimizer have been unscaled in place: others may hold the same."""
        for other in self._history.accounts.values() if len(self._history.accounts) > 1 else ():
            if other is account:
                continue
            key = account.number, other.number
            if key not in self._shared:
                self._shared[key] = not account.held.isdisjoint(other.held)
            if self._shared[key]:
                other.use.forget()
                self._journal.note(other, Operation.FORGET)

    def _stands_for(self, wrapper: object) -> None:
        """A scaler has unscaled, and may step, those optimizers whose parameters a wrapper has for its own."""
        groups = getattr(wrapper, "param_groups", ())
        held = {id(p) for group in groups for p in group["params"]}
        for account in self._history.accounts.values():
            if not held.isdisjoint(account.held):
                account.use.forget()
                self._journal.note(account, Operation.FORGET)

    def updated(self, scaler: GradScaler) -> None:
        """A scaler has updated its scale."""
        self._updated.add(id(scaler))
        for account in self._history.accounts.values():
            if account.use.is_through(scaler):
                account.use.act(Action.UPDATE)
                self._journal.note(account, Operation.UPDATE)

    # Clips.

    def clips(self, parameters: Sequence[Tensor], gradients: Sequence[Tensor], frame: FrameType) -> None:
        """Gradients are about to be clipped."""
        entry = self._entry(Kind.CLIP, frame)
        site = entry.site
        site.visits += 1
        self._journal.visited(site)
        ids = frozenset(map(id, parameters if site.visits < OFTEN else _sample(parameters)))
        grads = frozenset(map(id, gradients if site.visits < OFTEN else _sample(gradients)))
        touched = [account for account in self._history.accounts.values() if _touches(account, ids, grads)]
        # An optimizer that never steps has gradients that wait for nothing.
        if any(account.steps and account.use.clips in (clipping.State.FRESH, None) for account in touched):
            self._useful.add(site)
        for account in touched:
            for mistake in account.use.mistakes(Action.CLIP):
                self._ask(mistake, account, entry, frame)
            account.use.act(Action.CLIP, entry)
            if site in self._useful:
                account.use.vain = None
            self._journal.note(account, Operation.CLIP)
        if touched:
            self._useful.update([site] if site.visits >= OFTEN else ())
            self._aimed.add(site)
        elif site in self._aimed:
            return  # one call clips several networks, and not all of them are trained yet
        elif (ids or grads) and site.visits < OFTEN and self._docket.judges(clipping.Mistake.WRONG_PARAMETERS, site):
            self._journal.disturb()
            self._astray = _Astray(entry, ids | grads)

    def _strays(self, account: Account, step: Entry, frame: FrameType) -> None:
        """A step follows on a clip of what nobody is known to hold. The second time, everybody has shown."""
        astray, self._astray = self._astray, None
        if astray is None or astray.clip.site.visits < 2 or not account.fed or not is_alone():
            return

        def verdict() -> Any:
            held = (p for other in optimizers_alive() for p in parameters_of(other))
            if any(id(p) in astray.tensors or (p.grad is not None and id(p.grad) in astray.tensors) for p in held):
                return None
            return clips.astray(self._telling(account, astray.clip, frame), step)

        self._docket.ask((-1, clipping.Mistake.WRONG_PARAMETERS, astray.clip.site), verdict, frame)

    # Asking.

    def _ask(
        self, mistake: Enum, account: Account, entry: Entry, frame: FrameType, scaler: GradScaler | None = None
    ) -> None:
        key = (account.number, mistake, entry.site)
        if not self._docket.is_settled(key):
            self._journal.disturb()
        self._docket.ask(
            key, lambda: scaling.VERDICTS[Mistake(mistake)](self._telling(account, entry, frame), scaler), frame
        )

    def _telling(self, account: Account, entry: Entry, frame: FrameType) -> Telling:
        return Telling(self._history, account, entry, self._sites.user_frames(frame))

    def _entry(self, kind: Kind, frame: FrameType) -> Entry:
        """An event that begins no iteration."""
        return self._now.moment(self._sites.at(kind, frame))


def _tensors(losses: Any) -> Iterator[Tensor]:
    if isinstance(losses, Tensor):
        yield losses
    elif isinstance(losses, list | tuple):
        for item in losses:
            yield from _tensors(item)


def _is_derived(roots: Sequence[Any]) -> bool:
    """Whether a scaled loss is a part of what some tensors were made of. Takes as long as their graph is large."""
    todo = [root.grad_fn for root in roots if getattr(root, "grad_fn", None) is not None]
    seen = set(todo)
    while todo:
        node = todo.pop()
        if _MARK in node.metadata:
            return True
        followers = {follower for follower, _ in node.next_functions if follower is not None} - seen
        seen |= followers
        todo += followers
    return False


def _is_plain(scaler: GradScaler) -> bool:
    """Whether a scaler does what the one of PyTorch does: nothing is known of those that do it in their own way."""
    kind = type(scaler)
    return all(getattr(kind, name) is getattr(GradScaler, name) for name in ("scale", "unscale_", "step", "update"))


def _touches(account: Account, parameters: frozenset[int], gradients: frozenset[int]) -> bool:
    """Whether what is clipped is anything of an optimizer's."""
    if parameters:
        return not parameters.isdisjoint(account.held)
    optimizer = account.optimizer()
    return bool(gradients) and optimizer is not None and any(id(p.grad) in gradients for p in parameters_of(optimizer))


def _sample(tensors: Sequence[Tensor]) -> list[Tensor]:
    return [*tensors[:2], *tensors[-2:]]
