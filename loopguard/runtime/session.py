"""A session: the guard of a whole process, from the import of torch to the end of the program."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from loopguard.report.terminal import warn
from loopguard.runtime.arrival import on_arrival

if TYPE_CHECKING:
    from loopguard.runtime.guard import Ledger
    from loopguard.runtime.policies import OnFinding
    from loopguard.runtime.watch import Watch

_process: list[int] = []
"""The process that has a session, if there is one: a process is guarded once, however it came to that."""


class Session:
    """Watches this process. `watch` is there once torch is, and stays None where it cannot be."""

    def __init__(self, on_finding: OnFinding, ledger: Ledger) -> None:
        self.watch: Watch | None = None
        self._on_finding: OnFinding = on_finding
        self._ledger: Ledger = ledger

    def begin(self) -> bool:
        """Watch from the moment in which the program has imported torch. False if the process is watched already."""
        if _process == [os.getpid()]:
            return False
        _process[:] = [os.getpid()]
        on_arrival("torch", self._start)
        return True

    def end(self, error: BaseException | None = None) -> bool:
        """Give the last verdicts. `error` is what ended the program early. False in a process forked from this one."""
        if _process != [os.getpid()]:
            return False
        if self.watch is not None:
            from loopguard.runtime.guard import end

            end(self.watch, error)
        return True

    def _start(self) -> None:
        try:
            from loopguard.runtime.guard import new_watch

            watch = new_watch(self._on_finding, ledger=self._ledger)
            watch.start()
        except Exception as error:
            # A configuration that makes no sense, another torch than expected, a bug: the program is none the worse.
            warn(f"this run is not watched: {error}")
        else:
            self.watch = watch
