"""Trainings in eight threads at once, under a guard or none. What comes out depends on no order of the threads.

Run as a script with `none`, `auto` or `full`, it prints what has come out, and what the guards have to say.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from threading import Barrier, Lock, Thread
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam

import loopguard
from loopguard.runtime.watch import Watch

THREADS = 8
STEPS = 200
TIMES = 3

Watching = Callable[[], AbstractContextManager[Any]]


def in_threads(work: Callable[[int], None]) -> None:
    """Do something in each of the threads, all of which begin at once."""
    gate = Barrier(THREADS)

    def begin(number: int) -> None:
        gate.wait()
        work(number)

    threads = [Thread(target=begin, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def numbers(seed: int) -> Iterator[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    while True:
        yield torch.randn(2, 3, generator=generator)


def network(seed: int) -> nn.Linear:
    model = nn.Linear(3, 1)
    source = numbers(seed)
    with torch.no_grad():
        model.weight.copy_(next(source)[:1])
        model.bias.zero_()
    return model


def apart(watching: Watching) -> list[Any]:
    """Each thread trains a model of its own."""
    models = [network(number) for number in range(THREADS)]

    def train(number: int) -> None:
        model, source = models[number], numbers(number)
        optimizer = Adam(model.parameters(), lr=0.01)
        for _ in range(STEPS):
            optimizer.zero_grad()
            model(next(source)).square().sum().backward()
            optimizer.step()

    with watching():
        in_threads(train)
    return [p.tolist() for model in models for p in model.parameters()]


def uncleared(watching: Watching) -> list[Any]:
    """Each thread trains a model of its own, and forgets to clear."""
    models = [network(number) for number in range(THREADS)]

    def train(number: int) -> None:
        model, source = models[number], numbers(number)
        optimizer = SGD(model.parameters(), lr=1e-6)
        for _ in range(STEPS):
            model(next(source)).sum().backward()
            optimizer.step()

    with watching():
        in_threads(train)
    return [p.tolist() for model in models for p in model.parameters()]


def guarded(watching: Watching) -> list[Any]:
    """Each thread has guards of its own, which begin and end while others train."""
    models = [network(number) for number in range(THREADS)]

    def train(number: int) -> None:
        model, source = models[number], numbers(number)
        optimizer = SGD(model.parameters(), lr=0.01)
        for _ in range(STEPS // 10):
            with watching():
                for _ in range(10):
                    optimizer.zero_grad()
                    model(next(source)).square().sum().backward()
                    optimizer.step()

    in_threads(train)
    return [p.tolist() for model in models for p in model.parameters()]


def actors(watching: Watching) -> list[Any]:
    """Each thread has a copy, and steps one model that all share. Sums of whole numbers have no order."""
    shared = network(0)
    with torch.no_grad():
        shared.weight.zero_()
    lock = Lock()

    def train(number: int) -> None:
        own = network(number)
        optimizer = SGD(shared.parameters(), lr=1.0)
        for step in range(STEPS):
            own.zero_grad()
            own(torch.full((2, 3), float(step % (number + 2)))).sum().backward()
            with lock:
                for theirs, ours in zip(shared.parameters(), own.parameters(), strict=True):
                    theirs.grad = ours.grad
                optimizer.step()

    with watching():
        in_threads(train)
    return [p.tolist() for p in shared.parameters()]


def hogwild(watching: Watching) -> list[Any]:
    """All threads train one model with one optimizer, and nobody waits. The numbers come out as they may."""
    model = network(0)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(
            parameter
        )  # one thread taking it away from another is torch's own to crash at
    optimizer = SGD(model.parameters(), lr=1e-6)

    def train(number: int) -> None:
        source = numbers(number)
        for _ in range(STEPS):
            optimizer.zero_grad(set_to_none=False)
            model(next(source)).sum().backward()
            optimizer.step()

    with watching():
        in_threads(train)
    return [list(p.shape) for p in model.parameters() if p.isfinite().all()]


WAYS: tuple[Callable[[Watching], list[Any]], ...] = (apart, uncleared, guarded, actors, hogwild)


def outcome(way: Callable[[Watching], list[Any]], ledger: str) -> dict[str, Any]:
    """What comes of a way to train, and what its guards say."""
    watches: list[Watch] = []

    @contextmanager
    def watching() -> Iterator[None]:
        with (
            nullcontext()
            if ledger == "none"
            else loopguard.guard(on_finding="collect", ledger=cast(Any, ledger)) as watch
        ):
            watches.extend([watch] if watch is not None else [])
            yield

    return {
        "result": way(watching),
        "failed": [repr(watch.failed) for watch in watches if watch.failed is not None],
        "findings": sorted([record.finding.code, record.count] for watch in watches for record in watch.records),
        "steps": sum(watch.steps for watch in watches),
        "unjudged": sum(watch.unjudged for watch in watches),
    }


if __name__ == "__main__":
    torch.set_num_threads(1)
    sys.setswitchinterval(1e-4)  # the threads take turns more often than they would
    print(json.dumps([{way.__name__: outcome(way, sys.argv[1]) for way in WAYS} for _ in range(TIMES)]))
