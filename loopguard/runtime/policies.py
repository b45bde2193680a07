"""What a finding does: it is printed, raised, debugged, or only kept."""

from __future__ import annotations

from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING, Literal

from loopguard.errors import TrainingLoopError, UsageError, suggestion
from loopguard.finding import Finding
from loopguard.report import Context, render
from loopguard.report.terminal import say, style
from loopguard.runtime import debugger

if TYPE_CHECKING:
    from loopguard.runtime.docket import Record
    from loopguard.runtime.watch import Watch

OnFinding = Literal["warn", "raise", "debug", "collect"]

Policy = Callable[["Watch", "Record", "FrameType | None"], None]
"""What is done with a new record of a watch. The frame is the user's; None where the event is over."""


def policy(name: str) -> Policy:
    """The policy of that name. Raises `UsageError` if there is none."""
    found = _POLICIES.get(name)
    if found is None:
        raise UsageError(f"`on_finding` is {', '.join(_POLICIES)}, not `{name}`{suggestion(name, _POLICIES)}")
    return found


def show(watch: Watch, finding: Finding) -> None:
    """Print a finding as `loopguard check` would, on stderr."""
    say("\n".join(render("full", [finding], Context(style(), watch.sources))))


def _warn(watch: Watch, record: Record, frame: FrameType | None) -> None:
    show(watch, record.finding)


def _raise(watch: Watch, record: Record, frame: FrameType | None) -> None:
    if frame is None:
        show(watch, record.finding)  # there is no line left at which it could be raised
    else:
        raise TrainingLoopError(record.finding)


def _debug(watch: Watch, record: Record, frame: FrameType | None) -> None:
    show(watch, record.finding)
    if frame is not None:
        again = debugger.COMMAND if debugger.knows_ledger() else "print(loopguard.ledger())"
        say(f"the ledger (`{again}` shows it again):\n{watch.ledger_text()}\n")
        debugger.stop(frame, watch.ledger_text)


def _collect(watch: Watch, record: Record, frame: FrameType | None) -> None:
    """Nothing: the watch keeps all records."""


_POLICIES: dict[str, Policy] = {"warn": _warn, "raise": _raise, "debug": _debug, "collect": _collect}
