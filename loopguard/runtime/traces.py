"""Tracebacks as the user's program would have them, without the frames of whoever runs and watches it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FunctionType, TracebackType

_OURS = (f"{Path(__file__).parent.parent}{os.sep}", "<frozen importlib")


def show_as_theirs(launcher: Callable[..., object], afterwards: Callable[[], None]) -> None:
    """Have the exception that is about to end the process shown without the frames up to `launcher`, and ours.

    `afterwards` is called when it has been shown.
    """
    show = sys.excepthook

    def shown(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        for part in _parts(error, set()):
            part.__traceback__ = _theirs(part.__traceback__, launcher)
        try:
            show(kind, error, error.__traceback__)
        finally:
            afterwards()

    sys.excepthook = shown


def _parts(error: BaseException | None, seen: set[int]) -> Iterator[BaseException]:
    """An exception and all those that are shown with it."""
    if error is None or id(error) in seen:
        return
    seen.add(id(error))
    yield error
    yield from _parts(error.__cause__, seen)
    yield from _parts(error.__context__, seen)
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _parts(inner, seen)


def _theirs(trace: TracebackType | None, launcher: Callable[..., object]) -> TracebackType | None:
    kept: list[TracebackType] = []
    while trace is not None:
        code = trace.tb_frame.f_code
        if isinstance(launcher, FunctionType) and code is launcher.__code__:
            kept.clear()
        elif not code.co_filename.startswith(_OURS):
            kept.append(trace)
        trace = trace.tb_next
    rest: TracebackType | None = None
    for item in reversed(kept):
        rest = TracebackType(rest, item.tb_frame, item.tb_lasti, item.tb_lineno)
    return rest
