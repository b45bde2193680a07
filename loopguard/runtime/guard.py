"""The ways to ask for a watch: around a block or a function, or about one optimizer."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ContextDecorator
from types import TracebackType
from typing import Literal, TypeVar
from weakref import WeakKeyDictionary, finalize

from torch.optim.optimizer import Optimizer

from loopguard.errors import UsageError
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
        if ledger not in ("auto", "full"):
            raise UsageError(f"`ledger` is auto or full, not `{ledger}`")
        self._tell = policy(on_finding)
        self._ledger: Ledger = ledger
        self._once = on_finding == "warn"
        self._rules: tuple[Sequence[str], Sequence[str], Sequence[str]] = (select, extend_select, ignore)
        self._watches: list[Watch] = []

    def __enter__(self) -> Watch:
        select, extend_select, ignore = self._rules
        watch = Watch(
            self._tell,
            ledger=self._ledger,
            select=select,
            extend_select=extend_select,
            ignore=ignore,
            once=self._once,
        )
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
        watch = Watch(policy(on_finding), ledger=ledger, only=[optimizer])
        _wrapped[optimizer] = watch
        watch.start()
        finalize(optimizer, watch.stop)
    return optimizer
