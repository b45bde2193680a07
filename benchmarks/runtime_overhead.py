"""What a guard adds to a training step, as a ratio to the same step without it, measured in one run.

README.md beside this file says what the rows and columns mean.

Blocks of steps with and without the guard take turns in one process and on one model, in the order A B B A. A block
without it is without any trace of it: its listener is taken from the hooks, and the patches leave torch with it. In
a block with it they are back, and the same watch carries on where it left off. A block is whole iterations, so the
watch sees one long run with nothing missing in it. That run is long enough to be known when the clock starts, which is
what the steps of a training cost, and the guard does not leave anything in what it is compared to, as it would if two
models ran side by side. The first steps of a block are not measured: patching a class empties the interpreter's
caches, and both sides have to fill them again. Now and then a watch looks at every gradient; a median does not see
that, and a mean does.
"""

from __future__ import annotations

import argparse
import gc
import sys
import tracemalloc
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from math import ceil, sqrt
from pathlib import Path
from resource import RUSAGE_SELF, getrusage
from statistics import median
from time import perf_counter, process_time

import torch
from trainings import Training, training

from loopguard.runtime import hooks
from loopguard.runtime.watch import Watch

Way = Callable[[], AbstractContextManager[object]]

SETTLED = 300
"""After how many steps a watch has known a loop for long."""

BLOCK = 0.03
"""About how many seconds a block lasts; it has two steps at least."""

TARGETS: dict[tuple[str, str], tuple[str, float]] = {
    ("a", "auto"): ("added", 10.0),
    ("b", "auto"): ("ratio", 1.01),
    ("b", "full"): ("ratio", 1.03),
    ("c", "auto"): ("ratio", 1.01),
    ("c", "full"): ("each", 1.0),
}
"""What a guard may cost at most: microseconds a step, times a step without it, or microseconds a parameter."""


def guarded(watch: Watch) -> Way:
    """Carry on with a watch."""

    @contextmanager
    def way() -> Iterator[None]:
        hooks.listen(watch)
        try:
            yield
        finally:
            hooks.forget(watch)

    return way


@contextmanager
def anomaly_mode() -> Iterator[None]:
    """What torch offers for finding out where a NaN comes from."""
    torch.autograd.set_detect_anomaly(True)
    try:
        yield
    finally:
        torch.autograd.set_detect_anomaly(False)


def histograms(model: torch.nn.Module) -> Way:
    """A histogram of each gradient in each step, as experiment trackers that watch a model take them."""

    def log(grad: torch.Tensor) -> None:
        flat = grad.detach().flatten().float()
        low, high = flat.min().item(), flat.max().item()
        kept.append((low, high, torch.histc(flat, 64, low, high).tolist()))

    @contextmanager
    def way() -> Iterator[None]:
        with ExitStack() as stack:
            for parameter in model.parameters():
                stack.callback(parameter.register_hook(log).remove)
            yield
        kept.clear()

    kept: list[tuple[float, float, list[float]]] = []
    return way


@dataclass
class Pairs:
    """Seconds of blocks that ran next to each other, without (`plain`) and with (`other`) something."""

    steps: int
    plain: list[float] = field(default_factory=list)
    other: list[float] = field(default_factory=list)
    shortest: tuple[float, float] = (float("inf"), float("inf"))

    def take(self, blocks: list[float]) -> None:
        """Take the four blocks of A B B A."""
        first, second, third, fourth = blocks
        self.plain.append(first + fourth)
        self.other.append(second + third)
        self.shortest = min(self.shortest[0], first, fourth), min(self.shortest[1], second, third)

    @property
    def ratios(self) -> list[float]:
        """The ratio of each pair, from the least to the greatest."""
        return sorted(mine / base for mine, base in zip(self.other, self.plain, strict=True))

    @property
    def interval(self) -> tuple[float, float]:
        """Where the median of all such ratios lies, with 95 % confidence, whatever they are distributed like."""
        ratios = self.ratios
        reach = ceil(0.98 * sqrt(len(ratios)))
        middle = len(ratios) // 2
        return ratios[max(middle - reach, 0)], ratios[min(middle + reach, len(ratios) - 1)]

    @property
    def step(self) -> float:
        """Microseconds of a step without."""
        return 1e6 * median(self.plain) / (2 * self.steps)

    @property
    def added(self) -> float:
        """Microseconds that each step takes longer."""
        return 1e6 * median(b - a for a, b in zip(self.plain, self.other, strict=True)) / (2 * self.steps)


def clock(device: str) -> float:
    """The time that counts: of this process, which other load disturbs little, or that after which a GPU is done."""
    if device == "cpu":
        return process_time()
    torch.cuda.synchronize()
    return perf_counter()


def seconds(trained: Training, way: Way, steps: int, device: str) -> float:
    """How long a block takes, without its first steps."""
    start = 0.0
    with way():
        for part in (max(1, steps // 8), steps):  # from one line, as a watch tells loops apart by their callers
            start = clock(device)
            trained.run(part)
        return clock(device) - start


def turns(trained: Training, ways: tuple[Way, ...], steps: int, device: str) -> list[float]:
    """How long each of several blocks takes that follow each other."""
    return [seconds(trained, way, steps, device) for way in ways]


def measure(case: str, device: str, rounds: int) -> bool:
    """Measure a case, print its rows, and say whether it is within its targets."""
    trained = training(case, device)
    watches = {ledger: Watch(print, ledger=ledger) for ledger in ("auto", "full")}
    ways: dict[str, Way] = {ledger: guarded(watch) for ledger, watch in watches.items()}
    for way in ways.values():
        turns(trained, (way,), SETTLED, device)
    ways |= {"anomaly mode": anomaly_mode, "histograms": histograms(trained.model)}
    (warm,) = turns(trained, (nullcontext,), 20, device)
    pairs = {name: Pairs(max(2, round(20 * BLOCK / warm))) for name in ways}
    for number in range(rounds):
        for name, way in ways.items():
            if name in watches or number % 4 == 0:  # what costs much needs little care
                steps = pairs[name].steps
                pairs[name].take(turns(trained, (nullcontext, way, way, nullcontext), steps, device))
    print(f"({case}) {trained.name}, {trained.parameters} parameters, {pairs['auto'].step:.0f} µs a step")
    met = [row(case, name, pair, trained.parameters) for name, pair in pairs.items()]
    for watch in watches.values():
        if watch.failed or watch.findings:
            raise RuntimeError(f"a healthy training: {watch.failed!r} {watch.findings}")
    if device != "cpu":
        met.append(synchronises_alike(trained, {ledger: ways[ledger] for ledger in watches}))
    return all(met)


def row(case: str, name: str, pairs: Pairs, parameters: int) -> bool:
    """Print a row, and say whether it is within its target."""
    ratios = pairs.ratios
    figures = {"added": pairs.added, "ratio": median(ratios), "each": pairs.added / parameters}
    low, high = pairs.interval
    least = pairs.shortest[1] / pairs.shortest[0]
    mean = sum(pairs.other) / sum(pairs.plain)
    figure, bound = TARGETS.get((case, name), ("", 0.0))
    within = not figure or figures[figure] <= bound
    verdict = figure and f"at most {bound:g}{'' if figure == 'ratio' else ' µs'}: {'met' if within else 'missed'}"
    print(
        f"  {name:13} {figures['added']:9.1f} µs {figures['each']:8.2f} µs {figures['ratio']:8.3f}"
        f"   {low:.3f} to {high:.3f} {least:8.3f} {mean:8.3f}   {verdict}".rstrip()
    )
    return within


def synchronises_alike(trained: Training, ways: dict[str, Way]) -> bool:
    """Print how often the host waits for the GPU in a hundred steps; say whether it does so less often unguarded."""
    counts = {}
    for name, way in {"plain": nullcontext, **ways}.items():
        with way(), warnings.catch_warnings(record=True) as caught:
            trained.run(20)
            warnings.simplefilter("always")
            torch.cuda.set_sync_debug_mode("warn")
            trained.run(100)
            torch.cuda.set_sync_debug_mode("default")
        counts[name] = sum("synchronizing" in str(item.message) for item in caught)
    print("  synchronisations in 100 steps: " + ", ".join(f"{name} {count}" for name, count in counts.items()))
    return len(set(counts.values())) == 1


def grows(device: str, steps: int) -> bool:
    """Print by how much memory has grown after many guarded steps, and say whether it has."""
    grown = False
    for ledger in ("auto", "full"):
        trained = training("a", device)
        marks = []
        with guarded(Watch(print, ledger=ledger))():
            for part in (2000, steps, 2000, steps):  # what is replaced now and then has been, and then is traced
                trained.run(part)
                gc.collect()
                marks.append((own(), len(gc.get_objects()), getrusage(RUSAGE_SELF).ru_maxrss))
                if len(marks) == 2:
                    tracemalloc.start()
            tracemalloc.stop()
        first, second, third, fourth = marks
        held, objects, peak = fourth[0] - third[0], fourth[1] - third[1], second[2] - first[2]
        print(f"{ledger}: {steps} steps: {held:+} bytes, {objects:+} objects, {peak:+} KiB at the peak of the process")
        grown |= held > steps / 10 or objects > steps / 100
    print(f"at most a byte in ten steps and an object in a hundred: {'missed' if grown else 'met'}")
    return grown


def own() -> int:
    """The bytes that lines of the guard have asked for and hold. Torch keeps a little of its own, guarded or not."""
    if not tracemalloc.is_tracing():
        return 0
    filters = [tracemalloc.Filter(True, f"{Path(hooks.__file__).parent}/*")]
    return sum(trace.size for trace in tracemalloc.take_snapshot().filter_traces(filters).traces)


def main() -> int:
    """Measure, print, and return 1 if a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="cuda trains in mixed precision")
    parser.add_argument("--only", choices="abcd", metavar="a|b|c|d", help="only this case")
    parser.add_argument("--rounds", type=int, default=80, help="pairs of each guard and case")
    parser.add_argument("--quick", action="store_true", help="few rounds, to see that everything works")
    parser.add_argument("--memory", action="store_true", help="see whether memory grows, in place of times")
    args = parser.parse_args()
    if args.device == "cuda" and not torch.cuda.is_available():
        parser.error("torch sees no GPU")
    torch.set_num_threads(1)  # threads that wait for each other are what one would measure
    if args.memory:
        return int(grows(args.device, 1000 if args.quick else 10_000))
    gc.collect()
    gc.freeze()  # what imports have left is not a step's to collect
    print(f"{'':15} {'a step':>12} {'a parameter':>11} {'ratio':>8}   {'95 %':14} {'least':>8} {'mean':>8}")
    met = [measure(case, args.device, 8 if args.quick else args.rounds) for case in args.only or "abcd"]
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main())
