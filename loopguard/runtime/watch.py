"""The watch: hears of every event, keeps the ledger, and tells of each mistake once.

It listens to `hooks`, finds the site of each event, counts iterations, and lets each account go through the gradient
lifecycle. Where a transition is a mistake, a verdict looks at what has happened and either has a case or is silent;
the rules name it, as they name the static engine's cases.

Whatever goes wrong in here ends the watch with one warning, and never reaches the training.
"""

from __future__ import annotations

import os
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any, Literal
from weakref import ref

import torch
from torch.optim.optimizer import Optimizer

from loopguard.case import Case
from loopguard.errors import TrainingLoopError
from loopguard.events import Kind
from loopguard.finding import Finding
from loopguard.lifecycles.gradient import Mistake
from loopguard.runtime import hooks
from loopguard.runtime.gradients import leaves_of
from loopguard.runtime.judge import Judge
from loopguard.runtime.ledger import CLEAN, Account, Entry
from loopguard.runtime.sites import Site, Sites
from loopguard.runtime.verdicts import closures, coverage, losses, stale_steps, unused_gradients, windows
from loopguard.runtime.verdicts.empty_steps import empty
from loopguard.runtime.verdicts.telling import History, Telling, Verdict
from loopguard.source import Source

_STEPS: dict[Mistake, Verdict] = {
    Mistake.STALE_STEP: stale_steps.stale,
    Mistake.REPEATED_STEP: stale_steps.repeated,
    Mistake.MIXED_STEP: stale_steps.mixed,
    Mistake.EMPTY_STEP: empty,
}
"""What looks at a step that is a mistake in the lifecycle."""

_OFTEN = 16
"""How often a verdict may be silent about a site until it is asked only now and then."""


@dataclass(slots=True)
class Record:
    """A finding, and how often the same mistake was made at the same place."""

    finding: Finding
    count: int = 1


@dataclass(slots=True)
class _Docket:
    """What has become of one mistake at one site."""

    times: int = 0
    record: Record | None = None
    dismissed: bool = False


Tell = Callable[[Record, FrameType | None], None]
"""What is done with a new record; the frame is the user's, at the event, or None at the end of the run."""


class Watch:
    """Watches the training of this process from `start` to `stop`.

    With `only`, nothing but these optimizers is judged. `ledger` is "auto" or "full": a full one looks at every
    parameter in every backward pass.
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
    ) -> None:
        self.records: list[Record] = []
        self.failed: BaseException | None = None
        self._tell = tell
        self._judge = Judge(select, extend_select, ignore)
        self._full = ledger == "full"
        self._only = None if only is None else [ref(optimizer) for optimizer in only]
        self._history = History()
        self._sites = Sites()
        self._graphs = losses.Graphs()
        self._reached = coverage.Reached()
        self._dockets: dict[tuple[int, object, Site], _Docket] = {}
        self._known: dict[tuple[str, object], Record] = {}
        self._backward: Entry | None = None
        self._depth = 0
        self._closures: dict[int, closures.Evaluations] = {}
        self._stepping: list[Account] = []
        self._late: list[Account] = []
        self._iteration = 1
        self._events = 0
        self._seen: set[tuple[int, int]] = set()
        self._made = 0
        self._process = os.getpid()
        self._thread = threading.get_ident()
        self._on = False
        for optimizer in only or ():
            self._account(optimizer)

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
        self._on = True
        hooks.listen(self)

    def stop(self, error: BaseException | None = None) -> None:
        """Give the verdicts that need the end of the run, and leave torch as it was. `error` is what ended it early."""
        if self._on:
            with self._guarded():
                if error is not None:
                    self._file(losses.number_of(error, self._sites), None)
                self._conclude()
        self._on = False
        hooks.forget(self)

    def visits(self, path: str, row: int) -> int:
        """How often an event has happened in a row of a file (as shown)."""
        return sum(s.visits for s in self._sites.all if s.row == row and s.place.path == path)

    def ledger_text(self) -> str:
        """What each gradient is made of now, for a person."""
        from loopguard.runtime.statement import statement

        return statement(self._history, self._full)

    # What the hooks tell.

    def made(self, optimizer: Optimizer) -> None:
        """An optimizer is there."""
        with self._guarded():
            self._account(optimizer)

    def wrapped(self, module: torch.nn.Module) -> None:
        """A module is trained by several processes."""

    def cleared(self, owner: Optimizer | torch.nn.Module) -> None:
        """Gradients have been cleared."""
        if not self._on:
            return
        try:
            account = self._account(owner) if isinstance(owner, Optimizer) else None
            entry = self._happens(Kind.CLEAR, account.number if account is not None else id(owner), sys._getframe(2))
            if entry.site not in self._history.clears or entry.site.visits < _OFTEN:
                self._history.clears[entry.site] = ref(owner)
            for seen in self._closures.values():
                seen.clears += 1
            for other in self._history.accounts.values():
                if other is not account and other.row is not CLEAN:
                    other.doubt = entry
            if account is not None:
                mistake = account.clear(entry)
                if mistake is not None:
                    self._ask(mistake, account, entry, lambda t: unused_gradients.never_applied(t, over=False))
        except TrainingLoopError:
            raise
        except Exception as error:
            self._fail(error)

    def backward_begins(self, roots: Sequence[Any]) -> None:
        """Gradients are about to be computed."""
        if not self._on:
            return
        self._depth += 1
        if self._depth > 1:
            return  # reentrant: a part of the pass that is going on
        try:
            frame = sys._getframe(2)
            entry = self._backward = self._happens(Kind.BACKWARD, 0, frame)
            site = entry.site
            if site not in self._history.backwards:
                self._history.backwards[site] = entry
            for seen in self._closures.values():
                seen.backwards += 1
            for account in list(self._history.accounts.values()):
                mistake = account.before_backward()
                if mistake is not None and account.last_clear is not None:
                    self._ask(
                        mistake,
                        account,
                        account.last_clear,
                        lambda t: unused_gradients.never_applied(t, over=False),
                        entry.site,
                    )
            if site.visits < _OFTEN:
                self._look_closely(entry, roots, frame)
            elif self._history.accounts and not getattr(roots[0], "requires_grad", True):
                self._file(losses.without_graph(entry, roots), frame)
        except TrainingLoopError:
            self._depth = 0
            self._backward = None
            raise
        except Exception as error:
            self._fail(error)

    def backward_ends(self, error: BaseException | None) -> None:
        """Gradients have been computed."""
        if not self._on or not self._depth:
            return
        self._depth -= 1
        if self._depth:
            return
        try:
            entry, self._backward = self._backward, None
            if entry is not None and error is None:
                for account in list(self._history.accounts.values()):
                    if account.last_step is None or account.last_step.number < entry.number:
                        account.after_backward(entry)
                    else:
                        account.skip_backward()
        except Exception as failure:
            self._fail(failure)

    def step_begins(self, optimizer: Optimizer, closure: Callable[[], Any] | None) -> Callable[[], Any] | None:
        """An optimizer is about to step."""
        if not self._on:
            return closure
        try:
            account = self._account(optimizer)
            if account is None:
                return closure
            if account.depth and not self._is_nested(optimizer):
                account.depth = 0  # the step before this one was left by an exception
                self._stepping = [other for other in self._stepping if other is not account]
            account.depth += 1
            if account.depth > 1:
                return closure  # a subclass that calls the step of its base
            if self._stepping and not self._closures:
                account.inner = True  # a part of the step of another one
            self._stepping.append(account)
            frame = sys._getframe(2)
            entry = account.stepping = self._happens(Kind.STEP, account.number, frame)
            if callable(closure):
                return self._recorded(account, entry, closure, frame)
            if self._backward is not None:
                account.deposit_within(self._backward)
            if entry.site.visits == 1 and closures.needs_closure(optimizer):
                self._file(closures.absent(self._telling(account, entry, frame)), frame)
            elif not account.inner:
                self._check_step(account, entry, frame)
        except TrainingLoopError:
            self._leave(optimizer)
            raise
        except Exception as error:
            self._fail(error)
        return closure

    def step_ends(self, optimizer: Optimizer) -> None:
        """An optimizer has stepped."""
        if not self._on:
            return
        try:
            account = self._history.account(optimizer)
            if account is None or not account.depth:
                return
            account.depth -= 1
            if account.depth or account.stepping is None:
                return
            if account in self._stepping:
                self._stepping.remove(account)
            seen = self._closures.pop(account.number, None)
            if seen is not None:
                self._check_closure(account, account.stepping, seen, optimizer)
            self._finish(account, account.stepping)
        except TrainingLoopError:
            raise
        except Exception as error:
            self._fail(error)

    def scaled_step_begins(self, optimizer: Optimizer) -> None:
        """A scaler is about to step an optimizer, or to skip the step."""
        if not self._on:
            return
        try:
            account = self._account(optimizer)
            if account is not None:
                account.scaled = self._events
        except Exception as error:
            self._fail(error)

    def scaled_step_ends(self, optimizer: Optimizer, error: BaseException | None) -> None:
        """The scaler has. A step that it skipped has used up its gradients all the same."""
        if not self._on:
            return
        try:
            account = self._history.account(optimizer)
            if account is None or account.inner:
                return
            if account.last_step is not None and account.last_step.number > account.scaled and error is None:
                return
            frame = sys._getframe(2)
            entry = self._happens(Kind.STEP, account.number, frame)
            if error is None:
                self._check_step(account, entry, frame)
                self._finish(account, entry)
            elif account.row is CLEAN and isinstance(error, AssertionError):
                self._ask(Mistake.EMPTY_STEP, account, entry, lambda t: empty(t, raises=True))
        except TrainingLoopError:
            raise
        except Exception as failure:
            self._fail(failure)

    # What comes of it.

    def _check_step(self, account: Account, entry: Entry, frame: FrameType) -> None:
        mistake = account.before_step()
        if mistake is not None:
            self._ask(mistake, account, entry, _STEPS[mistake])
        elif account.discarded:
            self._ask(unused_gradients.cleared_in_window, account, entry, unused_gradients.cleared_in_window)
            self._ask(unused_gradients.applied_outside, account, entry, unused_gradients.applied_outside)
        if account.steps < 4 and not account.inner:
            self._ask(
                coverage.missed,
                account,
                entry,
                lambda t: coverage.missed(t, self._reached, self._passes()),
            )

    def _finish(self, account: Account, entry: Entry) -> None:
        """A step is over: its gradients are used."""
        account.after_step(entry)
        if len(self._history.accounts) > 1 and account.last_use:
            last = account.last_use[-1]
            for other in self._history.accounts.values():
                if other is not account and other.deposits and other.deposits[-1] is last:
                    other.other_step()
        if account.windows and account.windows[-1].step is entry:
            sizes = account.windows[-1]
            if account.steps <= _OFTEN and (len(sizes.deposits) > 1 or account.steps > 1):
                self._ask(windows.misplaced, account, entry, windows.misplaced)
                self._ask(windows.remainder, account, entry, windows.remainder)

    def _check_closure(self, account: Account, entry: Entry, seen: closures.Evaluations, optimizer: Optimizer) -> None:
        needed = closures.needs_closure(optimizer)
        lacks = self._ask(closures.lacking, account, entry, lambda t: closures.lacking(t, seen, needed))
        mistake = account.before_step()
        if mistake is not None and seen.backwards and not account.inner and not lacks:
            self._ask(mistake, account, entry, _STEPS[mistake])

    def _recorded(
        self, account: Account, entry: Entry, closure: Callable[[], Any], frame: FrameType
    ) -> Callable[[], Any]:
        optimizer = account.optimizer()
        needed = optimizer is not None and closures.needs_closure(optimizer)

        def check(seen: closures.Evaluations) -> None:
            # The step is about to fail on a loss of None, and will not be heard of again.
            if needed and seen.returned_nothing:
                with self._guarded():
                    self._file(closures.lacking(self._telling(account, entry, frame), seen, needed), frame)

        given, self._closures[account.number] = closures.recording(closure, check)
        return given

    def _look_closely(self, entry: Entry, roots: Sequence[Any], frame: FrameType) -> None:
        """What the first passes from a site are looked at for."""
        site = entry.site
        case = losses.without_graph(entry, roots) if self._history.accounts else None
        self._file(case, frame)
        if self._graphs.watch(site, roots):
            self._ask_once(losses.Mistake.RETAINED, site, lambda: losses.retained(entry), frame)
        if site.visits == 2:
            self._reached.look(leaves_of(roots))
            self._ask_once(losses.Mistake.LAST_ONLY, site, lambda: losses.last_only(entry), frame)

    def _conclude(self) -> None:
        """The verdicts that only the end can give."""
        for account in [*self._late, *self._history.accounts.values()]:
            if account.discards and account.discards[-1].clear is not None:
                telling = Telling(self._history, account, account.discards[-1].clear, ())
                self._file(unused_gradients.never_applied(telling, over=True), None)
            if account.last_step is not None and account.deposits:
                self._file(windows.remainder(Telling(self._history, account, account.last_step, ())), None)
        for site, entry in self._history.backwards.items():
            if site.visits == 1 and any(account.steps for account in self._history.accounts.values()):
                self._file(losses.last_only(entry), None)

    def _ask(
        self, question: object, account: Account, entry: Entry, verdict: Verdict, about: Site | None = None
    ) -> bool:
        """Ask a verdict about a mistake, unless this one has been told or dismissed. Whether there is a finding."""
        key = (account.number, question, about if about is not None else entry.site)
        docket = self._dockets.get(key)
        if docket is None:
            docket = self._dockets[key] = _Docket()
        docket.times += 1
        if docket.record is not None:
            docket.record.count += 1
            return True
        if docket.dismissed or (docket.times > _OFTEN and docket.times & (docket.times - 1)):
            return False
        frame = self._sites.frame_of(sys._getframe(2))
        case = verdict(self._telling(account, entry, frame))
        if case is not None:
            docket.record = self._file(case, frame)
            docket.dismissed = docket.record is None
        return docket.record is not None

    def _ask_once(self, question: object, site: Site, verdict: Callable[[], Case | None], frame: FrameType) -> None:
        docket = self._dockets.setdefault((-1, question, site), _Docket())
        if docket.record is None:
            docket.record = self._file(verdict(), frame)

    def _telling(self, account: Account, entry: Entry, frame: FrameType) -> Telling:
        return Telling(self._history, account, entry, self._sites.user_frames(frame))

    def _file(self, case: Case | None, frame: FrameType | None) -> Record | None:
        """Let the rules name a case, and tell it if it is new. None if no rule that is on does, or it is hidden."""
        finding = self._judge.name(case) if case is not None else None
        if finding is None:
            return None
        key = (finding.code, finding.place)
        record = self._known.get(key)
        if record is not None:
            record.count += 1
            return record
        record = self._known[key] = Record(finding)
        self.records.append(record)
        self._tell(record, self._sites.frame_of(frame) if frame is not None else None)
        return record

    # Who and where.

    def _account(self, optimizer: object) -> Account | None:
        """The account of an optimizer, opened when it is first heard of."""
        account = self._history.accounts.get(id(optimizer))
        if account is not None and account.optimizer() is optimizer:
            return account
        if not isinstance(optimizer, Optimizer):
            return None
        if self._only is not None and not any(wanted() is optimizer for wanted in self._only):
            return None
        self._made += 1
        key, accounts = id(optimizer), self._history.accounts
        account = Account(self._made, optimizer, self._full)
        account.optimizer = ref(optimizer, lambda gone: self._close(key, gone))
        account.begin(optimizer)
        accounts[key] = account
        return account

    def _close(self, key: int, gone: object) -> None:
        account = self._history.accounts.get(key)
        if account is not None and account.optimizer is gone:
            del self._history.accounts[key]
            # This runs wherever the last reference went; what there is to tell waits for the end.
            if account.discards and not account.steps and len(self._late) < _OFTEN:
                self._late.append(account)

    def _happens(self, kind: Kind, subject: int, frame: FrameType) -> Entry:
        """An event: where it is, and in which iteration. One that comes again begins the next iteration."""
        site = self._sites.at(kind, frame)
        key = (site.number, subject)
        if key in self._seen:
            self._seen.clear()
            self._iteration += 1
        self._seen.add(key)
        self._events += 1
        return Entry(site, self._iteration, self._events)

    def _passes(self) -> int:
        return sum(site.visits for site in self._history.backwards)

    def _is_nested(self, optimizer: Optimizer) -> bool:
        """Whether a step of this optimizer is going on further up the stack."""
        frame: FrameType | None = sys._getframe(3)
        code = frame.f_code if frame is not None else None
        frame = frame.f_back if frame is not None else None
        while frame is not None:
            if frame.f_code is code and frame.f_locals.get("self") is optimizer:
                return True
            frame = frame.f_back
        return False

    def _leave(self, optimizer: Optimizer) -> None:
        """A step that does not take place after all."""
        account = self._history.account(optimizer)
        if account is not None:
            account.depth = 0
            self._stepping = [other for other in self._stepping if other is not account]

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            yield
        except TrainingLoopError:
            raise
        except Exception as error:
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        """A bug of the guard ends the guard, not the training."""
        self._on = False
        self.failed = error
        hooks.forget(self)
        warnings.warn(
            f"loopguard has failed and watches no longer; your training is not affected ({error!r})",
            RuntimeWarning,
            stacklevel=2,
        )
