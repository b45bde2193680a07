"""The ledger: what each gradient is made of, one account per optimizer.

An account goes through the gradient lifecycle (`loopguard.lifecycles.gradient`) by what is observed: own clears and
steps are told by hooks, and whether a backward pass has reached the optimizer, or something else has cleared its
gradients, is seen at the gradients themselves. In the steady state two *sentinels* for each backward pass that is
written, parameters that are known to receive gradients from it, stand for all. All parameters are looked at in the
first iterations, when the sentinels disagree, when something is off, and always in a full ledger.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from weakref import ref

from torch import Tensor
from torch.optim.optimizer import Optimizer

from loopguard.case import Case
from loopguard.lifecycles.gradient import Mistake, State
from loopguard.lifecycles.scaling import Action as Using
from loopguard.runtime.entries import Discard, Entry, Window
from loopguard.runtime.gradients import Holding, Stamp, is_filled, is_same, is_zero, parameters_of, stamp, version_of
from loopguard.runtime.journal import Journal, Operation
from loopguard.runtime.movement import Movement
from loopguard.runtime.rounds import Round, Rounds
from loopguard.runtime.rows import CLEAN, FRESH, Row
from loopguard.runtime.sites import Site
from loopguard.runtime.uses import Use

_ATTENTION = 4
"""For how many backward passes all parameters are looked at when something is new."""

_TRUST = 3
"""How often gradients that looked uncleared must turn out to be zero until that is taken for the loop's way."""

_HABIT = 16
"""How often used gradients must still be there at the same point of the loop until that is taken for its way."""

_KEPT = 32
"""How many deposits are remembered one by one."""


class Account:
    """What the gradients of one optimizer are made of. The optimizer is held weakly."""

    def __init__(self, number: int, optimizer: Optimizer, full: bool, journal: Journal) -> None:
        self.number = number
        self.optimizer: Callable[[], Optimizer | None] = ref(optimizer)
        self.full = full
        self.movement = Movement()
        self.use = Use()
        self.rounds = Rounds()
        self.row = CLEAN
        self.attention = _ATTENTION
        self.depth = 0
        self.inner = False
        self.stepping: Entry | None = None
        self.scaled = 0
        self.held: frozenset[int] = frozenset()
        self.doubt: Entry | None = None
        self.deposits: list[Entry] = []
        self.last_clear: Entry | None = None
        self.last_step: Entry | None = None
        self.last_use: tuple[Entry, ...] = ()
        self.foreign: Entry | None = None
        self.windows: deque[Window] = deque(maxlen=8)
        self.discards: list[Discard] = []
        self.discarded = 0
        self.step_sites: dict[Site, list[int]] = {}
        self.clear_sites: dict[Site, None] = {}
        self.fed = 0
        self.steps = 0
        self.leftover: list[ref[Tensor]] | None = None
        self.unfed: Case | None = None
        self.contents: dict[int, tuple[Entry, ...]] = {}
        self._journal = journal
        self._trusted = 0
        self._habits: dict[tuple[Site, Site | None] | None, int] = {}
        self.applied: set[Site] = set()
        self.fed_from: dict[Site, Sequence[ref[Tensor]]] = {}
        self._sentinels: Sequence[ref[Tensor]] = ()
        self._outposts: Sequence[ref[Tensor]] = ()
        self._before: list[Stamp] = []
        self._snapshot: list[tuple[Tensor, Tensor | None, int]] = []
        self._stamp: Stamp = None
        self._filled = False
        self._holding = Holding()

    @property
    def is_used(self) -> bool:
        """Whether anything was done with the optimizer that matters to others who use it."""
        return bool(self.fed or self.steps or self.discarded or self.depth)

    def holds(self) -> frozenset[int]:
        """The ids of the parameters that the optimizer holds now."""
        optimizer = self.optimizer()
        return frozenset() if optimizer is None else self._holding.of(optimizer)

    def surrender(self) -> None:
        """Never look at a gradient again: another thread writes to them. The account is closed."""
        self.optimizer = lambda: None
        self.movement = Movement()
        self.leftover = None
        self.fed_from = {}
        self._sentinels = self._outposts = ()
        self._before, self._snapshot = [], []
        self._stamp = None

    def begin(self, optimizer: Optimizer) -> None:
        """Take over what is there already: gradients of which nothing is known count as new."""
        self.held = self.holds()
        if any(p.grad is not None for p in parameters_of(optimizer)):
            self.row = FRESH
            self.use.forget()

    @property
    def is_fed(self) -> bool:
        """Whether any step has found gradients."""
        return any(fed for fed, _ in self.step_sites.values())

    # What hooks tell.

    def clear(self, entry: Entry | None, seen: bool = True) -> Mistake | None:
        """All gradients have been cleared, by `entry` if it is known."""
        self._journal.note(self, Operation.CLEAR)
        if entry is None:
            self._journal.disturb()  # no hook tells of it
        self.use.act(Using.CLEAR)
        unused = () if self.row.state is State.SPENT else self.deposits
        self.row, mistake = self.row.clear
        self.rounds.cleared(entry.site if entry is not None else None, [item.site for item in unused])
        if mistake is not None:
            self.discarded += 1
            if len(self.discards) < _KEPT:
                self.discards.append(Discard(tuple(self.deposits), entry))
        if self.deposits:
            self.deposits.clear()
        if self.contents:
            self.contents.clear()
        self.leftover = None
        self.doubt = None
        if entry is not None:
            self.last_clear = entry
            if seen:
                self.clear_sites[entry.site] = None
        return mistake

    def suspect(self, entry: Entry) -> None:
        """Something was cleared that may be a part of this."""
        self.doubt = entry
        self._journal.note(self, Operation.DOUBT)

    def before_backward(self, site: Site) -> Mistake | None:
        """A backward pass is about to begin: see whether anything was cleared unseen, and what is there now."""
        mistake = None
        optimizer = self.optimizer()
        if optimizer is None:
            return None
        if self.row is not CLEAN:
            mistake = self._settle(optimizer, site)
        known = self.fed_from.get(site)
        if self.full or self.attention or known is None or _is_power_of_two(site.visits):
            self._snapshot = [
                (p, p.grad, -1 if p.grad is None else version_of(p.grad)) for p in parameters_of(optimizer)
            ]
        else:
            self._before = [stamp(p) for s in known or self._outposts if (p := s()) is not None]
        return mistake

    def after_backward(self, entry: Entry) -> None:
        """A backward pass is over: see whether it has reached this optimizer."""
        if self._snapshot:
            received = [p for p, grad, version in self._snapshot if _has_changed(p, grad, version)]
            if not received:
                # The next pass from here may well go elsewhere: one line of code trains many layers in turn.
                trained = [p for p, _, _ in self._snapshot if p.requires_grad]
                self._outposts = (ref(trained[0]), ref(trained[-1])) if trained else ()
            self._snapshot = []
            self._filled = self.attention > 0 and bool(received) and is_filled(received[0])
            if self.attention:
                self.attention -= 1
                self._journal.disturb()
            self.fed_from[entry.site] = (ref(received[0]), ref(received[-1])) if received else ()
            if received:
                self._sentinels = self.fed_from[entry.site]
                for p in received:
                    self.contents[id(p)] = (*self.contents.get(id(p), ())[-_KEPT:], entry)
                self.deposit(entry)
            return
        changed, self._filled = 0, False
        fed = self.fed_from.get(entry.site, ())
        known = fed or self._outposts
        for sentinel, before in zip(known, self._before, strict=False):
            parameter = sentinel()
            if parameter is not None and not is_same(parameter, before):
                changed += 1
        if changed:
            self._sentinels = known
            self.deposit(entry)
            if changed < len(known) or not fed:
                self.attention = _ATTENTION  # the sentinels disagree: the loop does something new

    def deposit(self, entry: Entry) -> None:
        """New gradients have been added."""
        self._journal.note(self, Operation.DEPOSIT)
        self.fed += 1
        self.use.receives(entry.site.loss, entry)
        self.row, _ = self.row.backward
        self.deposits.append(entry)
        if len(self.deposits) > _KEPT:
            del self.deposits[_KEPT // 2]
        if self.row.used:
            self._stamp = self._stamp_now()

    def deposit_within(self, entry: Entry) -> None:
        """A step inside of a backward pass: what has arrived by now is what it uses."""
        optimizer = self.optimizer()
        if optimizer is None or (self.deposits and self.deposits[-1] is entry):
            return
        if any(p.grad is not None for p in parameters_of(optimizer)):
            self.deposit(entry)

    def is_fed_within(self, site: Site, held: frozenset[int]) -> bool:
        """Whether what a backward pass brings goes to some parameters alone, by their ids; seen by first and last."""
        fed = [p for s in self.fed_from.get(site, ()) if (p := s()) is not None]
        return bool(fed) and all(id(p) in held for p in fed)

    def skip_backward(self) -> None:
        """A backward pass is over that was accounted for while it ran, or that has failed."""
        self._snapshot = []

    def before_step(self, *, looks: bool = True) -> Mistake | None:
        """A step is about to use what is there. The mistake that it makes.

        `looks`: what is to be found at the gradients is what the step finds there.
        """
        optimizer = self.optimizer()
        if self.row is FRESH and optimizer is not None and looks and self._is_emptied(optimizer):
            self.clear(None, seen=False)
        row = self.row
        is_unsure = row is not CLEAN if self.doubt is not None else row.state is State.SPENT
        if is_unsure and optimizer is not None:
            self._settle(optimizer)
            row = self.row
        if row is not FRESH:
            if optimizer is not None and (row is CLEAN or row.state is State.SPENT) and self._is_given(optimizer, row):
                self.row = FRESH
                self._journal.disturb()
        return self.row.step[1]

    def after_step(self, entry: Entry, *, marked: bool = False) -> None:
        """The step is over. `marked`: what it has left was marked at once."""
        self._journal.note(self, Operation.STEP, entry.site)
        self.row, mistake = self.row.step
        before, clear = self.last_step, self.last_clear
        between = clear is not None and (before is None or clear.number > before.number)
        self.rounds.stepped(
            Round(
                entry.site,
                before.site if before is not None else None,
                clear.site if clear is not None and between else None,
                tuple(dict.fromkeys([x.site for x in self.deposits if before is None or x.number > before.number])),
                mistake,
            )
        )
        self.steps += 1
        self.use.act(Using.STEP, entry)
        counts = self.step_sites.setdefault(entry.site, [0, 0])
        if mistake is Mistake.EMPTY_STEP:
            counts[1] += 1
        else:
            counts[0] += 1
            self.last_use = tuple(self.deposits)
            self.windows.append(Window(entry, self.last_use, self.discarded, mistake is None))
            self.discards.clear()
            self.discarded = 0
        self.last_step = entry
        self.foreign = None
        if not marked:
            self.mark()

    def mark(self) -> None:
        """Remember what a step has left, to see whether it is edited by hand."""
        self._stamp = self._stamp_now()

    def other_step(self) -> None:
        """Another optimizer has stepped on the same backward pass."""
        self._journal.note(self, Operation.OTHER_STEP)
        before = self.row
        self.row = before.other_step[0]
        if self.row is not before and self.deposits:
            self.foreign = self.deposits[-1]

    # What is seen at the gradients.

    def _stamp_now(self) -> Stamp:
        p = self._sentinels[0]() if self._sentinels else None
        return None if p is None else stamp(p)

    def _settle(self, optimizer: Optimizer, site: Site | None = None) -> Mistake | None:
        """Find out whether the gradients that are thought to be there have been cleared in the meantime.

        `site` is where a backward pass is about to add to them.
        """
        grads = [p.grad for s in self._sentinels if (p := s()) is not None]
        there = sum(grad is not None for grad in grads)
        exact = self.full or self.attention > 0
        if not there and not exact:
            return self.clear(self.doubt, seen=False)
        if there == len(grads) and not exact and not self.row.used and self.doubt is None:
            return None  # accumulating
        point = (self.last_step.site, site) if self.last_step is not None and self.doubt is None else None
        if self.row.used and there and not exact and self._is_habit(point):
            return None
        values = self.row.used or self.doubt is not None
        if values and there and not exact and self._trusted >= _TRUST and not _is_power_of_two(self.fed):
            return self.clear(self.doubt, seen=False)
        if (
            self.row.used
            and there
            and all(is_zero(grad) is False for grad in grads if grad is not None)
            and self._is_edited()
        ):
            self.row = FRESH  # scaled or replaced by hand: what the author makes of it is the author's
            if self.use.vain is None:  # else it was a clip that has edited them
                self.use.forget()
            self._journal.disturb()
            return None
        left = [p for p in parameters_of(optimizer) if p.grad is not None and (not values or is_zero(p.grad) is False)]
        if not left:
            self._trusted += there > 0
            return self.clear(self.doubt, seen=False)
        self._trusted = 0
        self.doubt = None
        kept = {id(p) for p in left}
        self.contents = {key: made for key, made in self.contents.items() if key in kept}
        if self.row.used:
            self._habits[point] = self._habits.get(point, 0) + 1
            self.attention = max(self.attention, 1)
            self.leftover = [ref(p) for p in left]
        return None

    def _is_emptied(self, optimizer: Optimizer) -> bool:
        """Whether the gradients of the last backward pass have gone, and no call was heard of that clears them."""
        known = set()
        for sentinel in self._sentinels:
            if (p := sentinel()) is not None:
                if p.grad is not None and not (self._filled and is_zero(p.grad)):
                    return False
                known.add(id(p))
        if not known or not self.deposits or self.doubt is not None:
            return False
        held = list(parameters_of(optimizer))
        if optimizer._optimizer_step_pre_hooks or not known <= set(map(id, held)):
            return False  # somebody has put them elsewhere, and may bring them back
        return not any(p.grad is not None and not (self._filled and is_zero(p.grad)) for p in held)

    def _is_habit(self, point: tuple[Site, Site | None] | None) -> bool:
        """Whether used gradients have often been left at a point, so that they need not be looked at each time."""
        times = self._habits.get(point, 0)
        if point is None or point[1] is None or times < _HABIT:
            return False
        self._habits[point] = times + 1
        return not _is_power_of_two(times)

    def _is_edited(self) -> bool:
        """Whether gradients were written to since the last step used them."""
        for sentinel in self._sentinels:
            p = sentinel()
            return p is not None and p.grad is not None and not is_same(p, self._stamp)
        return False

    def _is_given(self, optimizer: Optimizer, row: Row) -> bool:
        """Whether somebody has put gradients there by hand."""
        if row is not CLEAN:
            return self._is_edited()
        return any(p.grad is not None and is_zero(p.grad) is not True for p in parameters_of(optimizer))


def _has_changed(parameter: Tensor, grad: Tensor | None, version: int) -> bool:
    now = parameter.grad
    return now is not None and (now is not grad or version_of(now) != version)


def _is_power_of_two(number: int) -> bool:
    return number & (number - 1) == 0
