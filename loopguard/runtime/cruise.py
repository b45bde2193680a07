"""Cruise: what makes the guard cheap. A loop does the same thing a million times, and has to be understood once.

It hears of each event first. While the run is new, it hands events on to the bookkeeper and takes down what they come
to. Once a cycle of events has come back exactly, from the same lines and with the same outcome, it only compares each
event with the one that is due, and lets it go by. The first that is not due ends the cruise: what went by is entered
into the ledger as it went before, and the bookkeeper goes on as if it had seen it all. So does a cruise that has
lasted long, so that everything is looked at in full now and then.

It is also what stands between the guard and the training: whatever goes wrong behind it is not let out.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any
from weakref import ref

import torch
from torch import Tensor
from torch.amp import GradScaler
from torch.optim.optimizer import Optimizer

from loopguard.runtime.bookkeeper import Bookkeeper
from loopguard.runtime.docket import OFTEN
from loopguard.runtime.hearing import Answer, Hearing
from loopguard.runtime.journal import Act, Journal, Operation, Play
from loopguard.runtime.listener import MEANT
from loopguard.runtime.progress import Progress

_LONGEST = 2048
"""How many events the longest cycle may have that is recognised."""

_LASTING = 256
"""After how many cycles a cruise ends, so that gradients are looked at again."""

_WORTH = 4
"""How many cycles a cruise must be able to last."""

_Whence = tuple[int, int, int, tuple[tuple[int, int], ...]]
"""How far up the stack an event comes from, which instruction of which code, and those that have called it."""

_NOWHERE = [0]


class Cruise(Hearing):
    """Listens to the hooks for a bookkeeper. `failed` is called with what has gone wrong, once."""

    def __init__(
        self,
        bookkeeper: Bookkeeper,
        progress: Progress,
        journal: Journal,
        failed: Callable[[BaseException], None],
        *,
        enabled: bool,
    ) -> None:
        super().__init__(bookkeeper)
        self._progress = progress
        self._journal = journal
        self._failed = failed
        self._enabled = enabled
        # What is learned: the events so far, the period in which they seem to come back, and for how long they have.
        self._log: list[Play] = []
        self._places: dict[tuple[object, ...], int] = {}
        self._period = 0
        self._matched = 0
        self._patience = 1
        # What is cruised: the cycle, and for each of its places the id of who is due, in the list of what is due.
        self._cycle: list[Play] = []
        self._iterations = 0
        self._owners: list[ref[Any]] = []
        self._whence: list[_Whence | None] = []
        self._marks: list[Callable[[], None]] = []
        self._at = self._last = 0
        self._cycles = self._left = 0
        self._next = _NOWHERE
        # What surrounds the events: how many there were, without clears, until this cruise began.
        self._around.clock = self._moment
        self._heard = 0
        self._rest()

    # What the hooks tell. In a cruise, nothing but the first lines of each is run.

    def cleared(self, owner: Optimizer | torch.nn.Module) -> None:
        """Gradients have been cleared."""
        at = self._at
        if self._clears[at] == id(owner) and self._is_at(at):
            self._at = self._next[at]
            return
        self._hear(Act.CLEAR, owner, lambda: self._bookkeeper.clear(owner, sys._getframe(4)))

    def backward_begins(self, roots: Sequence[Any]) -> None:
        """Gradients are about to be computed."""
        at = self._at
        if self._backwards[at] and self._is_at(at) and getattr(roots[0], "requires_grad", True):
            self._at = self._next[at]
            return
        try:
            self._hear(Act.BACKWARD, None, lambda: self._bookkeeper.begin_backward(roots, sys._getframe(4)))
        except BaseException:
            self._bookkeeper.abandon_backward()
            raise

    def backward_ends(self, error: BaseException | None) -> None:
        """Gradients have been computed, or could not be."""
        at = self._at
        if self._backward_ends[at] and error is None:
            self._at = self._next[at]
            return
        self._hear(Act.BACKWARD_END, None, lambda: self._bookkeeper.end_backward(error), error)

    def step_begins(self, optimizer: Optimizer, closure: Callable[[], Any] | None) -> Callable[[], Any] | None:
        """An optimizer is about to step. Returns the closure that it is to be given."""
        at = self._at
        if self._steps[at] == id(optimizer) and closure is None and self._is_at(at):
            self._at = self._next[at]
            return None
        given = closure

        def begin() -> None:
            nonlocal given
            given = self._bookkeeper.begin_step(optimizer, closure, sys._getframe(4), self.do)

        try:
            self._hear(Act.STEP, optimizer, begin)
        except BaseException:
            self._bookkeeper.abandon(optimizer)
            raise
        return given

    def step_ends(self, optimizer: Optimizer) -> None:
        """An optimizer has stepped. Cycles end here."""
        at = self._at
        if self._step_ends[at] == id(optimizer):
            self._marks[at]()
            self._at = self._next[at]
            if at == self._last:
                self._left -= 1
                if not self._left:
                    self._rest()
            return
        self._hear(Act.STEP_END, optimizer, lambda: self._bookkeeper.end_step(optimizer, sys._getframe(4)))

    def scaled_step_begins(self, optimizer: Optimizer, scaler: GradScaler) -> None:
        """A scaler is about to step an optimizer, or to skip the step."""
        at = self._at
        if self._scaled[at] == id(optimizer):
            self._at = self._next[at]
            return
        self._hear(
            Act.SCALED_STEP,
            optimizer,
            lambda: self._bookkeeper.begin_scaled_step(optimizer, scaler, sys._getframe(4)),
        )

    def scaled_step_ends(self, optimizer: Optimizer, error: BaseException | None) -> None:
        """The scaler has, or has failed."""
        at = self._at
        if self._scaled_ends[at] == id(optimizer) and error is None:
            self._at = self._next[at]
            return
        self._hear(
            Act.SCALED_STEP_END,
            optimizer,
            lambda: self._bookkeeper.end_scaled_step(optimizer, error, sys._getframe(4)),
            error,
        )

    def scaled(self, scaler: GradScaler, losses: object) -> None:
        """A scaler has scaled losses."""
        self._ask(lambda: self._around.updates.scaled(losses))
        if not self._goes_by(self._scales, id(scaler)):
            self._hear(Act.SCALE, scaler, _nothing)

    def unscale_begins(self, scaler: GradScaler, optimizer: Optimizer) -> None:
        """A scaler has been asked to unscale the gradients of an optimizer."""
        if not self._goes_by(self._unscales, id(optimizer)):
            self._hear(
                Act.UNSCALE,
                optimizer,
                lambda: self._around.updates.unscales(self._bookkeeper.account(optimizer), scaler, sys._getframe(4)),
            )

    def updated(self, scaler: GradScaler) -> None:
        """A scaler has updated its scale."""
        self._around.updates.settle()
        if not self._goes_by(self._updates, id(scaler)):
            self._hear(Act.UPDATE, scaler, lambda: self._around.updates.updated(scaler))

    def clip_begins(self, parameters: Sequence[Tensor], gradients: Sequence[Tensor]) -> None:
        """Gradients are about to be clipped."""
        if not self._goes_by(self._clips, 1):
            self._hear(Act.CLIP, None, lambda: self._around.updates.clips(parameters, gradients, sys._getframe(4)))

    def _goes_by(self, due: list[int], who: int) -> bool:
        """Whether an event is due, wherever it comes from."""
        at = self._at
        if due[at] != who:
            return False
        self._at = self._next[at]
        return True

    def _moment(self) -> int:
        """How many events there were so far that are no clears."""
        cycle = self._cycle
        passed = sum(play.act is not Act.CLEAR for play in cycle) * (self._cycles - self._left) if cycle else 0
        return self._heard + passed + sum(play.act is not Act.CLEAR for play in cycle[: self._at])

    def do(self, work: Callable[[], Answer]) -> Answer | None:
        """Have the bookkeeper do something that is no event of the training, with its books up to date."""
        try:
            self._leave(None)
            self._learn_anew()
            return work() if self._is_on else None
        except MEANT:
            raise
        except Exception as error:
            self.fail(error)
        return None

    def _is_at(self, at: int) -> bool:
        """Whether an event of the user's comes from the line that it is due from."""
        whence = self._whence[at]
        if whence is None:
            return True  # a part of another event
        depth, code, offset, callers = whence
        try:
            frame: FrameType | None = sys._getframe(depth)
        except ValueError:  # the stack is not even that deep
            return False
        if frame is None or id(frame.f_code) != code or frame.f_lasti != offset:
            return False
        for code, offset in callers:
            frame = frame.f_back
            if frame is None or id(frame.f_code) != code or frame.f_lasti != offset:
                return False
        return True

    # Learning.

    def _hear(self, act: Act, owner: Any, tell: Callable[[], None], error: BaseException | None = None) -> None:
        """Let the bookkeeper enter an event that was not due, and learn from it."""
        if not self._is_on:
            return
        try:
            self._leave(error)
            play = Play(act, owner)
            self._journal.open(play)
            tell()
            self._heard += act is not Act.CLEAR
            self._journal.close()
            if self._enabled:
                self._learn(play)
        except MEANT:
            self._learn_anew()
            raise
        except Exception as failure:
            self.fail(failure)

    def _learn(self, play: Play) -> None:
        """See whether events come back in a cycle, and cruise once one has."""
        if self._journal.disturbed or len(self._log) > 4 * _LONGEST:
            self._learn_anew()
            return
        play.account = self._bookkeeper.history.account(play.owner()) if play.owner is not None else None
        play.iteration = self._progress.iteration
        now, log = len(self._log), self._log
        if self._period and log[now - self._period].is_like(play):
            self._matched += 1
        else:
            before = self._places.get(play.token)
            self._period = now - before if before is not None else 0
            self._matched = 0
        self._places[play.token] = now
        log.append(play)
        if play.act is Act.STEP_END and self._period and self._matched >= self._period * self._patience:
            self._set_out()

    def _learn_anew(self) -> None:
        self._log.clear()
        self._places.clear()
        self._period = self._matched = 0

    def _set_out(self) -> None:
        """Begin to cruise, if nothing is due that has to be looked at."""
        cycle = self._log[-self._period :]
        stepped = Counter(account for play in cycle for account, done, _ in play.done if done is Operation.STEP)
        involved = {account for play in cycle for account, _, _ in play.done}
        lasting = min((_until_moment(account.steps) // times for account, times in stepped.items()), default=0)
        if (
            len(cycle) > _LONGEST
            or lasting < _WORTH
            or self._progress.depth
            or self._progress.stepping
            or any(account.attention for account in involved)
            or any(play.depth < 0 for play in cycle)
            or any(account.steps < OFTEN for account in stepped)
        ):
            return
        self._owners = [ref(owner, self._rest) for play in cycle if play.owner and (owner := play.owner()) is not None]
        if len(self._owners) < sum(play.owner is not None for play in cycle):
            return  # somebody is gone
        self._iterations = cycle[-1].iteration - self._log[-1 - self._period].iteration
        self._cycles = self._left = min(_LASTING, lasting)
        self._learn_anew()
        self._whence = [_whence(play) for play in cycle]
        self._marks = [_nothing if play.account is None else play.account.mark for play in cycle]
        self._at, self._last = 0, len(cycle) - 1
        self._next = [*range(1, len(cycle)), 0]
        due = [(play.act, id(play.owner()) if play.owner is not None else 1) for play in cycle]
        self._cycle = cycle
        (
            self._clears,
            self._backwards,
            self._backward_ends,
            self._steps,
            self._step_ends,
            self._scaled,
            self._scaled_ends,
            self._scales,
            self._unscales,
            self._updates,
            self._clips,
        ) = ([owner if act is wanted else 0 for act, owner in due] for wanted in Act)

    # Leaving.

    def _rest(self, gone: object = None) -> None:
        """Let nothing go by any more: the next event is told to the bookkeeper. An owner of the cycle may be gone."""
        nothing = _NOWHERE * len(self._next)
        self._clears = self._backwards = self._backward_ends = nothing
        self._steps = self._step_ends = self._scaled = self._scaled_ends = nothing
        self._scales = self._unscales = self._updates = self._clips = nothing

    def _leave(self, error: BaseException | None) -> None:
        """Enter what went by unseen. `error` is what has ended the event that is going on."""
        if not self._cycle:
            return
        self._heard = self._moment()
        cycle, self._cycle = self._cycle, []
        times, at = self._cycles - self._left, self._at
        self._rest()
        self._at = self._last = 0
        self._patience = 1 if not self._left or times >= OFTEN else min(2 * self._patience, 64)
        if times:
            self._progress.skip(cycle, times - 1, self._iterations)
        for play in [*(cycle if times else ()), *cycle[:at]]:
            self._progress.repeat(play)
        if not self._left:
            for account in {account for play in cycle for account, _, _ in play.done}:
                account.attention = max(account.attention, 1)
        if self._progress.backward is not None and error is None:
            # A pass is going on, and what was there before it is not known: it reaches what it has always reached.
            end = next((play for play in cycle[at:] if play.act is Act.BACKWARD_END and play.done), None)
            self._progress.redo(end.done if end is not None else (), None)
        if self._progress.backward is not None:
            self._progress.backward = None

    def stop(self) -> None:
        """Hear of nothing any more, not even that somebody is gone: that may come when little is left to hear it."""
        self._is_on = False
        self._owners = []

    def fail(self, error: BaseException) -> None:
        """A bug of the guard ends the guard, not the training."""
        if self._is_on:
            self._is_on = False
            self._owners = []
            self._failed(error)


def _nothing() -> None:
    """Nobody has stepped whose gradients are to be marked."""


def _whence(play: Play) -> _Whence | None:
    """Where an event comes from, as seen from `_is_at`. None for a part of another event."""
    if play.site is None:
        return None
    code, offset, *callers = play.site.frames
    return 3 + play.depth, code, offset, tuple(zip(callers[::2], callers[1::2], strict=True))


def _until_moment(steps: int) -> int:
    """How many steps an optimizer may go by unseen: those at powers of two are looked at."""
    return (1 << steps.bit_length()) - 1 - steps
