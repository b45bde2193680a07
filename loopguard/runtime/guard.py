"""The ways to ask for a watch: around a block or a function, or about one optimizer."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ContextDecorator
from functools import partial
from types import FrameType, TracebackType
from typing import Literal, TypeVar
from weakref import WeakKeyDictionary, finalize

from torch.optim.optimizer import Optimizer

from loopguard.errors import UsageError
from loopguard.runtime.docket import Record
from loopguard.runtime.policies import policy
from loopguard.runtime.watch import Watch

OnFinding = Literal["warn", "raise", "debug", "collect"]
Ledger = Literal["auto", "full"]

_Optimizer = TypeVar("_Optimizer", bound=Optimizer)

_wrapped: WeakKeyDictionary[Optimizer, Watch] = WeakKeyDictionary()


class Guard(ContextDecorator):
    """Watches while its block runs, or each call of the function that it decorates.

    `on_finding` says what happens at a mistake: "warn" prints it, "raise" raises `TrainingLoopError` at the user's
    line, "debug" stops there in the debugger, "collect" keeps quiet. `ledger="full"` looks at every parameter in
    every backward pass. `select`, `extend_select` and `ignore` name rules as on the command line.
    """

    def __init__(
        self,
        *,
        on_finding: OnFinding = "warn",
        ledger: Ledger = "auto",
        select: Sequence[str] = (),
        extend_select: Sequence[str] = (),
        ignore: Sequence[str] = (),
    ) -> None:
        policy(on_finding)  # what is wrong with it shall be told here
        if ledger not in ("auto", "full"):
            raise UsageError(f"`ledger` is auto or full, not `{ledger}`")
        self._new = partial(
            new_watch, on_finding, ledger=ledger, select=select, extend_select=extend_select, ignore=ignore
        )
        self._watches: list[Watch] = []

    def __enter__(self) -> Watch:
        watch = self._new()
        self._watches.append(watch)
        watch.start()
        return watch

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._watches.pop().stop(error)


def guard(
    *,
    on_finding: OnFinding = "warn",
    ledger: Ledger = "auto",
    select: Sequence[str] = (),
    extend_select: Sequence[str] = (),
    ignore: Sequence[str] = (),
) -> Guard:
    """Watch a block (`with loopguard.guard() as watch:`) or a function (`@loopguard.guard()`). See `Guard`.

    Raises `UsageError` for a policy, a ledger or a rule that does not exist.
    """
    return Guard(on_finding=on_finding, ledger=ledger, select=select, extend_select=extend_select, ignore=ignore)


def wrap(optimizer: _Optimizer, *, on_finding: OnFinding = "warn", ledger: Ledger = "auto") -> _Optimizer:
    """Watch one optimizer for as long as it lives. Returns the very same object.

    So it is still an instance of its class, can be pickled, and is accepted wherever it was before.
    """
    if optimizer not in _wrapped:
        watch = _wrapped[optimizer] = new_watch(on_finding, ledger=ledger, only=[optimizer])
        watch.start()
        finalize(optimizer, watch.stop)
    return optimizer


def new_watch(
    on_finding: OnFinding,
    *,
    ledger: Ledger,
    select: Sequence[str] = (),
    extend_select: Sequence[str] = (),
    ignore: Sequence[str] = (),
    only: Sequence[Optimizer] | None = None,
) -> Watch:
    """A watch that does with its findings what a policy says. Warnings are printed by one of several ranks."""
    act = policy(on_finding)

    def tell(record: Record, frame: FrameType | None) -> None:
        act(watch, record, frame)

    watch = Watch(
        tell,
        ledger=ledger,
        select=select,
        extend_select=extend_select,
        ignore=ignore,
        only=only,
        once=on_finding == "warn",
    )
    return watch
