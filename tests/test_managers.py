"""Context managers of the project: what they do where a block is entered and left counts there, for both engines."""

from __future__ import annotations

import re
from functools import reduce
from pathlib import Path
from textwrap import indent

import pytest
from guarded_run import Ledger, run
from hypothesis import given
from hypothesis import strategies as st
from manager_programs import MANAGERS, MEANT, RIGHT, WRONG, program_of
from programs import HEAD, findings, findings_in, lowered, marks
from random_programs import RUNNABLE, fuzz
from stand_in_run import runs

from loopguard.events import Kind


def both(text: str, tmp_path: Path, *arguments: str) -> list[list[tuple[int, str]]]:
    """What a check says of a program, and what a run of it finds, with each ledger."""
    file = tmp_path / "train.py"
    file.write_text(program_of(text), "utf-8")
    said = [(finding.place.row, finding.code) for finding in findings_in(file, [tmp_path])]
    ledgers: tuple[Ledger, ...] = ("auto", "full")
    ended = [run(file, arguments, ledger=ledger) for ledger in ledgers]
    assert [item.error for item in ended] == [None, None]
    return [said, *(item.findings for item in ended)]


@pytest.mark.parametrize("name", RIGHT)
def test_neither_finds_a_mistake_in_what_is_right(name: str, tmp_path: Path) -> None:
    assert [both(RIGHT[name], tmp_path, *flags) for flags in ((), ("flag",))] == [[[], [], []]] * 2


@pytest.mark.parametrize("name", WRONG)
def test_both_find_the_same_single_mistake(name: str, tmp_path: Path) -> None:
    code, text = WRONG[name]
    said, *found = both(text, tmp_path)
    assert [code for _, code in said] == [code]
    assert found == [said, said]


def test_the_evidence_lies_in_the_generator() -> None:
    text = f"{HEAD}{MANAGERS}for x in loader:\n    with stepping(False):\n        model(x).sum().backward()\n"
    (finding,) = findings(text)
    row = 1 + text[: text.index("    finally")].count("\n") + 1
    told = [moment.event.place.row for moment in finding.evidence if moment.event.kind is Kind.STEP]
    assert [finding.place.row, *told] == [row] * 3


def test_a_manager_of_another_file_is_told_where_it_is_entered(tmp_path: Path) -> None:
    (tmp_path / "managers.py").write_text(
        "from contextlib import contextmanager\n\n@contextmanager\ndef stepping(o):\n    yield\n    o.step()\n"
    )
    (tmp_path / "train.py").write_text(
        f"from managers import stepping\n{HEAD}for x in loader:\n    with stepping(optimizer):\n"
        "        model(x).sum().backward()\n"
    )
    (finding,) = findings_in(tmp_path / "train.py", [tmp_path])
    assert (finding.place.row, finding.place.column, finding.code) == (6, 10, "LG101")


def test_a_manager_of_another_file_that_has_a_name_is_told_where_it_is_entered(tmp_path: Path) -> None:
    (tmp_path / "managers.py").write_text(
        "from contextlib import contextmanager\n\n@contextmanager\ndef stepping(o):\n    yield\n    o.step()\n"
    )
    (tmp_path / "train.py").write_text(
        f"from managers import stepping\n{HEAD}for x in loader:\n    manager = stepping(optimizer)\n"
        "    with manager:\n        model(x).sum().backward()\n"
    )
    (finding,) = findings_in(tmp_path / "train.py", [tmp_path])
    place = finding.place
    assert (place.row, place.column, place.end_row, place.end_column, finding.code) == (7, 5, 7, 9, "LG101")


def managed(loop: str, manager: str) -> str:
    """A loop whose body is a block in a manager."""
    head, _, body = loop.partition("\n")
    return f"{head}\n    with {manager}:\n{indent(body, '    ')}"


def written_out(loop: str, manager: str) -> str:
    """The same without the manager."""
    begin, end = MEANT[manager]
    head, _, body = loop.partition("\n")
    before = f"    {begin}\n" if begin else ""
    return f"{head}\n{before}    try:\n{indent(body, '    ')}    finally:\n        {end}\n"


@fuzz(150)
@given(RUNNABLE, st.lists(st.sampled_from(sorted(MEANT)), min_size=1, max_size=3))
def test_a_block_in_managers_is_a_block_with_what_they_do_around_it(loop: str, managers: list[str]) -> None:
    """Also for those who leave it early: the graphs are the same."""
    plainly = reduce(written_out, managers, loop)
    graphs = [lowered(HEAD + MANAGERS + text).graph for text in (reduce(managed, managers, loop), plainly)]
    assert graphs[0].mermaid() == graphs[1].mermaid()


@st.composite
def scoped(draw: st.DrawFn) -> str:
    """A loop with blocks in managers anywhere, under flags that never change."""
    loop = draw(RUNNABLE.filter(lambda text: "scope()" in text and "rarely" not in text))
    names = st.sampled_from([*MEANT, "stepping(a)", "Clearing(), stepping(b)", "stepping(a), updating()"])
    return re.sub(r"scope\(\)", lambda _: draw(names), loop)


@fuzz(150)
@given(scoped())
def test_a_loop_in_managers_without_a_mistake_in_any_run_is_silent(loop: str) -> None:
    worlds = list(runs("\n" * HEAD.count("\n") + MANAGERS + loop))
    rows = {row for world in worlds for row in world.rows}
    if not any(world.mistakes for world in worlds):
        assert [item for item in marks(HEAD + MANAGERS + loop) if item[0] in rows and item[1] != "LG302"] == []
