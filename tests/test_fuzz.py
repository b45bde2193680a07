"""Random programs: the engine survives them, what it says lies in them, and it says the same of what means the same."""

from __future__ import annotations

import re
from io import StringIO
from textwrap import indent

import hypothesmith
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from programs import HEAD, LOOP, catalogue, findings, marks
from random_programs import BATCH, FLAT, PROGRAMS, RUNNABLE, SETUP, UPDATE, fuzz
from stand_in_run import Mistake, World, runs

from loopguard.source import Source
from loopguard.static import Project, analyse

ROW = len(LOOP.splitlines())

marks(LOOP)  # the first analysis sets the recursion limit, which hypothesis would take for the fault of a test


# Survival.


def as_read(text: str) -> str:
    """A text as it comes out of a file: a carriage return ends a line as any other end of one does."""
    return StringIO(text, newline=None).read()


@fuzz(100)
@given(hypothesmith.from_grammar().map(as_read))
def test_any_text_of_the_grammar_is_survived_and_hides_nothing(text: str) -> None:
    found = marks(LOOP + text)
    assert (ROW, "LG101") in found or [code for _, code in found] == ["LG000"]


@fuzz(15)
@given(hypothesmith.from_node().map(as_read))
def test_any_tree_is_survived_and_hides_nothing(text: str) -> None:
    found = marks(LOOP + text)
    assert (ROW, "LG101") in found or [code for _, code in found] == ["LG000"]


@fuzz(100)
@given(st.text(st.sampled_from("optimizer.step() \n\t:;=#'\"\\[]{}forinwhile0\x0cé"), max_size=60))
def test_any_text_at_all_is_survived(text: str) -> None:
    findings(text)
    findings(LOOP + text)


@fuzz(150)
@given(PROGRAMS, st.integers(min_value=0))
def test_a_program_that_breaks_off_is_survived(program: str, end: int) -> None:
    findings(program[: end % len(program)])


# Sense.


@fuzz(250)
@given(PROGRAMS)
def test_findings_and_their_evidence_lie_within_the_file(program: str) -> None:
    lines = program.split("\n")
    for finding in findings(program, all_levels=True):
        for place in [finding.place, *(moment.event.place for moment in finding.evidence)]:
            assert (place.row, place.column) < (place.end_row, place.end_column)
            assert 1 <= place.row <= place.end_row <= len(lines)
            assert 1 <= place.column <= len(lines[place.row - 1])
            assert place.end_column <= len(lines[place.end_row - 1]) + 1


@fuzz(200)
@given(PROGRAMS)
def test_a_case_is_explained_by_exactly_one_rule(program: str) -> None:
    for case in analyse(Source("train.py", program), Project([])):
        rules = [entry.rule for entry in catalogue() if case.mistake in entry.rule.mistakes]
        messages = [message for rule in rules if (message := rule.explain(case)) is not None]
        assert len(messages) == 1
        assert "\n" not in messages[0]


@fuzz(120)
@given(PROGRAMS)
def test_a_second_analysis_says_the_same(program: str) -> None:
    assert findings(program, all_levels=True) == findings(program, all_levels=True)


@fuzz(120)
@given(PROGRAMS)
def test_nothing_is_told_twice_at_one_place(program: str) -> None:
    told = [(finding.place, finding.code) for finding in findings(program, all_levels=True)]
    assert len(told) == len(set(told))


# What means the same.

# Not of what the programs do not define: there, a name is all that there is to go by.
NAMES = {
    "model": "net",
    "other": "critic",
    "optimizer": "optimizer_of_net",
    "second": "optimizer_of_critic",
    "scheduler": "plan",
    "scaler": "amplifier",
    "losses": "kept",
    "loss": "objective",
    "total": "summed",
    "extra": "rest",
    "x": "batch",
    "y": "entered",
    "a": "flag",
    "b": "toggle",
    "k": "number",
    "p": "parameter",
}


@fuzz(200)
@given(PROGRAMS)
def test_other_names_change_no_finding(program: str) -> None:
    names = re.compile(rf"\b({'|'.join(NAMES)})\b")
    renamed = names.sub(lambda match: NAMES[match[0]], program)
    assert marks(renamed) == marks(program)


@fuzz(120)
@given(PROGRAMS, st.sampled_from(["", "# why", "        # why", "\t", "\x0c"]))
def test_blank_lines_and_comments_only_move_findings(program: str, between: str) -> None:
    spread = program.replace("\n", f"\n{between}\n")
    assert marks(spread) == [(2 * row - 1, code) for row, code in marks(program)]


@fuzz(120)
@given(PROGRAMS)
def test_other_indentation_changes_no_finding(program: str) -> None:
    tabs = re.sub("^(?: {4})+", lambda match: "\t" * (len(match[0]) // 4), program, flags=re.MULTILINE)
    assert marks(tabs) == marks(program)


@fuzz(200)
@given(FLAT)
def test_in_a_function_that_is_called_everything_is_found_as_before(program: str) -> None:
    imports, body = program.split("\n", 2)[:2], program.split("\n", 2)[2]
    wrapped = "\n".join([*imports, "def main():", indent(body, "    ") + "main()\n"])
    assert marks(wrapped) == [(row + 1, code) for row, code in marks(program)]


@fuzz(120)
@given(FLAT)
def test_under_the_guard_of_a_script_everything_is_found_as_before(program: str) -> None:
    imports, body = program.split("\n", 2)[:2], program.split("\n", 2)[2]
    wrapped = "\n".join([*imports, "if __name__ == '__main__':", indent(body, "    ")])
    assert marks(wrapped) == [(row + 1, code) for row, code in marks(program)]


# What runs with stand-ins show.

STALE = {Mistake.STALE_STEP, Mistake.REPEATED_STEP}
SHOWN = {
    "LG101": STALE,
    "LG102": STALE,
    "LG105": STALE,
    "LG202": {Mistake.EMPTY_STEP},
    "LG204": STALE,
    "LG301": {Mistake.EMPTY_STEP},
}
"""Which mistakes some run makes at the row of a finding."""


def executed(loop: str) -> tuple[list[World], set[int]]:
    """What the runs of a loop leave behind, and the rows that any of them gets to, counted as in the whole program."""
    worlds = list(runs("\n" * HEAD.count("\n") + UPDATE + loop))
    return worlds, {row for world in worlds for row in world.rows}


@fuzz(300)
@given(RUNNABLE)
@example(f"{BATCH}    if a or b:\n        loss.backward()\n    else:\n        optimizer.zero_grad()\n")
@example(f"{BATCH}    if a and b:\n        optimizer.zero_grad()\n    else:\n        loss.backward()\n")
@example(f"{BATCH}    if a:\n        for x in loader:\n            if not a:\n                update(loss)\n")
def test_a_loop_without_a_mistake_in_any_run_is_silent(loop: str) -> None:
    worlds, rows = executed(loop)
    if not any(world.mistakes for world in worlds):
        # What the loop leaves to chance, no run may have shown; a loss that a loop has left behind is no event.
        assert [item for item in marks(HEAD + UPDATE + loop) if item[0] in rows and item[1] != "LG302"] == []


@fuzz(300)
@given(RUNNABLE)
@example(f"{BATCH}    optimizer.step()\n    loss.backward()\n    optimizer.step()\n    optimizer.zero_grad()\n")
@example(f"{BATCH}    loss.backward()\n    optimizer.zero_grad()\n    optimizer.step()\n    optimizer.step()\n")
def test_a_mistake_that_is_told_is_made_in_some_run_at_that_row(loop: str) -> None:
    worlds, rows = executed(loop)
    made = {item for world in worlds for item in world.mistakes}
    for row, code in marks(HEAD + UPDATE + loop):
        if row in rows and code in SHOWN:
            assert any((row, mistake) in made for mistake in SHOWN[code])


@fuzz(200)
@given(RUNNABLE)
def test_with_a_clear_before_every_backward_pass_nothing_is_stale(loop: str) -> None:
    text = UPDATE + loop
    cleared = re.sub(r"^( *)(loss\.backward\(\))", r"\1optimizer.zero_grad()\n\1\2", text, flags=re.MULTILINE)
    assert not {"LG101", "LG102", "LG104", "LG105"} & {code for _, code in marks(HEAD + cleared)}


@pytest.mark.parametrize("text", ["", SETUP])
def test_what_the_random_programs_begin_with_is_silent(text: str) -> None:
    assert marks(text) == []
