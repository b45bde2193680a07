"""Where the time of `loopguard check` goes in one process, over a tree: a table, or the candidates as JSON."""

from __future__ import annotations

import ast
import gc
import json
import resource
import sys
from collections import Counter
from collections.abc import Callable
from importlib import import_module
from io import StringIO
from pathlib import Path
from time import process_time
from typing import Any

import libcst

from loopguard.check import Checker
from loopguard.config import Options
from loopguard.discover import discover
from loopguard.examine import EVENT, PATIENCE
from loopguard.report import Context, render
from loopguard.report.style import choose
from loopguard.settings import Resolver


class Clock:
    """Seconds by phase; what one phase spends in another counts for the other."""

    def __init__(self) -> None:
        self.spent: Counter[str] = Counter()
        self.bytes: Counter[str] = Counter()
        self._inner: list[float] = []

    def watch(self, owner: object, name: str, phase: str, *, sized: bool = False) -> None:
        """Count the time of a function for a phase from now on."""
        function: Callable[..., Any] = getattr(owner, name)

        def watched(*given: Any, **named: Any) -> Any:
            if sized:
                self.bytes[phase] += len(given[0])
            return self.measure(phase, lambda: function(*given, **named))

        setattr(owner, name, watched)

    def measure(self, phase: str, work: Callable[[], Any]) -> Any:
        """Do something for a phase."""
        start = process_time()
        self._inner.append(0.0)
        try:
            return work()
        finally:
            whole = process_time() - start
            self.spent[phase] += whole - self._inner.pop()
            if self._inner:
                self._inner[-1] += whole


def main() -> None:
    """Measure and print."""
    gc.set_threshold(*PATIENCE)  # as the command does
    tree = Path(sys.argv[-1])
    resolver = Resolver(Options(base=str(Path.cwd())), None, True)
    clock = Clock()
    files = clock.measure("discovery", lambda: discover([tree], resolver, print))
    sizes: dict[Path, int] = {}
    candidates: list[Path] = []

    def prefilter() -> None:
        for file in files:
            data = file.read_bytes()
            sizes[file] = len(data)
            if EVENT.search(data):
                candidates.append(file)

    clock.measure("prefilter", prefilter)
    if "--candidates" in sys.argv:
        print(json.dumps([str(file) for file in candidates if file.suffix == ".py"]))
        return
    analyse = import_module("loopguard.static.analyse")
    cases = analyse._cases
    analyse._cases = lambda *given: list(cases(*given))
    clock.watch(ast, "parse", "parse", sized=True)
    clock.watch(import_module("loopguard.static.bare.tree"), "bare_module", "bare nodes")
    clock.watch(libcst, "parse_module", "libcst", sized=True)
    for function in ("lower_module", "lower_function", "lower_process"):
        clock.watch(analyse, function, "lower")
    clock.watch(analyse, "_cases", "solve")
    checker = Checker(resolver, [tree.absolute()])

    def check() -> None:
        for file in candidates:
            checker.check(file)

    clock.measure("the rest", check)

    def report() -> None:
        found = checker.finish()
        context = Context(choose("never", False, {}), found.source)
        StringIO().writelines(render("full", found.findings, context))

    clock.measure("report", report)
    whole = sum(clock.spent.values())
    megabytes = sum(sizes[file] for file in candidates) / 1e6
    print(f"{len(files)} files, {sum(sizes.values()) / 1e6:.1f} MB; {len(candidates)} candidates, {megabytes:.1f} MB")
    print(f"{'one process':20} {'seconds':>8} {'share':>7} {'MB':>7}")
    for phase in ("discovery", "prefilter", "parse", "bare nodes", "libcst", "lower", "solve", "report", "the rest"):
        size = f"{clock.bytes[phase] / 1e6:7.1f}" if clock.bytes[phase] else ""
        print(f"{phase:20} {clock.spent[phase]:8.2f} {clock.spent[phase] / whole:7.0%} {size}".rstrip())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{'together':20} {whole:8.2f}   peak memory {peak:.0f} MB")


if __name__ == "__main__":
    main()
