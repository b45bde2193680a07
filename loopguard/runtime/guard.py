"""The ways to ask for a watch: around a block or a function, or about one optimizer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from functools import partial, wraps
from inspect import iscoroutinefunction, isgeneratorfunction
from threading import current_thread, main_thread
from types import FrameType, TracebackType
from typing import Any, Literal, TypeVar, cast
from weakref import WeakKeyDictionary, finalize

from torch.optim.optimizer import Optimizer

from loopguard.errors import UsageError
from loopguard.report.terminal import say
from loopguard.runtime import threads
from loopguard.runtime.docket import Record
from loopguard.runtime.policies import OnFinding, policy
from loopguard.runtime.watch import Watch

Ledger = Literal["auto", "full"]

_Function = TypeVar("_Function", bound=Callable[..., Any])
_Optimizer = TypeVar("_Optimizer", bound=Optimizer)

_wrapped: WeakKeyDictionary[Optimizer, Watch] = WeakKeyDictionary()


class Guard:
    """Watches while its block runs, or during each call of the function that it decorates.

    `on_finding` says what happens at a mistake: "warn" prints it, "raise" raises `TrainingLoopError` at the user's
    line, "debug" stops there in the debugger, "collect" keeps quiet. `ledger="full"` looks at every parameter in
    every backward pass. `select`, `extend_select` and `ignore` name rules as on the command line.

    A guard that begins in the main thread watches all threads, one that begins in another watches that one.
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
        self._on_finding: OnFinding = on_finding
        self._new = partial(
            new_watch, on_finding, ledger=ledger, select=select, extend_select=extend_select, ignore=ignore
        )
        self._watches: list[tuple[Watch, Any]] = []

    def __enter__(self) -> Watch:
        watch = self._new(everywhere=current_thread() is main_thread())
        # An interrupt may come before `__exit__` does anything. Then the watch ends with this object.
        last_resort = finalize(self, watch.forget)
        self._watches.append((watch, last_resort))
        try:
            watch.start()
        except BaseException:
            watch.forget()
            self._watches.pop()
            raise
        return watch

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        watch, last_resort = self._watches[-1]
        try:
            end(watch, error)
            if self._on_finding != "collect":
                tell_unjudged(watch)
        finally:
            try:
                watch.forget()
            except BaseException:  # an interrupt; this may be done again, and has to be done
                watch.forget()
                raise
            finally:
                self._watches.pop()
        last_resort.detach()

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
        watch = new_watch(on_finding, ledger=ledger, only=[optimizer])
        try:
            watch.start()
            finalize(optimizer, end, watch)
            _wrapped[optimizer] = watch
        except BaseException:
            watch.forget()
            raise
    return optimizer


def ledger() -> str:
    """What each gradient is made of now, as the innermost guard knows it: one paragraph an optimizer."""
    watches = [audience for audience in threads.audiences if isinstance(audience, Watch)]
    return watches[-1].ledger_text() if watches else "no guard is watching"


def end(watch: Watch, error: BaseException | None = None) -> None:
    """Let a watch give its last verdicts and end. `error` is what ended it early. A second time does nothing."""
    watch.stop(error)


def tell_unjudged(watch: Watch) -> None:
    """Say so if a watch could not judge everything."""
    if watch.unjudged:
        are = "1 optimizer was" if watch.unjudged == 1 else f"{watch.unjudged} optimizers were"
        say(f"loopguard: warning: {are} not judged to the end: several threads train the same parameters")


def new_watch(
    on_finding: OnFinding,
    *,
    ledger: Ledger,
    select: Sequence[str] = (),
    extend_select: Sequence[str] = (),
    ignore: Sequence[str] = (),
    only: Sequence[Optimizer] | None = None,
    everywhere: bool = True,
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
        everywhere=everywhere,
    )
    return watch
