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
from loopguard.runtime.docket import OFTEN, Docket
from loopguard.runtime.due import NOTHING, cycle_of
from loopguard.runtime.hearing import Answer, Hearing
from loopguard.runtime.journal import Act, Journal, Operation, Play
from loopguard.runtime.listener import MEANT
from loopguard.runtime.progress import Progress
from loopguard.runtime.sites import Site

_LONGEST = 2048
"""How many events the longest cycle may have that is recognised."""

_LASTING = 256
"""After how many cycles a cruise ends, so that gradients are looked at again."""

_WORTH = 4
"""How many cycles a cruise must be able to last."""


class Cruise(Hearing):
    """Listens to the hooks for a bookkeeper. `failed` is called with what has gone wrong, once."""

    def __init__(
        self,
        bookkeeper: Bookkeeper,
        docket: Docket,
        progress: Progress,
        journal: Journal,
        failed: Callable[[BaseException], None],
        *,
        enabled: bool,
    ) -> None:
        super().__init__(bookkeeper, docket, failed)
        self._progress = progress
        self._journal = journal
        self._enabled = enabled
        # What is learned: the events so far, the period in which they seem to come back, and for how long they have.
        self._log: list[Play] = []
        self._places: dict[tuple[object, ...], int] = {}
        self._period = 0
        self._matched = 0
        self._patience = 1
        # What is cruised: the cycle, and what of it is due.
        self._cycle: list[Play] = []
        self._due = NOTHING
        self._iterations = 0
        self._owners: list[ref[Any]] = []
        self._cycles = self._left = 0
        # What surrounds the events: how many there were, without clears, until this cruise began.
        self._around.clock = self._moment
        self._heard = 0

    # What the hooks tell. In a cruise, nothing but the first lines of each is run.

    def cleared(self, owner: Optimizer | torch.nn.Module) -> None:
        """Gradients have been cleared."""
        due = self._due
        if due.clear == id(owner) and due.comes_from_there():
            self._due = due.next
            return
        self._hear(Act.CLEAR, owner, lambda frame: self._bookkeeper.clear(owner, frame))

    def backward_begins(self, roots: Sequence[Any]) -> None:
        """Gradients are about to be computed."""
        due = self._due
        if due.backward and due.comes_from_there() and getattr(roots[0], "requires_grad", True):
            self._due = due.next
            return
        self.trains = True
        try:
            self._hear(Act.BACKWARD, None, lambda frame: self._bookkeeper.begin_backward(roots, frame))
        except BaseException:
            self._bookkeeper.abandon_backward()
            raise

    def backward_ends(self, error: BaseException | None) -> None:
        """Gradients have been computed, or could not be."""
        due = self._due
        if due.backward_end and error is None:
            self._due = due.next
            return
        self._hear(Act.BACKWARD_END, None, lambda frame: self._bookkeeper.end_backward(error), error)

    def step_begins(self, optimizer: Optimizer, closure: Callable[[], Any] | None) -> Callable[[], Any] | None:
        """An optimizer is about to step. Returns the closure that it is to be given."""
        due = self._due
        if due.step == id(optimizer) and closure is None and due.comes_from_there():
            self._due = due.next
            return None
        self.trains = True
        given = closure

        def begin(frame: FrameType) -> None:
            nonlocal given
            given = self._bookkeeper.begin_step(optimizer, closure, frame, self.do)

        try:
            self._hear(Act.STEP, optimizer, begin)
        except BaseException:
            self._bookkeeper.abandon(optimizer)
            raise
        return given

    def step_ends(self, optimizer: Optimizer) -> None:
        """An optimizer has stepped. Cycles end here."""
        due = self._due
        if due.step_end == id(optimizer):
            self._is_busy = True
            due.mark()
            self._is_busy = False
            self._due = due.next
            if due.is_last:
                self._left -= 1
                if not self._left:
                    self._rest()
            return
        self._hear(Act.STEP_END, optimizer, lambda frame: self._bookkeeper.end_step(optimizer, frame))

    def scaled_step_begins(self, optimizer: Optimizer, scaler: GradScaler) -> None:
        """A scaler is about to step an optimizer, or to skip the step."""
        due = self._due
        if due.scaled_step == id(optimizer):
            self._due = due.next
            return
        self._hear(
            Act.SCALED_STEP,
            optimizer,
            lambda frame: self._bookkeeper.begin_scaled_step(optimizer, scaler, frame),
        )

    def scaled_step_ends(self, optimizer: Optimizer, error: BaseException | None) -> None:
        """The scaler has, or has failed."""
        due = self._due
        if due.scaled_step_end == id(optimizer) and error is None:
            self._due = due.next
            return
        self._hear(
            Act.SCALED_STEP_END,
            optimizer,
            lambda frame: self._bookkeeper.end_scaled_step(optimizer, error, frame),
            error,
        )

    def scaled(self, scaler: GradScaler, losses: object) -> None:
        """A scaler has scaled losses."""
        self._ask(lambda: self._around.updates.scaled(losses))
        if not self._goes_by(self._due.scale, id(scaler)):
            self._hear(Act.SCALE, scaler, lambda frame: None)

    def unscale_begins(self, scaler: GradScaler, optimizer: Optimizer) -> None:
        """A scaler has been asked to unscale the gradients of an optimizer."""
        if not self._goes_by(self._due.unscale, id(optimizer)):
            self._hear(
                Act.UNSCALE,
                optimizer,
                lambda frame: self._around.updates.unscales(
                    self._bookkeeper.account(optimizer), optimizer, scaler, frame
                ),
            )

    def updated(self, scaler: GradScaler) -> None:
        """A scaler has updated its scale."""
        self._around.updates.settle()
        if not self._goes_by(self._due.update, id(scaler)):
            self._hear(Act.UPDATE, scaler, lambda frame: self._around.updates.updated(scaler))

    def clip_begins(self, parameters: Sequence[Tensor], gradients: Sequence[Tensor]) -> None:
        """Gradients are about to be clipped."""
        if not self._goes_by(self._due.clip, 1):
            self._hear(Act.CLIP, None, lambda frame: self._around.updates.clips(parameters, gradients, frame))

    def _goes_by(self, due: int, who: int) -> bool:
        """Whether an event is due, wherever it comes from."""
        if due != who:
            return False
        self._due = self._due.next
        return True

    def _moment(self) -> int:
        """How many events there were so far that are no clears."""
        cycle = self._cycle
        passed = sum(play.act is not Act.CLEAR for play in cycle) * (self._cycles - self._left) if cycle else 0
        return self._heard + passed + sum(play.act is not Act.CLEAR for play in cycle[: self._due.at])

    def do(self, work: Callable[[], Answer]) -> Answer | None:
        """Have the bookkeeper do something that is no event of the training, with its books up to date."""
        answer = None
        try:
            with self._lock:
                if self._is_interrupting():
                    return None
                try:
                    self._leave(None)
                    self._learn_anew()
                    answer = work() if self.is_on else None
                finally:
                    self._is_busy = False
            self._tell()
        except MEANT:
            raise
        except Exception as error:
            self.fail(error)
        return answer

    def visits(self) -> Counter[Site]:
        """How often there was an event at each site, those included that went by unseen."""
        cycle, times, at = self._cycle, self._cycles - self._left, self._due.at
        found = Counter({site: site.visits for site in self._bookkeeper.sites.all})
        for number, play in enumerate(cycle):
            for site in (play.site, play.aside):
                if site is not None:
                    found[site] += times + (number < at)
        return found

    # Learning.

    def _hear(
        self, act: Act, owner: Any, tell: Callable[[FrameType], None], error: BaseException | None = None
    ) -> None:
        """Let the bookkeeper enter an event that was not due, and learn from it."""
        if not self.is_on:
            return
        frame = sys._getframe(3)
        try:
            with self._lock:
                if self._is_interrupting():
                    return
                try:
                    self._leave(error)
                    play = Play(act, owner)
                    self._journal.open(play)
                    tell(frame)
                    self._heard += act is not Act.CLEAR
                    self._journal.close()
                    if self._enabled:
                        self._learn(play)
                finally:
                    self._is_busy = False
            self._tell()
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
        self._cycle, self._due = cycle, cycle_of(cycle)[0]

    # Leaving.

    def _rest(self, gone: object = None) -> None:
        """Let nothing go by any more: the next event is told to the bookkeeper. An owner of the cycle may be gone."""
        due = self._due
        while due.next is not self._due:
            due.cancel()
            due = due.next
        due.cancel()

    def _leave(self, error: BaseException | None) -> None:
        """Enter what went by unseen. `error` is what has ended the event that is going on."""
        if not self._cycle:
            return
        self._heard = self._moment()
        cycle, self._cycle = self._cycle, []
        times, at = self._cycles - self._left, self._due.at
        self._due = NOTHING
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

    def _let_go_of_owners(self) -> None:
        self._owners = []


def _until_moment(steps: int) -> int:
    """How many steps an optimizer may go by unseen: those at powers of two are looked at."""
    return (1 << steps.bit_length()) - 1 - steps
