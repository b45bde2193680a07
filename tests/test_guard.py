"""The guard as a library: what its users hold in their hands."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
import torch
from conftest import python
from tiny import batches, loss_of, network
from torch.optim import SGD

import loopguard
from loopguard.errors import TrainingLoopError, UsageError
from loopguard.runtime import threads

HERE = str(Path(loopguard.__file__).parent)


def broken(steps: int = 6) -> Iterator[SGD]:
    """A training that never clears, one step at a time."""
    model = network()
    optimizer = SGD(model.parameters(), lr=0.01)
    for batch in batches(steps):
        loss_of(model, batch).backward()
        optimizer.step()
        yield optimizer


def test_a_finding_has_what_a_check_tells_and_what_only_a_run_knows() -> None:
    with loopguard.guard(on_finding="collect") as watch:
        assert len(list(broken())) == 6
    (finding,) = watch.findings
    assert (finding.code, finding.level, finding.place.path) == ("LG101", "error", "tests/test_guard.py")
    assert finding.iterations == (1, 2)
    assert finding.parameters == ("0.weight", "0.bias", "2.weight", "2.bias")
    assert [moment.iteration for moment in finding.evidence] == [1, 1, 2, 2]
    assert watch.records[0].count == 5


def test_a_finding_is_printed_once_where_it_is_warned_of(capsys: pytest.CaptureFixture[str]) -> None:
    with loopguard.guard():
        list(broken())
    assert capsys.readouterr().err.count("LG101 missing-zero-grad") == 1


def test_a_finding_is_raised_at_the_step_that_it_is_about() -> None:
    steps = broken()
    with loopguard.guard(on_finding="raise"), pytest.raises(TrainingLoopError) as caught:
        next(steps)
        next(steps)
    assert caught.value.finding.code == "LG101"
    assert caught.traceback[1].name == "broken"


def test_comments_and_options_silence_a_finding() -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.01)
    with loopguard.guard(on_finding="collect") as watch:
        for batch in batches(6):
            loss_of(model, batch).backward()
            optimizer.step()  # loopguard: ignore[LG101]
    assert watch.findings == []
    with loopguard.guard(on_finding="collect", ignore=["LG101"]) as watch:
        list(broken())
    assert watch.findings == []
    with loopguard.guard(on_finding="collect", select=["LG2"]) as watch:
        list(broken())
    assert watch.findings == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"on_finding": "explode"}, "`on_finding` is .*, not `explode`"),
        ({"ledger": "half"}, "`ledger` is auto or full, not `half`"),
    ],
)
def test_options_that_make_no_sense_are_refused_at_once(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        loopguard.guard(**options)


def test_a_function_is_watched_in_each_of_its_calls(capsys: pytest.CaptureFixture[str]) -> None:
    @loopguard.guard()
    def train() -> int:
        return len(list(broken()))

    @loopguard.guard()
    def generate() -> Iterator[SGD]:
        yield from broken()

    assert train() == train() == len(list(generate())) == 6
    assert capsys.readouterr().err.count("LG101 missing-zero-grad") == 3
    assert not threads.audiences


def test_guards_within_each_other_see_the_same_and_may_end_in_any_order() -> None:
    before = dict(vars(torch.optim.Optimizer)), dict(vars(torch.nn.Module))
    outer, inner = loopguard.guard(on_finding="collect"), loopguard.guard(on_finding="collect")
    first, second = outer.__enter__(), inner.__enter__()
    list(broken())
    outer.__exit__(None, None, None)
    list(broken())
    inner.__exit__(None, None, None)
    assert [finding.code for finding in first.findings] == ["LG101"]
    assert second.records[0].count == 10
    assert before == (dict(vars(torch.optim.Optimizer)), dict(vars(torch.nn.Module)))


def test_a_wrapped_optimizer_is_itself_and_nothing_else_is_watched(capsys: pytest.CaptureFixture[str]) -> None:
    steps = broken()
    optimizer = next(steps)
    assert loopguard.wrap(optimizer) is optimizer
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1)
    assert pickle.loads(pickle.dumps(optimizer)).state_dict() == optimizer.state_dict()
    assert copy.deepcopy(optimizer).state_dict() == optimizer.state_dict()
    list(broken())
    assert capsys.readouterr().err == ""
    for _ in steps:
        scheduler.step()
    assert capsys.readouterr().err.count("LG101 ") == 1


def test_the_watch_of_a_wrapped_optimizer_ends_with_it() -> None:
    loopguard.wrap(next(broken()))
    assert not threads.audiences


def test_the_ledger_tells_what_gradients_are_made_of() -> None:
    assert loopguard.ledger() == "no guard is watching"
    with loopguard.guard(on_finding="collect"):
        list(broken(2))
        steps = broken(2)
        next(steps)
        assert "gradients are spent" in loopguard.ledger()


def test_an_import_brings_no_torch_and_says_so_where_it_is_missing(tmp_path: Path) -> None:
    quick = "import sys, loopguard; print('torch' in sys.modules); sys.modules['torch'] = None; loopguard.guard"
    ended: subprocess.CompletedProcess[str] = python(tmp_path, "-c", quick)
    assert ended.stdout == "False\n"
    assert "ImportError: `loopguard.guard` needs torch: pip install 'torch-loopguard[runtime]'" in ended.stderr


@pytest.mark.parametrize("last", range(0, 600, 37))
def test_optimizers_may_go_in_the_middle_of_the_guards_own_work(last: int) -> None:
    """What counts references, and what collects garbage, calls back wherever it happens to be."""
    model = network()
    own = SGD(model.parameters(), lr=0.01)
    others = [SGD(model.parameters(), lr=0.01) for _ in range(40)]
    calls = 0

    def drop(frame: FrameType, event: str, argument: object) -> None:
        nonlocal calls
        if event == "return" and others and frame.f_code.co_filename.startswith(HERE):
            calls += 1
            if calls > last:
                others.pop()

    with loopguard.guard(on_finding="collect", ledger="full") as watch:
        for optimizer in others:
            optimizer.zero_grad()
        sys.setprofile(drop)
        try:
            for batch in batches(4):
                own.zero_grad()
                loss_of(model, batch).backward()
                own.step()
        finally:
            sys.setprofile(None)
    assert not others
    assert watch.failed is None, repr(watch.failed)
    assert watch.findings == []
