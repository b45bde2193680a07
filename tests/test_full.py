"""The renderer for people: source lines, underlined and numbered in the order in which things happen."""

from __future__ import annotations

from textwrap import dedent

import pytest
from conftest import Run

from loopguard.events import Event, Kind, Moment, Place
from loopguard.finding import Finding
from loopguard.report import Context, render
from loopguard.report.style import Style
from loopguard.source import Source

LOOP = """\
def train():
    # comment
    for batch in loader:
        with autocast():
            outputs = model(batch)
        loss = criterion(outputs)
        loss.backward(); log(loss)
        one()
        two()
        optimizer.step(
            closure,
        )
"""


def at(row: int, column: int, end_column: int, end_row: int | None = None, path: str = "x.py") -> Place:
    return Place(path, row, column, end_row or row, end_column)


def moment(place: Place, note: str, iteration: int = 0) -> Moment:
    return Moment(Event(Kind.STEP, "opt", place, "text"), note, iteration)


def drawn(
    place: Place,
    *evidence: Moment,
    text: str = LOOP,
    style: Style | None = None,
    level: str = "error",
    **more: str,
) -> str:
    sources = {"x.py": text, **{f"{name}.py": content for name, content in more.items()}}
    finding = Finding("LG101", "some-rule", level, "the message", "the advice", place, evidence)
    context = Context(
        style or Style(),
        lambda path: Source(path, sources[path]) if path in sources else None,
    )
    return "\n".join(render("full", [finding], context))


def expected(text: str) -> str:
    return dedent(text).lstrip("\n")


def test_moments_are_numbered_and_share_one_snippet_under_their_loop() -> None:
    backward, step = at(7, 9, 24), at(10, 9, 10, end_row=12)
    assert drawn(
        step,
        moment(backward, "deposits gradients", 1),
        moment(step, "uses them", 1),
        moment(backward, "adds to them", 2),
        moment(step, "uses the sum", 2),
    ) == expected(
        """
        LG101 some-rule: the message
          --> x.py:10:9
           |
         3 |     for batch in loader:
        ...
         7 |         loss.backward(); log(loss)
           |         --------------- (1) iteration 1: deposits gradients
           |                         (3) iteration 2: adds to them
         8 |         one()
         9 |         two()
        10 |         optimizer.step(
           |         ^^^^^^^^^^^^^^^ (2) iteration 1: uses them
           |                         (4) iteration 2: uses the sum
        11 |             closure,
        12 |         )
           |
        help: the advice
        """
    )


def test_ranges_on_one_row_hang_their_labels_below() -> None:
    assert drawn(
        at(7, 26, 35),
        moment(at(7, 9, 24), "first"),
        moment(at(7, 26, 35), "second"),
        moment(at(7, 9, 24), "third"),
        moment(at(7, 26, 35), "fourth"),
    ) == expected(
        """
        LG101 some-rule: the message
         --> x.py:7:26
          |
        3 |     for batch in loader:
        ...
        7 |         loss.backward(); log(loss)
          |         ---------------  ^^^^^^^^^ (2) second
          |         |                          (4) fourth
          |         |
          |         (1) first
          |         (3) third
          |
        help: the advice
        """
    )


def test_nested_ranges_are_both_visible() -> None:
    assert "|         -----------------^^^^---- (2) inner" in drawn(
        at(7, 26, 30), moment(at(7, 9, 34), "outer"), moment(at(7, 26, 30), "inner")
    )


def test_moments_in_another_file_get_a_snippet_of_their_own() -> None:
    output = drawn(
        at(7, 9, 24), moment(at(1, 1, 5, path="helper.py"), "elsewhere", 1), moment(at(7, 9, 24), "here", 1),
        helper="step()\n",
    )  # fmt: skip
    assert (
        expected(
            """
             ::: helper.py:1:1
              |
            1 | step()
              | ---- (1) iteration 1: elsewhere
              |
            help: the advice
            """
        )
        in output
    )


def test_moments_in_a_file_that_is_gone_are_listed() -> None:
    output = drawn(at(7, 9, 24), moment(at(1, 1, 5, path="gone.py"), "elsewhere"))
    assert " ::: gone.py:1:1\n  = (1) elsewhere\nhelp: " in output


def test_a_finding_without_evidence_shows_the_lines_around_it() -> None:
    assert drawn(at(2, 1, 2), text="a\nb\nc\nd\ne\n") == expected(
        """
        LG101 some-rule: the message
         --> x.py:2:1
          |
        1 | a
        2 | b
          | ^
        3 | c
        4 | d
          |
        help: the advice
        """
    )


def test_empty_lines_at_the_end_are_not_shown() -> None:
    assert "3 |" not in drawn(at(1, 1, 2), text="a\nb\n\n\n")


def test_a_place_behind_the_last_line_is_underlined_all_the_same() -> None:
    assert "2 |\n  |     ^\n" in drawn(at(2, 5, 5), text="a\n")
    assert "1 | a\n  |  ^\n" in drawn(at(1, 2, 2), text="a")
    assert "9 |\n  | ^ (1) gone\n" in drawn(at(9, 1, 1), moment(at(9, 1, 1), "gone"), text="a")


def test_a_finding_at_module_level_has_no_loop_above() -> None:
    assert "...\n" not in drawn(at(5, 1, 2), moment(at(5, 1, 2), "here"), text="for x in y:\n    a\n\n\nb\n")


def test_a_finding_in_a_plain_block_has_no_loop_above() -> None:
    assert "if x" not in drawn(at(5, 5, 6), moment(at(5, 5, 6), "here"), text="if x:\n    a\n    a\n    a\n    b\n")


def test_the_loop_of_another_function_is_not_shown() -> None:
    text = "for x in y:\n    a\n    a\n    a\n    def f():\n        b\n"
    assert "for x" not in drawn(at(6, 9, 10), moment(at(6, 9, 10), "here"), text=text)


@pytest.mark.parametrize(
    ("line", "column", "end", "shown", "underline"),
    [
        ("\tstep()", 2, 8, "    step()", "    ^^^^^^"),
        ("a\tstep()", 3, 9, "a   step()", "    ^^^^^^"),
        ("'漢字', step()", 7, 13, "'漢字', step()", "        ^^^^^^"),
        ("'e\u0301', step()", 7, 13, "'e\u0301', step()", "     ^^^^^^"),
        ("'\x1b[31m', step()", 10, 16, "'\\x1b[31m', step()", "            ^^^^^^"),
        ("'\u202e', step()", 6, 12, "'\\u202e', step()", "          ^^^^^^"),
        ("'\x7f', step()", 6, 12, "'\\x7f', step()", "        ^^^^^^"),
        ("'##vso[a]', step()", 13, 19, "'#\\x23vso[a]', step()", "               ^^^^^^"),
        ("step()" + " " * 200 + "# far", 1, 7, "step()" + " " * 174 + "...", "^^^^^^"),
        ("x" * 300 + "step()", 301, 307, "..." + "x" * 60 + "step()", " " * 63 + "^^^^^^"),
        (
            "y" * 100 + "step()" + "x" * 300,
            101,
            107,
            "y" * 100 + "step()" + "x" * 74 + "...",
            " " * 100 + "^^^^^^",
        ),
        ("x" * 300, 1, 301, "x" * 180 + "...", "^" * 180),
    ],
)
def test_columns_are_those_of_the_screen(line: str, column: int, end: int, shown: str, underline: str) -> None:
    output = drawn(at(1, column, end), text=line + "\n")
    assert f"1 | {shown}\n  | {underline}\n" in output


def test_two_ranges_far_apart_on_a_long_line_are_both_underlined() -> None:
    line = "a()" + " " * 500 + "b()"
    output = drawn(at(1, 504, 507), moment(at(1, 1, 4), "first"), text=line)
    assert "(1) first" in output
    assert "^" in output


def test_levels_have_colours_of_their_own() -> None:
    error = drawn(at(1, 1, 2), text="a", style=Style(True))
    warning = drawn(at(1, 1, 2), text="a", style=Style(True), level="warning")
    assert "\x1b[1;91mLG101\x1b[0m" in error and "\x1b[1;91m^\x1b[0m" in error
    assert "\x1b[1;93mLG101\x1b[0m" in warning and "\x1b[1;93m^\x1b[0m" in warning


def test_colours_add_nothing_but_colours() -> None:
    import re

    arguments = (at(7, 26, 35), moment(at(7, 9, 24), "first"), moment(at(7, 26, 35), "second"))
    assert re.sub(r"\x1b\[[0-9;]*m", "", drawn(*arguments, style=Style(True))) == drawn(*arguments)


def test_a_real_finding_shows_the_path_that_proves_it(run: Run, write) -> None:
    write("train.py")
    output = run("check").stdout
    assert output.startswith("LG101 missing-zero-grad: ")
    assert "\n  --> train.py:11:5\n" in output
    assert "\n 8 | for inputs, targets in loader:\n" in output
    assert "\n10 |     loss.backward()\n   |     ---------------" in output
    assert "\n11 |     optimizer.step()\n   |     ^^^^^^^^^^^^^^^^" in output
    assert "(1) iteration 1: " in output
    assert "\nhelp: " in output
