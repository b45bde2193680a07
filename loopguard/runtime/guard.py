"""The ways to ask for a watch: around a block or a function, or about one optimizer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from functools import partial, wraps
from inspect import iscoroutinefunction, isgeneratorfunction
from types import FrameType, TracebackType
from typing import Any, Literal, TypeVar, cast
from weakref import WeakKeyDictionary, finalize

from torch.optim.optimizer import Optimizer

from loopguard.errors import UsageError
from loopguard.runtime.docket import Record
from loopguard.runtime.policies import OnFinding, policy
from loopguard.runtime.watch import Watch

Ledger = Literal["auto", "full"]

_Function = TypeVar("_Function", bound=Callable[..., Any])
_Optimizer = TypeVar("_Optimizer", bound=Optimizer)

_active: list[Watch] = []
_wrapped: WeakKeyDictionary[Optimizer, Watch] = WeakKeyDictionary()


class Guard:
    """Watches while its block runs, or during each call of the function that it decorates.

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
        begin(watch)
        return watch

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        end(self._watches.pop(), error)

    def __call__(self, function: _Function) -> _Function:
        """Watch each call of a function, of a coroutine or generator function from its first to its last line."""
        # A watch for each call: threads may be in the same function, and a function may call itself.
        if iscoroutinefunction(function):

            @wraps(function)
            async def coroutine(*args: Any, **kwargs: Any) -> Any:
                with self._another():
                    return await function(*args, **kwargs)

            return cast(_Function, coroutine)
        if isgeneratorfunction(function):

            @wraps(function)
            def generator(*args: Any, **kwargs: Any) -> Any:
                with self._another():
                    return (yield from function(*args, **kwargs))

            return cast(_Function, generator)

        @wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            with self._another():
                return function(*args, **kwargs)

        return cast(_Function, call)

    def _another(self) -> Guard:
        other = copy(self)
        other._watches = []
        return other


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
        begin(watch)
        finalize(optimizer, end, watch)
    return optimizer


def ledger() -> str:
    """What each gradient is made of now, as the innermost guard knows it: one paragraph an optimizer."""
    return _active[-1].ledger_text() if _active else "no guard is watching"


def begin(watch: Watch) -> None:
    """Let a watch begin."""
    watch.start()
    _active.append(watch)


def end(watch: Watch, error: BaseException | None = None) -> None:
    """Let a watch that has begun give its last verdicts and end. `error` is what ended it early."""
    if watch in _active:
        _active.remove(watch)
        watch.stop(error)


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
