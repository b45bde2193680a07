"""Runs a program from a real file under the guard: what is found in it, and which of its lines were executed."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Literal

from loopguard.runtime.watch import Watch


@dataclass(frozen=True)
class Run:
    """What a run leaves behind: its findings as (row, code), how often each row was begun, and what ended it."""

    findings: list[tuple[int, str]]
    rows: Counter[int]
    error: Exception | None


def run(
    file: Path,
    arguments: Sequence[str] = (),
    *,
    ledger: Literal["auto", "full"] = "auto",
    extend_select: Sequence[str] = (),
) -> Run:
    """Run a program as a script, and let the guard end with it, however it ends."""
    code = compile(file.read_text("utf-8"), str(file), "exec")
    error = None
    watch = Watch(lambda record, frame: None, ledger=ledger, extend_select=extend_select)
    watch.start()
    try:
        with _arguments(file, arguments), _counting(str(file)) as rows:
            exec(code, {"__name__": "__main__", "__file__": str(file)})
    except Exception as raised:
        error = raised
    watch.stop(error)
    assert watch.failed is None, repr(watch.failed)
    assert {finding.place.path for finding in watch.findings} <= {str(file)}
    return Run(sorted((finding.place.row, finding.code) for finding in watch.findings), rows, error)


@contextmanager
def _arguments(file: Path, arguments: Sequence[str]) -> Iterator[None]:
    before, sys.argv = sys.argv, [str(file), *arguments]
    try:
        yield
    finally:
        sys.argv = before


@contextmanager
def _counting(name: str) -> Iterator[Counter[int]]:
    """Count how often each line of a file is begun."""
    rows: Counter[int] = Counter()

    def line(frame: FrameType, event: str, argument: Any) -> Any:
        if event == "line":
            rows[frame.f_lineno] += 1
        return line

    def call(frame: FrameType, event: str, argument: Any) -> Any:
        return line if frame.f_code.co_filename == name else None

    before = sys.gettrace()
    sys.settrace(call)
    try:
        yield rows
    finally:
        sys.settrace(before)
