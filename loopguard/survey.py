"""All files of a run: what the cache knows is taken from it; the rest is examined, by many processes if it is much."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from loopguard.examine import Examiner, Outcome, Terms, Visit

if TYPE_CHECKING:
    from loopguard.cache import Cache
    from loopguard.footprint import Trace

_WORTHWHILE = 250_000
"""From how many bytes that need an analysis on other processes pay for their start."""


class Survey:
    """Examines the files of a run. `terms` gives what a file's settings say about examining it."""

    def __init__(self, terms: Callable[[Path], Terms], roots: Sequence[Path], cache: Cache | None, jobs: int) -> None:
        self._examiner = Examiner(roots, traced=cache is not None)
        self._terms = terms
        self._roots = roots
        self._cache = cache
        self._jobs = jobs

    def outcomes(self, files: Sequence[Path]) -> Iterator[tuple[Path, Outcome]]:
        """The outcome for each file, in no order."""
        keys: dict[Terms, str] = {}
        unknown: list[tuple[Path, Terms]] = []
        for file in files:
            terms = self._terms(file)
            if self._cache is not None and terms not in keys:
                keys[terms] = _key(terms)
            known = self._cache.find(str(file), keys[terms]) if self._cache is not None else None
            if known is not None:
                yield file, known
            else:
                unknown.append((file, terms))
        asked = dict(unknown)
        for visit in self._visits(unknown):
            file = Path(visit.seen.path)
            if self._cache is not None:
                self._cache.store(visit, keys[asked[file]])
            yield file, visit.outcome
        if self._cache is not None:
            self._cache.save()

    def _visits(self, tasks: Sequence[tuple[Path, Terms]]) -> Iterator[Visit]:
        """Visit files: at once those with nothing to analyse, and the others when it is known how much they are."""
        waiting: list[tuple[Path, Terms]] = []
        size = 0
        if self._jobs == 1:
            waiting, tasks = [*tasks], ()
        for at, (file, terms) in enumerate(tasks):
            visit = self._examiner.glance(file, terms)
            if visit is not None:
                yield visit
                continue
            waiting.append((file, terms))
            size += _size(file)
            if size > _WORTHWHILE and len(waiting) > 1:
                from loopguard.pool import visit_all

                traced = self._cache is not None
                for visits, trace in visit_all([*waiting, *tasks[at + 1 :]], self._roots, self._jobs, traced):
                    self._learn(trace)
                    yield from visits
                return
        for file, terms in waiting:
            yield self._examiner.visit(file, terms)
            self._learn(self._examiner.news())

    def _learn(self, trace: Trace | None) -> None:
        if self._cache is not None and trace is not None:
            self._cache.learn(trace)


def processors() -> int:
    """How many processes this one may keep busy."""
    affinity: Callable[[int], set[int]] | None = getattr(os, "sched_getaffinity", None)
    return min(len(affinity(0)) if affinity is not None else os.cpu_count() or 1, 16)


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return 0


def _key(terms: Terms) -> str:
    from loopguard.cache import terms_key

    return terms_key(terms)
