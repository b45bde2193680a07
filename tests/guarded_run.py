"""Runs a program from a real file under the guard."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from loopguard.runtime.watch import Watch

Ledger = Literal["auto", "full"]


@dataclass(frozen=True)
class Run:
    """What a run leaves behind: its watch, its findings as (row, code), and what ended it."""

    watch: Watch
    findings: list[tuple[int, str]]
    error: Exception | None


def run(
    file: Path,
    arguments: Sequence[str] = (),
    *,
    ledger: Ledger = "auto",
    extend_select: Sequence[str] = (),
) -> Run:
    """Run a program as a script, and let the guard end with it, however it ends."""
    code = compile(file.read_text("utf-8"), str(file), "exec")
    error = None
    watch = Watch(lambda record, frame: None, ledger=ledger, extend_select=extend_select)
    watch.start()
    try:
        with _arguments(file, arguments):
            exec(code, {"__name__": "__main__", "__file__": str(file)})
    except Exception as raised:
        error = raised
    watch.stop(error)
    assert watch.failed is None, repr(watch.failed)
    assert {finding.place.path for finding in watch.findings} <= {str(file)}
    return Run(watch, sorted((finding.place.row, finding.code) for finding in watch.findings), error)


@contextmanager
def _arguments(file: Path, arguments: Sequence[str]) -> Iterator[None]:
    before, sys.argv = sys.argv, [str(file), *arguments]
    try:
        yield
    finally:
        sys.argv = before
