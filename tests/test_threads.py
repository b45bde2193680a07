"""Several threads that train: nobody crashes, no result changes, and what is not judged is not called sound."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import SimpleQueue
from threading import Event, Thread, current_thread
from typing import Any

import pytest
import torch
from conftest import python
from threaded_training import STEPS, THREADS, TIMES
from tiny import batches, loss_of, network
from torch import nn
from torch.optim import SGD

import loopguard
from loopguard.runtime import threads
from loopguard.runtime.names import optimizers_alive

SCRIPT = Path(__file__).with_name("threaded_training.py")
LIMIT = 400
"""Seconds: many times what it takes on a machine of two shared cores."""


def trained(ledger: str) -> list[dict[str, Any]]:
    """What has come out of the trainings of the script, each time that they were run."""
    process = python(SCRIPT.parent, "-W", "ignore", "-X", "faulthandler", str(SCRIPT), ledger, timeout=LIMIT)
    assert process.returncode == 0, process.stderr
    told: list[dict[str, Any]] = json.loads(process.stdout)
    assert len(told) == TIMES
    return told


@pytest.fixture(scope="module")
def unguarded() -> list[dict[str, Any]]:
    return trained("none")


@pytest.mark.parametrize("ledger", ["auto", "full"])
def test_eight_threads_train_as_they_do_without_a_guard(ledger: str, unguarded: list[dict[str, Any]]) -> None:
    """The first steps of a thread are not looked at while another one, alone until then, is in a backward pass."""
    for before, after in zip(unguarded, trained(ledger), strict=True):
        for way, told in after.items():
            assert told["result"] == before[way]["result"], way
            assert told["failed"] == [], way
        # Each thread has accounts of its own, and nothing in another is taken for a part of its training.
        told = {way: (said["findings"], said["steps"], said["unjudged"]) for way, said in after.items()}
        every = THREADS * STEPS
        assert (told["apart"][0], told["guarded"][0]) == ([], [])
        assert all(STEPS < told[way][1] <= every and told[way][2] == 0 for way in ("apart", "uncleared", "guarded"))
        ((code, times),) = told["uncleared"][0]
        assert code == "LG101"
        assert STEPS <= times <= told["uncleared"][1] - THREADS
        assert (told["actors"][0], told["actors"][2]) == ([], THREADS)
        assert (told["hogwild"][0], told["hogwild"][2]) == ([], 1)


def right() -> Iterator[SGD]:
    """A training as it should be, one step at a time."""
    model = network()
    optimizer = SGD(model.parameters(), lr=0.01)
    for batch in batches():
        optimizer.zero_grad()
        loss_of(model, batch).backward()
        optimizer.step()
        yield optimizer


def wrong(model: nn.Module | None = None, optimizer: SGD | None = None) -> Iterator[SGD]:
    """A training that never clears, one step at a time."""
    model = model or network()
    optimizer = optimizer or SGD(model.parameters(), lr=0.01)
    for batch in batches():
        loss_of(model, batch).backward()
        optimizer.step()
        yield optimizer


def elsewhere(work: Callable[[], object]) -> None:
    """Do something in another thread, to its end."""
    thread = Thread(target=work)
    thread.start()
    thread.join(60)
    assert not thread.is_alive()


class Worker:
    """A thread that does one thing after the other, as it is told."""

    def __init__(self) -> None:
        self._todo: SimpleQueue[Callable[[], object] | None] = SimpleQueue()
        self._done: SimpleQueue[bool] = SimpleQueue()
        self._thread = Thread(target=self._work, daemon=True)
        self._thread.start()

    def do(self, work: Callable[[], object]) -> None:
        self._todo.put(work)
        self._done.get(timeout=60)

    def end(self) -> None:
        self._todo.put(None)
        self._thread.join(60)

    def _work(self) -> None:
        while (work := self._todo.get()) is not None:
            work()
            self._done.put(True)


@pytest.mark.parametrize("ledger", ["auto", "full"])
def test_two_loops_that_take_turns_in_two_threads_are_judged_each_for_itself(ledger: Any) -> None:
    worker, ours, theirs = Worker(), right(), wrong()
    with loopguard.guard(on_finding="collect", ledger=ledger) as watch:
        for _ in range(30):
            next(ours)
            worker.do(lambda: next(theirs))
    worker.end()
    assert [(record.finding.code, record.count) for record in watch.records] == [("LG101", 29)]
    assert (watch.failed, watch.steps, watch.optimizers, watch.unjudged) == (None, 60, 2, 0)


def test_what_was_built_here_and_is_trained_in_another_thread_is_judged_there() -> None:
    with loopguard.guard(on_finding="collect") as watch:
        model = network()
        optimizer = SGD(model.parameters(), lr=0.01)
        elsewhere(lambda: [step for _, step in zip(range(6), wrong(model, optimizer), strict=False)])
    assert [(record.finding.code, record.count) for record in watch.records] == [("LG101", 5)]


def test_an_optimizer_that_two_threads_use_is_not_judged_and_that_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    worker, steps = Worker(), wrong()
    with loopguard.guard() as watch:
        next(steps)
        for _ in range(6):
            worker.do(lambda: next(steps))
            next(steps)
    worker.end()
    assert (watch.findings, watch.failed, watch.unjudged) == ([], None, 1)
    assert "1 optimizer was not judged to the end: several threads train the same parameters" in capsys.readouterr().err


def test_a_guard_that_begins_in_a_thread_hears_of_no_other() -> None:
    worker = Worker()
    found: list[Any] = []

    def begin() -> None:
        assert current_thread().name != "MainThread"
        found.append(loopguard.guard(on_finding="collect"))
        found.append(found[0].__enter__())

    worker.do(begin)
    list(wrong())
    inner = right()
    worker.do(lambda: [next(inner) for _ in range(6)])
    worker.do(lambda: found[0].__exit__(None, None, None))
    worker.end()
    assert (found[1].findings, found[1].steps, found[1].failed) == ([], 6, None)
    assert not threads.audiences


def test_who_goes_in_the_middle_of_an_event_takes_it_from_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.01)

    def fail(*args: object) -> None:
        raise ZeroDivisionError

    first, second = loopguard.guard(on_finding="collect"), loopguard.guard(on_finding="collect")
    broken, sound = first.__enter__(), second.__enter__()
    monkeypatch.setattr(broken.monitors()[0], "cleared", fail)
    with pytest.warns(RuntimeWarning, match="loopguard has failed"):
        for batch in batches(4):
            optimizer.zero_grad()  # only the first one is not heard by all
            loss_of(model, batch).backward()
            optimizer.step()
    second.__exit__(None, None, None)
    first.__exit__(None, None, None)
    assert isinstance(broken.failed, ZeroDivisionError)
    clears = sum(n for site, n in sound.monitors()[0].visits().items() if site.kind.name == "CLEAR")
    assert (clears, sound.steps, sound.failed, sound.findings) == (4, 4, None, [])


def test_a_run_says_that_it_has_not_judged_what_several_threads_train(tmp_path: Path) -> None:
    tmp_path.joinpath("train.py").write_text(
        "import threading, torch\n"
        "model = torch.nn.Linear(3, 1)\n"
        "optimizer = torch.optim.SGD(model.parameters(), lr=1e-6)\n"
        "turns = [threading.Semaphore(1), threading.Semaphore(0)]\n"
        "def train(number):\n"
        "    for _ in range(5):\n"
        "        turns[number].acquire()\n"
        "        model(torch.ones(2, 3)).sum().backward()\n"
        "        optimizer.step()\n"
        "        turns[1 - number].release()\n"
        "workers = [threading.Thread(target=train, args=(number,)) for number in (0, 1)]\n"
        "[worker.start() for worker in workers]\n"
        "[worker.join() for worker in workers]\n"
        "raise SystemExit(7)\n"
    )
    ran: subprocess.CompletedProcess[str] = python(
        tmp_path, "-W", "ignore", "-m", "loopguard", "run", "--json", "out.json", "train.py", timeout=LIMIT
    )
    assert ran.returncode == 7, ran.stderr
    assert "1 of them not judged to the end: several threads train the same parameters" in ran.stderr
    document = json.loads(tmp_path.joinpath("out.json").read_text())
    assert document["summary"]["optimizers_not_judged"] == 1
    assert document["summary"]["refuted"] == 0


def take_over(shared: nn.Module, copy: nn.Module) -> None:
    """Give a model the gradients of its copy."""
    for theirs, ours in zip(shared.parameters(), copy.parameters(), strict=True):
        theirs.grad = ours.grad


def give_any(model: nn.Module) -> None:
    for parameter in model.parameters():
        parameter.grad = torch.randn_like(parameter)


@pytest.mark.parametrize("ledger", ["auto", "full"])
def test_gradients_that_come_from_a_copy_of_the_model_are_gradients(ledger: Any) -> None:
    shared, copy = network(), network()
    optimizer = SGD(shared.parameters(), lr=0.01)
    with loopguard.guard(on_finding="collect", ledger=ledger) as watch:
        for batch in batches():
            copy.zero_grad()
            loss_of(copy, batch).backward()
            take_over(shared, copy)
            optimizer.step()
    assert (watch.findings, watch.failed) == ([], None)


@pytest.mark.parametrize("ledger", ["auto", "full"])
def test_what_another_thread_writes_during_a_backward_pass_is_not_of_that_pass(ledger: Any) -> None:
    shared, copy, other = network(), network(), network()
    optimizer, worker, todo = SGD(shared.parameters(), lr=0.01), Worker(), [*batches(12)]
    loss_of(other, todo[0]).backward()
    with loopguard.guard(on_finding="collect", ledger=ledger) as watch:
        worker.do(lambda: loss_of(other, todo[0]).backward())
        for batch in todo:
            copy.zero_grad()
            loss = loss_of(copy, batch)
            loss.register_hook(lambda grad: worker.do(lambda: give_any(shared)))
            loss.backward()
            optimizer.step()
    worker.end()
    assert (watch.findings, watch.failed) == ([], None)


def test_who_looks_for_all_optimizers_holds_nothing_that_another_thread_is_making() -> None:
    mine = SGD(network().parameters(), lr=0.01)
    failed: list[BaseException] = []
    over = Event()

    def make() -> None:
        try:
            while not over.is_set():
                assert tuple(number for number in range(300))[-1] == 299
        except BaseException as error:  # `tuple` raises a `SystemError` for what somebody else refers to
            failed.append(error)

    thread = Thread(target=make)
    thread.start()
    try:
        for _ in range(20):
            assert any(optimizer is mine for optimizer in optimizers_alive())
    finally:
        over.set()
        thread.join(60)
    assert failed == []
