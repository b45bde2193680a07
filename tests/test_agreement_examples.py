"""Every example of every rule runs under the guard, too: it finds what is marked, and nothing else.

What a rule can only see in the text is left out. Examples of several ranks are run by test_ranks.py.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Literal

import pytest
import stand_ins
import torch
from guarded_run import run

from examples import expected, program
from loopguard import catalogue

RULES = catalogue.load()
JUDGED = frozenset(entry.code for entry in RULES if "R" in entry.rule.engines)
CONSEQUENCES = {"LG406": "LG101", "LG405": "LG601"}
"""What a run sees of a cause that only the text can tell: two windows that never let a clear through, a schedule that
moves before the window of its optimizer is full."""

EXAMPLES = [
    pytest.param(entry.code, text, id=f"{entry.name}-{kind}-{number}")
    for entry in RULES
    if entry.name != "invalid-syntax"
    for kind in ("bad", "good")
    for number, text in enumerate(getattr(entry.rule, kind))
    if "init_process_group" not in text
]


@pytest.mark.parametrize("ledger", ["auto", "full"])
@pytest.mark.parametrize(("code", "example"), EXAMPLES)
def test_a_run_finds_what_is_marked_and_nothing_else(
    code: str, example: str, ledger: Literal["auto", "full"], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_ins.install(monkeypatch)
    file = tmp_path / "train.py"
    file.write_text(program(example), "utf-8")
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = run(file, ledger=ledger, extend_select=[code]).findings
    marked = expected(example)
    assert {mark for mark in marked if mark[1] in JUDGED} <= set(found)
    consequences = {CONSEQUENCES.get(code) for _, code in marked}
    assert {item for item in found if item[1] not in consequences} <= set(marked)


def test_most_examples_that_are_bad_are_judged_by_a_run() -> None:
    bad = [text for entry in RULES for text in entry.rule.bad]
    assert sum(any(code in JUDGED for _, code in expected(text)) for text in bad) > 0.7 * len(bad)
