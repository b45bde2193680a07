"""`import loopguard.auto` is all it takes: from then on, the whole process is watched to its end.

The environment variable LOOPGUARD says what happens at a finding: `warn` (the default) prints it, `raise` raises it at
the line that it is about, `debug` stops there in the debugger, `off` watches nothing.
"""

from __future__ import annotations

import multiprocessing
import multiprocessing.util
import os
import sys
from typing import TYPE_CHECKING

from loopguard.errors import suggestion
from loopguard.report.terminal import warn
from loopguard.runtime.session import Session

if TYPE_CHECKING:
    from loopguard.runtime.policies import OnFinding

_POLICIES: dict[str, OnFinding] = {"warn": "warn", "raise": "raise", "debug": "debug"}


def _begin() -> None:
    wanted = os.environ.get("LOOPGUARD", "").strip().lower() or "warn"
    if wanted == "off" or multiprocessing.current_process().daemon:
        return  # daemonic processes, such as those of a DataLoader, help and do not train
    if wanted not in _POLICIES:
        near = suggestion(wanted, (*_POLICIES, "off"))
        warn(f"nothing is watched: LOOPGUARD is off, warn, raise or debug, not `{wanted}`{near}")
        return
    session = Session(_POLICIES[wanted], "auto")
    if session.begin():
        # Unlike atexit, this is heard in processes that `multiprocessing` has started, too.
        multiprocessing.util.Finalize(None, _end, args=(session,), exitpriority=100)


def _end(session: Session) -> None:
    if session.end(getattr(sys, "last_value", None)) and session.watch is not None:
        from loopguard.runtime.guard import tell_unjudged

        tell_unjudged(session.watch)


_begin()
