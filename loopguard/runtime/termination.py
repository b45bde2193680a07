"""Termination: what is still to be done when a process is told to end (SIGTERM), by a launcher or a batch system."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from types import FrameType


def before_termination(action: Callable[[], None]) -> None:
    """Do something before SIGTERM ends this process as it would have. A handler that is there, or comes, goes first."""
    if signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        return

    def handle(number: int, frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        try:
            action()
        finally:
            os.kill(os.getpid(), number)

    def be_forked() -> None:
        # A worker that waits in C would not come to run a handler of Python's: it has to end at once.
        if signal.getsignal(signal.SIGTERM) is handle:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)

    signal.signal(signal.SIGTERM, handle)
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=be_forked)
