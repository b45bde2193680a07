"""A bug in the guard costs the guard, and nothing else: the training computes the same, and one warning says so."""

from __future__ import annotations

import importlib
import pkgutil
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from types import CodeType, FrameType, FunctionType
from typing import Any, Literal

import pytest
import torch
from tiny import batches, loss_of, network
from torch.optim.optimizer import Optimizer

from loopguard import runtime
from loopguard.errors import TrainingLoopError
from loopguard.runtime import threads
from loopguard.runtime.guard import guard
from loopguard.runtime.program import program

LONG = 90
"""Iterations: the guard looks closely, learns the loop, lets it go by, and looks again."""


class Training:
    """A training with a bit of everything, some of it wrong. `at` is called at the begin of each iteration."""

    def __init__(self, at: Callable[[int], object] = lambda number: None) -> None:
        torch.manual_seed(0)
        self.at = at
        self.first, self.third, self.fourth = network(), network(), network()
        self.second = torch.nn.Sequential(torch.nn.Dropout(0.1), network())
        self.plain = torch.optim.SGD(self.first.parameters(), lr=0.01)
        self.scaled = torch.optim.Adam(self.second.parameters(), lr=0.01)
        self.closing = torch.optim.LBFGS(self.third.parameters(), max_iter=2)
        self.scaler = torch.amp.GradScaler("cpu", init_scale=4.0)

    def run(self) -> list[torch.Tensor]:
        """The losses, and all parameters at the end."""
        losses = []
        for number, batch in enumerate(batches(LONG)):
            self.at(number)
            if number == 0:
                schedule = torch.optim.lr_scheduler.ExponentialLR(self.scaled, gamma=0.999)
            if number > 8:  # until then, gradients are summed over iterations
                self.plain.zero_grad()
            loss = loss_of(self.first, batch)
            loss.backward()
            self.plain.step()
            if number in (8, LONG - 8):
                self.plain.step()
                self.first.zero_grad()
                self.plain.step()
            if number >= LONG - 4:
                self.closing.zero_grad()
                losses.append(self.closing.step(lambda batch=batch: self.closure(batch)))
            other = loss_of(self.second, batch)
            self.scaled.zero_grad()
            self.scaler.scale(other).backward()
            if number == 12:
                torch.nn.utils.clip_grad_norm_(self.second.parameters(), 100.0)
            if number in (1, 2, LONG - 6):
                torch.nn.utils.clip_grad_norm_(torch.nn.Linear(1, 1).parameters(), 100.0)
            if number > 12:
                self.scaler.unscale_(self.scaled)
                torch.nn.utils.clip_grad_value_(self.second.parameters(), 100.0)
            if number < 2:
                with warnings.catch_warnings():
                    warnings.filterwarnings("ignore", "Detected call of")
                    schedule.step()  # too early
            self.scaler.step(self.scaled)
            self.scaler.update()
            if number > 2:
                schedule.step()
            losses += [loss, other]
            if number in (10, 12, 14, LONG - 20, LONG - 18):
                losses += self.validate()
                if number == LONG - 20:
                    self.second.train()
        return [item.detach() for item in (*losses, *self.parameters())]

    def validate(self) -> list[torch.Tensor]:
        """In both modes, behind a step of an optimizer that is made for it."""
        losses = []
        adam = torch.optim.Adam(self.fourth.parameters())
        self.fourth(torch.ones(2, 4)).sum().backward()
        adam.step()
        for switch in (self.second.train, self.second.eval):
            with torch.no_grad():
                for inputs, _ in (*batches(2), *batches(1)):
                    losses.append(self.second(inputs))
            switch()
        return losses

    def closure(self, batch: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        """Does not clear."""
        loss = loss_of(self.third, batch)
        loss.backward()
        return loss

    def parameters(self) -> Iterator[torch.Tensor]:
        """Those of all models."""
        for model in (self.first, self.second, self.third, self.fourth):
            yield from model.parameters()


def functions() -> dict[CodeType, FunctionType]:
    """All functions and methods of the runtime, by their code."""
    found: dict[CodeType, FunctionType] = {}
    for item in pkgutil.walk_packages(runtime.__path__, f"{runtime.__name__}."):
        module = importlib.import_module(item.name)
        classes = [value for value in vars(module).values() if isinstance(value, type)]
        for value in (*vars(module).values(), *(member for kind in classes for member in vars(kind).values())):
            function = value
            if isinstance(value, property):
                function = value.fget
            elif isinstance(value, cached_property):
                function = value.func
            elif isinstance(value, staticmethod | classmethod):
                function = value.__func__
            if isinstance(function, FunctionType) and function.__module__ == item.name and not function.__closure__:
                found[function.__code__] = function
    return found


def called(ledger: Literal["auto", "full"]) -> set[str]:
    """The names of those that are called from the hooks in a training."""
    known, seen = functions(), set()

    def note(frame: FrameType, event: str, argument: Any) -> None:
        if event == "call" and frame.f_code in known:
            seen.add(name_of(known[frame.f_code]))

    program.cache_clear()
    with guard(on_finding="collect", ledger=ledger):
        training = Training()
        sys.setprofile(note)
        try:
            training.run()
        finally:
            sys.setprofile(None)
    return seen


def name_of(function: FunctionType) -> str:
    return f"{function.__module__.removeprefix('loopguard.runtime.')}.{function.__qualname__}"


# What ends the guard when something is wrong is the last that must be right; the hooks are not the guard's to lose.
LAST = {"watch.Watch._fail", "hearing.Hearing.fail"}
LAST |= {
    name
    for name in map(name_of, functions().values())
    if name.startswith(("hooks.", "hooks_updates.", "patches.", "threads."))
}
FUNCTIONS = {name_of(function): function for function in functions().values()}
AUTO = called("auto")
CALLED = sorted((AUTO | called("full")) - LAST)


@contextmanager
def noted() -> Iterator[list[str]]:
    """The warnings of the guard."""
    told: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield told
    told += [str(item.message) for item in caught if "loopguard" in str(item.message)]


def zero_division(*args: object, **kwargs: object) -> None:
    raise ZeroDivisionError("of the guard")


def recursion(*args: object, **kwargs: object) -> None:
    recursion()


PLAIN = Training().run()


def test_enough_of_the_guard_is_tried() -> None:
    assert {
        "bookkeeper.Bookkeeper.begin_step",
        "cruise.Cruise.cleared",
        "cruise.Cruise._leave",
        "docket.Docket.file",
        "ledger.Account.deposit",
        "progress.Progress.skip",
        "sites.Sites.at",
        "modes.Modes.learned",
        "passes.Passes.look",
        "schedules.Schedules.stepped",
        "updates.Updates.unscales",
        "uses.Use.act",
        "verdicts.clipping.astray",
        "verdicts.closures.lacking",
        "verdicts.construction.rebuilt",
        "verdicts.modes.not_restored",
        "verdicts.modes.over_data",
        "verdicts.scaling.clipped_scaled",
        "verdicts.schedules.before_optimizer",
        "verdicts.stale_steps.stale",
    } <= set(CALLED)
    assert len(CALLED) > 100


@pytest.mark.parametrize("begin", [0, 60], ids=["from the start", "later"])
@pytest.mark.parametrize("name", CALLED)
def test_a_bug_anywhere_leaves_the_training_as_it_is(name: str, begin: int, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {owner: dict(vars(owner)) for owner in (Optimizer, torch.nn.Module, torch.amp.GradScaler, torch.autograd)}

    def break_it(number: int) -> None:
        if number == begin:
            monkeypatch.setattr(FUNCTIONS[name], "__code__", zero_division.__code__)

    program.cache_clear()  # what has been read would not be read again
    with noted() as told:
        training = Training(break_it)
        with guard(on_finding="collect", ledger="full" if name not in AUTO else "auto") as watch:
            result = training.run()
            assert not threads.audiences or watch.failed is None
    monkeypatch.undo()
    assert all(torch.equal(one, other) for one, other in zip(result, PLAIN, strict=True))
    assert len(told) == (watch.failed is not None)
    assert told or begin
    assert [
        text for text in told if "your training is not affected (ZeroDivisionError('of the guard'))" not in text
    ] == []
    assert before == {owner: dict(vars(owner)) for owner in before}


def test_the_stack_may_be_exhausted_by_the_guard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FUNCTIONS["sites.Sites.at"], "__code__", recursion.__code__)
    monkeypatch.setitem(FUNCTIONS["sites.Sites.at"].__globals__, "recursion", recursion)
    with noted() as told, guard(on_finding="collect") as watch:
        result = Training().run()
    assert all(torch.equal(one, other) for one, other in zip(result, PLAIN, strict=True))
    assert isinstance(watch.failed, RecursionError)
    assert len(told) == 1


def test_where_warnings_are_errors_the_training_goes_on_all_the_same(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(FUNCTIONS["sites.Sites.at"], "__code__", zero_division.__code__)
    with warnings.catch_warnings(), guard(on_finding="collect"):
        warnings.simplefilter("error")
        result = Training().run()
    assert all(torch.equal(one, other) for one, other in zip(result, PLAIN, strict=True))
    assert capsys.readouterr().err.count("loopguard has failed and watches no longer") == 1


def test_one_guard_that_fails_takes_no_other_along(monkeypatch: pytest.MonkeyPatch) -> None:
    with guard(on_finding="collect") as sound, noted() as told, guard(on_finding="collect") as broken:
        monkeypatch.setattr(broken.monitors()[0], "_hear", zero_division)
        Training().run()
    assert len(told) == 1
    assert isinstance(broken.failed, ZeroDivisionError)
    assert sound.failed is None
    assert sound.findings


def test_what_is_meant_for_the_user_is_no_bug() -> None:
    with noted() as told, pytest.raises(TrainingLoopError), guard(on_finding="raise") as watch:
        Training().run()
    assert told == []
    assert watch.failed is None


def test_an_interrupt_in_the_guard_reaches_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*args: object) -> None:
        raise KeyboardInterrupt

    with guard(on_finding="collect") as watch:
        monkeypatch.setattr(watch.monitors()[0]._bookkeeper, "begin_step", interrupt)
        with pytest.raises(KeyboardInterrupt):
            Training().run()
    assert watch.failed is None
