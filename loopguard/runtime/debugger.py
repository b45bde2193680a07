"""Stopping in the user's frame, in the debugger that `breakpoint()` would start.

A debugger's own `set_trace` stops where it is called or at the next line, which is inside of the guard or behind the
mistake. Here it begins its dialogue at once, in the frame that is about to make the mistake.

https://docs.python.org/3/library/sys.html#sys.breakpointhook
"""

from __future__ import annotations

import os
import sys
from bdb import BdbQuit
from collections.abc import Callable
from importlib import import_module
from pdb import Pdb
from types import FrameType
from typing import Any

COMMAND = "ledger"
"""The command of pdb and ipdb that prints the ledger."""


def stop(frame: FrameType, ledger: Callable[[], str]) -> None:
    """Stop in `frame`, with `ledger` at hand as a command.

    Whoever quits the debugger ends the program (`BdbQuit`), as with `breakpoint()`. A debugger of which it is not
    known how it stops in another frame is called as `breakpoint()` calls it.
    """
    hook = os.environ.get("PYTHONBREAKPOINT") or "pdb.set_trace"
    if sys.breakpointhook is not sys.__breakpointhook__ or hook.startswith("debugpy."):
        pydevd = sys.modules.get("pydevd")
        if pydevd is not None:
            pydevd.settrace(
                suspend=True, trace_only_current_thread=True, patch_multiprocessing=False, stop_at_frame=frame
            )
        else:
            sys.breakpointhook()
    elif hook == "pdb.set_trace":
        _interact(Pdb, frame, ledger)
    elif hook.startswith(("ipdb.", "IPython.")):
        _interact(import_module("IPython.terminal.debugger").TerminalPdb, frame, ledger)
    elif hook != "0":
        sys.breakpointhook()


def knows_ledger() -> bool:
    """Whether the debugger that will be started has the ledger as a command."""
    hook = os.environ.get("PYTHONBREAKPOINT") or "pdb.set_trace"
    return sys.breakpointhook is sys.__breakpointhook__ and hook.startswith(("pdb.", "ipdb.", "IPython."))


def _interact(kind: type[Pdb], frame: FrameType, ledger: Callable[[], str]) -> None:
    class Debugger(kind):  # type: ignore[misc, valid-type]
        def do_ledger(self, arg: str) -> None:
            """Print what each gradient is made of."""
            print(ledger(), file=self.stdout)

    debugger: Any = Debugger(skip=["loopguard", "loopguard.*"])
    debugger.reset()
    up: FrameType | None = frame
    while up is not None:
        up.f_trace = debugger.trace_dispatch
        debugger.botframe = up
        up = up.f_back
    debugger.set_step()
    debugger.interaction(frame, None)
    if debugger.quitting:
        raise BdbQuit
    if debugger.stopframe is not debugger.botframe or debugger.breaks:
        sys.settrace(debugger.trace_dispatch)  # the dialogue goes on at another line
