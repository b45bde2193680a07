"""Many files in several processes, results as they come.

A process gets paths and what settings say of them, and sends back outcomes: no rule and no tree ever travels. It
is given a few files at a time, neighbours of those that it has had, as these import the same ones. Ctrl-C reaches the
parent alone, which ends the others. A process that dies takes nothing along but the file on which it died.

Where a copy of the parent is cheap to start, a process that has learned much ends, and a fresh copy takes its place:
that gives its memory back at once, where a collection of garbage would have to walk through all of it.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import connection, get_context
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from loopguard.errors import LoopguardError
from loopguard.examine import PATIENCE, Crash, Examiner, Outcome, Terms, Visit
from loopguard.footprint import Trace
from loopguard.paths import shown
from loopguard.stamps import Seen

Task = tuple[Path, Terms]
"""A file, and what its settings say about examining it."""

_AT_A_TIME = 16


Answer = tuple[list[Visit], Trace | None]
"""Some of the files, and what was found out about what their outcomes depend on."""

_Message = tuple[Answer | LoopguardError, bool]
"""What a process sends: the answer, and whether it ends now. If so, that may be about the first of the files only."""


def visit_all(tasks: Sequence[Task], roots: Sequence[Path], jobs: int, traced: bool) -> Iterator[Answer]:
    """Examine files in up to `jobs` processes, in no order. Raises what a rule's folder raises.

    If `traced`, it is found out what the outcomes depend on.
    """
    pool = _Pool(tasks, roots, traced)
    try:
        yield from pool.run(jobs)
    finally:
        pool.end()


class _Pool:
    def __init__(self, tasks: Sequence[Task], roots: Sequence[Path], traced: bool) -> None:
        self._roots = [str(root) for root in roots]
        self._traced = traced
        self._waiting = [list(tasks[at : at + _AT_A_TIME]) for at in range(0, len(tasks), _AT_A_TIME)]
        # Only where there is but one thread, and no library that minds, a copy of the process is a safe start.
        self._copies = sys.platform == "linux" and threading.active_count() == 1 and "torch" not in sys.modules
        self._context: Any = get_context("fork" if self._copies else "spawn")
        self._workers: dict[connection.Connection, BaseProcess] = {}
        self._busy: dict[connection.Connection, list[Task]] = {}
        self._last: dict[connection.Connection, int] = {}

    def run(self, jobs: int) -> Iterator[Answer]:
        if self._copies:
            from loopguard import static  # noqa: F401 -- the copies need not load it each
        for _ in range(min(jobs, len(self._waiting))):
            self._start()
        while self._busy:
            for ready in connection.wait(list(self._busy)):
                assert isinstance(ready, connection.Connection)
                yield from self._receive(ready)

    def _start(self, at: int | None = None) -> None:
        """Start a process, at one of the places that wait; by default where no other one is."""
        ours, theirs = self._context.Pipe()
        # A copy of this process has its ends of all pipes, and would wait for itself once we are gone.
        copied = [ours, *self._workers] if self._copies else None
        arguments = (theirs, self._roots, self._traced, copied)
        worker = self._context.Process(target=_work, args=arguments, daemon=True)
        with _undisturbed(), _without_current_directory():
            worker.start()
            self._workers[ours] = worker
        theirs.close()
        if at is not None:
            self._last[ours] = at
        self._give(ours)

    def _give(self, to: connection.Connection) -> None:
        if self._waiting:
            # Each works its way through a part of the tree of its own, as long as there is one.
            share = len(self._waiting) // (len(self._workers) or 1)
            at = self._last.get(to, (len(self._workers) - 1) * share)
            chunk = self._waiting.pop(min(at, len(self._waiting) - 1))
            self._last = {other: last - 1 if last > at else last for other, last in self._last.items()} | {to: at}
            self._busy[to] = chunk
            to.send(chunk)

    def _receive(self, ready: connection.Connection) -> Iterator[Answer]:
        chunk = self._busy.pop(ready)
        try:
            message: _Message = ready.recv()
        except (EOFError, OSError):
            yield from self._bury(ready, chunk)
            return
        answer, ends = message
        if isinstance(answer, LoopguardError):
            raise answer
        if ends:
            self._replace(ready, chunk[len(answer[0]) :])
        else:
            self._give(ready)
        yield answer

    def _replace(self, done: connection.Connection, left: list[Task]) -> None:
        """A process has ended as it should: have a fresh one go on where it was, with what it has left."""
        self._workers.pop(done).join()
        done.close()
        at = self._last.pop(done)
        if left:
            self._waiting.insert(at, left)
            self._last = {other: last + 1 if last >= at else last for other, last in self._last.items()}
        if self._waiting:
            self._start(at)

    def _bury(self, lost: connection.Connection, chunk: list[Task]) -> Iterator[Answer]:
        """A process has died: have its files examined one by one, to see which of them it was."""
        worker = self._workers.pop(lost)
        worker.join()
        if len(chunk) > 1:
            self._waiting += [[task] for task in chunk]
        else:
            path = shown(chunk[0][0])
            crash = Crash(path, "WorkerDied", f"its process ended with {worker.exitcode}", "")
            yield [Visit(Seen(str(chunk[0][0]), "", ""), Outcome(complete=False, crash=crash))], None
        if self._waiting:
            self._start()

    def end(self) -> None:
        """End all processes."""
        for pipe, worker in self._workers.items():
            pipe.close()
            worker.terminate()
        for worker in self._workers.values():
            worker.join()


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Have Ctrl-C wait: a process that starts here inherits that, and is never interrupted before it can ignore it."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    old = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, old)


@contextmanager
def _without_current_directory() -> Iterator[None]:
    """Have a fresh process import nothing from the current directory, where it looks until it is told where to look."""
    name = "PYTHONSAFEPATH"
    old = os.environ.get(name)
    os.environ[name] = "1"
    try:
        yield
    finally:
        if old is None:
            del os.environ[name]
        else:
            os.environ[name] = old


def _work(
    pipe: connection.Connection, roots: Sequence[str], traced: bool, copied: Sequence[connection.Connection] | None
) -> None:
    """What a process does: examine what comes, until nothing does.

    A copy of its parent is given the ends of pipes that were `copied` along. A fresh one can take its place at any
    time, so it need not forget, or clean up.
    """
    for other in copied or ():
        other.close()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    gc.set_threshold(*PATIENCE)
    gc.freeze()  # what is there from the start will stay
    examiner = Examiner([Path(root) for root in roots], traced=traced, forgets=copied is None)
    try:
        while not examiner.is_full:
            answer: Answer | LoopguardError
            try:
                answer = _visit_some(examiner, pipe.recv()), examiner.news()
            except LoopguardError as error:
                answer = error
            message: _Message = answer, examiner.is_full
            pipe.send(message)
        pipe.close()
    except (EOFError, OSError):
        pass  # the parent has what it wants, or is gone
    os._exit(0)


def _visit_some(examiner: Examiner, tasks: Sequence[Task]) -> list[Visit]:
    """Examine files, as far as that goes."""
    visits: list[Visit] = []
    for file, terms in tasks:
        visits.append(examiner.visit(file, terms))
        if examiner.is_full:
            break
    return visits
