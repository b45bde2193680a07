"""Ctrl-C at any moment while a guard begins or ends: torch is as it was, and the next guard sees what it should."""

from __future__ import annotations

import json
import sys
import weakref
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from threading import RLock
from types import CodeType, FrameType
from typing import Any

import pytest
import torch
from conftest import python
from interrupted_guards import ROUNDS, is_seen, state_of_torch
from torch.nn.modules import module as modules
from torch.optim import SGD
from torch.optim import optimizer as optimizers
from torch.optim.lr_scheduler import ExponentialLR

import loopguard
from loopguard.runtime import hooks, threads

ORIGINALS = {name: getattr(torch.optim.Optimizer, name) for name in ("zero_grad", "__init__")}
"""What was there before any test: others patch torch on top of a guard, and theirs stays."""

SCRIPT = Path(__file__).with_name("interrupted_guards.py")


RUNTIME = Path(loopguard.__file__).with_name("runtime")
# What a guard reads before it begins has nothing to do with torch, and hundred times as many instructions.
TRACED = {str(file) for file in RUNTIME.glob("*.py") if file.name not in ("judge.py", "program.py", "policies.py")}
TRACED |= {weakref.__file__, torch.utils.hooks.__file__, optimizers.__file__, modules.__file__}


class Interrupt:
    """Raises `KeyboardInterrupt` before one of the instructions that run under it, given by its number.

    One that has run twice is not counted again: a loop over patches or threads is cut off in its first two rounds.
    """

    def __init__(self, at: int) -> None:
        self.at = at
        self.count = 0
        self._times: Counter[tuple[CodeType, int]] = Counter()

    def __enter__(self) -> Interrupt:
        sys.settrace(self._trace)
        return self

    def __exit__(self, *error: object) -> None:
        sys.settrace(None)

    def _trace(self, frame: FrameType, event: str, argument: object) -> Any:
        if frame.f_code.co_filename not in TRACED:
            return None
        frame.f_trace_opcodes = True
        frame.f_trace_lines = False
        if event == "opcode" and self._is_new(frame.f_code, frame.f_lasti):
            self.count += 1
            if self.count == self.at:
                sys.settrace(None)
                raise KeyboardInterrupt
        return self._trace

    def _is_new(self, code: CodeType, offset: int) -> bool:
        self._times[code, offset] += 1
        return self._times[code, offset] <= 2


def begin_and_end(ledger: Any) -> None:
    with loopguard.guard(on_finding="collect", ledger=ledger):
        pass


def interrupted(work: Callable[[], object], at: int) -> bool:
    """Whether some work was interrupted before its instruction of a number: false if it has not so many.

    A lock stays taken if the instructions that leave its `with` are cut off. Python looks for interrupts behind calls and
    at jumps alone, so none of its own comes there. Those that come where they may are the matter of the test below.
    """
    try:
        with Interrupt(at):
            work()
    except KeyboardInterrupt:
        return True
    finally:
        hooks._lock, threads._lock = RLock(), RLock()
    return False


@pytest.mark.parametrize("ledger", ["auto", "full"])
def test_an_interrupt_before_any_instruction_of_begin_and_end_leaves_torch_as_it_was(ledger: str) -> None:
    assert is_seen(ledger)
    before, at = state_of_torch(), 1
    while interrupted(lambda: begin_and_end(ledger), at):
        assert state_of_torch() == before, f"at instruction {at}"
        assert not threads.audiences, f"at instruction {at}"
        if at % 16 == 0:
            assert is_seen(ledger), f"at instruction {at}"
        at += 1
    assert at > 1000
    assert is_seen(ledger)


@pytest.mark.parametrize("ledger", ["auto", "full"])
def test_thousands_of_interrupts_leave_torch_as_it_was_and_no_guard_blind(ledger: str) -> None:
    process = python(SCRIPT.parent, "-W", "ignore", str(SCRIPT), ledger, timeout=400)
    assert process.returncode == 0, process.stderr
    assert json.loads(process.stdout) == {
        "interrupts": ROUNDS,
        "torn": [],
        "blind": [],
        "seen": True,
        "elsewhere": True,
    }


def test_an_interrupt_before_any_instruction_of_wrapping_watches_for_good_or_not_at_all() -> None:
    assert is_seen("auto")
    before = state_of_torch()

    def optimizer() -> SGD:
        return SGD([torch.zeros(1, requires_grad=True)], lr=0.1)

    loopguard.wrap(optimizer())
    at, made = 1, [optimizer()]
    while interrupted(lambda: loopguard.wrap(made[0]), at):
        made[0] = optimizer()
        assert state_of_torch() == before, f"at instruction {at}"
        assert not threads.audiences, f"at instruction {at}"
        at += 1
    assert at > 500


@pytest.mark.parametrize("name", ORIGINALS)
def test_a_guard_whose_hooks_were_taken_away_says_that_it_has_failed(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = ORIGINALS[name]
    monkeypatch.setattr(torch.optim.Optimizer, name, original)
    told = pytest.warns(RuntimeWarning, match=f"taken its hooks away: {name}")
    with told, loopguard.guard(on_finding="collect") as watch:
        setattr(torch.optim.Optimizer, name, original)
    assert isinstance(watch.failed, RuntimeError)
    assert is_seen("auto")


@pytest.mark.filterwarnings("ignore:Detected call of .lr_scheduler.step")
def test_a_hook_that_somebody_puts_back_later_is_heard_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever patches torch, too, puts back what they have found, which may be what stood there for another guard."""
    with loopguard.guard(on_finding="collect"):
        ours = vars(torch.optim.Optimizer)["zero_grad"]
    with loopguard.guard(on_finding="collect"):
        pass
    monkeypatch.setattr(torch.optim.Optimizer, "zero_grad", ours)
    with loopguard.guard(on_finding="collect") as watch:
        parameter = torch.ones(1, requires_grad=True)
        optimizer = SGD([parameter], lr=0.1)
        schedule = ExponentialLR(optimizer, 0.9)
        for _ in range(4):
            schedule.step()
            optimizer.zero_grad()
            parameter.sum().backward()
            optimizer.step()
    assert [finding.code for finding in watch.findings] == ["LG601"]
