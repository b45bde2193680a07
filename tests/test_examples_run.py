"""The examples of the rules are real programs: each of them runs, or fails where it says that it is wrong.

Those of several ranks are run by test_ranks.py, in processes of their own.
"""

from __future__ import annotations

import sys
import traceback
import warnings
from typing import Any

import pytest
from stand_ins import modules

from examples import expected, program
from loopguard import catalogue

RULES = list(catalogue.load())
RUNNABLE = [entry for entry in RULES if entry.name not in ("invalid-syntax", "ranks-diverge")]

GOOD = [
    pytest.param(text, id=f"{entry.name}-good-{number}")
    for entry in RULES
    if entry.name != "ranks-diverge"
    for number, text in enumerate(entry.rule.good)
]
BAD = [
    pytest.param(text, id=f"{entry.name}-bad-{number}")
    for entry in RUNNABLE
    for number, text in enumerate(entry.rule.bad)
]
UNPARSABLE = [text for entry in RULES if entry.name == "invalid-syntax" for text in entry.rule.bad]

# What torch itself says about the mistakes that it notices.
NOTICED = (RuntimeError, TypeError, AttributeError, AssertionError)


def run(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a program as a script."""
    code = compile(text, "<example>", "exec")
    for name, module in modules().items():
        monkeypatch.setitem(sys.modules, name, module)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import torch

        torch.manual_seed(0)
        namespace: dict[str, Any] = {"__name__": "__main__"}
        exec(code, namespace)


@pytest.mark.parametrize("example", GOOD)
def test_good_examples_run_to_their_end(example: str, monkeypatch: pytest.MonkeyPatch) -> None:
    run(program(example), monkeypatch)


@pytest.mark.parametrize("example", BAD)
def test_bad_examples_fail_at_a_marked_line_or_not_at_all(example: str, monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        run(program(example), monkeypatch)
    except NOTICED as error:
        rows = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == "<example>"]
        marked = [row for row, _ in expected(example)]
        assert set(rows) & set(marked), f"fails at {rows}, marked are {marked}: {error!r}"


@pytest.mark.parametrize("example", UNPARSABLE)
def test_examples_of_invalid_syntax_are_invalid_where_they_are_marked(example: str) -> None:
    with pytest.raises(SyntaxError) as caught:
        compile(program(example), "<example>", "exec")
    assert [(caught.value.lineno, "LG000")] == expected(example)
