"""Stopping in the user's frame, in the debugger that `breakpoint()` would start.

A debugger's own `set_trace` stops where it is called or at the next line, which is inside of the guard or behind the
mistake. Here it begins its dialogue at once, in the frame that is about to make the mistake.

https://docs.python.org/3/library/sys.html#sys.breakpointhook
"""

from __future__ import annotations

import inspect
import os
import pdb
import sys
from bdb import Bdb, BdbQuit
from collections.abc import Callable
from importlib import import_module
from types import CodeType, FrameType
from typing import Any

from loopguard.runtime.sites import Sites

COMMAND = "ledger"
"""The command of pdb and ipdb that prints the ledger."""


def stop(frame: FrameType, ledger: Callable[[], str]) -> None:
    """Stop in `frame`, with `ledger` at hand as a command.

    Whoever quits the debugger ends the program (`BdbQuit`), as with `breakpoint()`. A debugger of which it is not
    known how it stops in another frame is called as `breakpoint()` calls it.
    """
    hook = _hook()
    if _is_pydevd(hook):
        _suspend(hook, frame)
    elif not _takes_frame(hook):
        hook()
    elif (trace := _trace_of(hook, frame)) is not None:
        _begin(trace, frame, ledger)


def knows_ledger() -> bool:
    """Whether the debugger that will be started has the ledger as a command."""
    return _takes_frame(_hook())


def _hook() -> Callable[..., Any]:
    """What `breakpoint()` calls."""
    hook = sys.breakpointhook
    name = os.environ.get("PYTHONBREAKPOINT") or "pdb.set_trace"
    if hook is sys.__breakpointhook__ and name != "0":
        module, _, function = name.rpartition(".")
        try:
            found: Callable[..., Any] = getattr(import_module(module or "builtins"), function)
        except (ImportError, AttributeError):
            return hook  # which says what is wrong with the name, and goes on
        return found
    return hook


def _takes_frame(hook: Callable[..., Any]) -> bool:
    """Whether a hook can be told where to stop, as ipdb's can."""
    if hook is pdb.set_trace:
        return True
    try:
        return "frame" in inspect.signature(hook).parameters
    except (TypeError, ValueError):
        return False


def _trace_of(hook: Callable[..., Any], frame: FrameType) -> Callable[..., Any] | None:
    """Prepare a debugger to stop in a frame. Returns its trace function, if it is one that waits for events."""
    if hook is pdb.set_trace:
        pdb.Pdb().set_trace(frame)
    else:
        hook(frame=frame)
    trace = sys.gettrace()
    if not isinstance(getattr(trace, "__self__", None), Bdb):
        return None
    sys.settrace(None)
    return trace


def _begin(trace: Any, frame: FrameType, ledger: Callable[[], str]) -> None:
    """Let a debugger that waits for the next event begin in `frame` at once."""
    debugger = trace.__self__
    is_users = Sites().is_users

    def begin(called: FrameType, event: str, argument: Any) -> None:
        # In here nothing is traced, as in the dialogues that the debugger begins by itself; it may end tracing.
        sys.settrace(go_on)
        debugger.interaction(frame, None)
        if debugger.quitting:
            raise BdbQuit

    def go_on(called: FrameType, event: str, argument: Any) -> Any:
        return None if _is_ours(called, is_users) else trace(called, event, argument)

    def show(argument: str) -> None:
        """Print what each gradient is made of."""
        print(ledger(), file=debugger.stdout)

    setattr(debugger, f"do_{COMMAND}", show)
    sys.settrace(begin)
    _event()


def _event() -> None:
    """A call, for a trace function to hear of."""


def _is_ours(called: FrameType, is_users: Callable[[CodeType], bool]) -> bool:
    """Whether a call is the guard's work, or a part of it. Whoever single-steps does not want to see that."""
    up: FrameType | None = called
    while up is not None and not is_users(up.f_code):
        if up.f_globals.get("__name__", "").partition(".")[0] == "loopguard":
            return True
        up = up.f_back
    return False


def _is_pydevd(hook: Callable[..., Any]) -> bool:
    """Whether a hook is that of debugpy, of VS Code or of PyCharm, which share one debugger."""
    return (getattr(hook, "__module__", None) or "").partition(".")[0] in ("debugpy", "pydevd")


def _suspend(hook: Callable[..., Any], frame: FrameType) -> None:
    """Let pydevd stop, at the next line of `frame`."""
    debugpy = sys.modules.get("debugpy")
    pydevd = sys.modules.get("pydevd")
    if pydevd is None or (debugpy is not None and not debugpy.is_client_connected()):
        hook()
    else:
        pydevd.settrace(suspend=True, trace_only_current_thread=True, patch_multiprocessing=False, stop_at_frame=frame)
