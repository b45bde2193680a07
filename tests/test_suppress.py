"""Comments that keep findings quiet, and those that keep nothing quiet."""

from __future__ import annotations

import pytest
from conftest import BROKEN, HEALTHY, Run, places


@pytest.fixture
def check(run: Run, write):  # type: ignore[no-untyped-def]
    """The findings of a text, and of what was said about them."""

    def check_text(text: str, *arguments: str) -> list[str]:
        write("x.py", text)
        result = run("check", "--output-format", "concise", *arguments)
        assert result.stderr == ""
        return [place.removeprefix("x.py:") for place in places(result)]

    return check_text


def commented(comment: str, text: str = BROKEN) -> str:
    return text.replace("optimizer.step()", f"optimizer.step()  {comment}")


@pytest.mark.parametrize(
    "comment",
    [
        "# loopguard: ignore",
        "# loopguard: ignore[missing-zero-grad]",
        "# loopguard: ignore[LG101]",
        "#loopguard:ignore[ missing-zero-grad ]",
        "# loopguard: ignore[LG101] since this is a demonstration",
        "# type: ignore # loopguard: ignore[LG101]",
        "# loopguard: ignore[LG101",
        "# noqa",
        "# noqa: LG101",
        "# NOQA:lg101",
        "# noqa: E501,LG101",
        "# noqa: E501 LG101 and some words",
    ],
)
def test_a_comment_hides_the_finding_on_its_line(check, comment: str) -> None:
    assert check(commented(comment)) == []


@pytest.mark.parametrize(
    "comment",
    [
        "# noqa: E501",
        "# noqa: because",
        "# noqa-like words",
        "# loopguard: ignored",
        "# loopguard: ignore-all",
        "# please loopguard, ignore this",
    ],
)
def test_other_comments_hide_nothing(check, comment: str) -> None:
    assert check(commented(comment)) == ["11:5: LG101"]


def test_text_in_a_string_is_no_comment(check) -> None:
    text = BROKEN.replace("optimizer.step()", "optimizer.step(); '# noqa'; '# loopguard: ignore'")
    assert check(text) == ["11:5: LG101"]


def test_a_comment_on_another_line_hides_nothing(check) -> None:
    text = BROKEN.replace("loss.backward()", "loss.backward()  # noqa: LG101")
    assert check(text) == ["10:22: LG002", "11:5: LG101"]


@pytest.mark.parametrize("row", [0, 1, 2])
def test_a_comment_counts_on_any_line_of_the_statement(check, row: int) -> None:
    lines = ["optimizer.step(", "    None", "    )"]
    lines[row] += "  # loopguard: ignore[LG101]"
    assert check(BROKEN.replace("optimizer.step()", "\n    ".join(lines))) == []


def test_a_comment_alone_on_its_line_is_about_the_statement_below(check) -> None:
    above = "# loopguard: ignore[LG101]\n    # for a reason\n    optimizer.step()"
    assert check(BROKEN.replace("optimizer.step()", above)) == []


def test_a_comment_above_an_empty_line_is_about_nothing(check) -> None:
    above = "# loopguard: ignore[LG101]\n\n    optimizer.step()"
    assert check(BROKEN.replace("optimizer.step()", above)) == ["11:5: LG002", "13:5: LG101"]


def test_a_noqa_alone_on_its_line_is_about_that_line(check) -> None:
    above = "# noqa: LG101\n    optimizer.step()"
    assert check(BROKEN.replace("optimizer.step()", above)) == ["11:5: LG002", "12:5: LG101"]


def test_ignore_file_hides_its_rules_everywhere(check) -> None:
    assert check(BROKEN + "# loopguard: ignore-file[missing-zero-grad]\n") == []


def test_ignore_file_without_rules_leaves_the_file_alone(check) -> None:
    assert check("# loopguard: ignore-file\n" + BROKEN) == []
    assert check("# loopguard: ignore-file\noptimizer.step(\n") == []
    assert check("# loopguard: ignore-file\n" + HEALTHY + "x = 1  # loopguard: ignore[LG101]\n") == []


def test_comments_of_a_file_that_cannot_be_parsed_still_count(check) -> None:
    assert check("if x:\noptimizer.step()  # loopguard: ignore[LG000]\n") == []
    assert [found[-5:] for found in check("optimizer.step())  # noqa: LG101\n")] == ["LG000"]


@pytest.mark.parametrize("comment", ["# noqa", "# loopguard: ignore"])
def test_a_comment_for_all_rules_does_not_hide_that_a_file_cannot_be_parsed(check, comment: str) -> None:
    assert check(f"optimizer.step())  {comment}\n") != []
    assert check(f"optimizer.step())  {comment}\n# loopguard: ignore-file[invalid-syntax]\n") == []


def test_an_unused_comment_on_stdin_is_quoted(run: Run) -> None:
    assert "1 | x = 1  # noqa: LG101\n" in run("check", "-", input="x = 1  # noqa: LG101\n").stdout


@pytest.mark.parametrize(
    ("comment", "said"),
    [
        ("# loopguard: ignore", "no finding"),
        ("# loopguard: ignore[missing-zero-grad]", "`missing-zero-grad`"),
        ("# loopguard: ignore[LG101, LG204]", "`LG101, LG204`"),
        ("# loopguard: ignore-file[LG101]", "`LG101`"),
        ("# noqa: LG101, E501", "`LG101`"),
    ],
)
def test_a_comment_that_hides_nothing_is_reported(run: Run, write, comment: str, said: str) -> None:
    write("x.py", commented(comment, HEALTHY))
    result = run("check", "--output-format", "concise")
    assert places(result) == ["x.py:12:23: LG002"]
    assert said in result.stdout


def test_unused_comments_are_reported_in_files_without_loop_words(check) -> None:
    assert check("x = 1  # loopguard: ignore[LG101]\n") == ["1:8: LG002"]
    assert check("x = 1  # noqa: LG101\n") == ["1:8: LG002"]


def test_only_the_unused_rules_of_a_comment_are_reported(run: Run, write) -> None:
    write("x.py", commented("# loopguard: ignore[LG101, LG204]"))
    result = run("check", "--output-format", "concise")
    assert places(result) == ["x.py:11:23: LG002"]
    assert "`LG204`" in result.stdout


@pytest.mark.parametrize("comment", ["# noqa", "# noqa: E501", "# noqa: ABC123"])
def test_suppressions_of_other_tools_are_left_alone(check, comment: str) -> None:
    assert check(commented(comment, HEALTHY) + "x = 1  # loopguard\n") == []


def test_unknown_rules_are_reported(run: Run, write) -> None:
    write("x.py", commented("# loopguard: ignore[mising-zero-grad]  # noqa: LG999"))
    result = run("check", "--output-format", "concise")
    assert places(result) == ["x.py:11:5: LG101", "x.py:11:23: LG002", "x.py:11:62: LG002"]
    assert "there is no rule `mising-zero-grad`" in result.stdout


def test_rules_that_are_off_are_not_called_unused(check, write) -> None:
    text = commented("# loopguard: ignore[LG204]", HEALTHY)
    assert check(text, "--ignore", "LG204") == []
    assert check(text, "--select", "LG002") == []
    assert check(text, "--select", "LG002,LG204") == ["12:23: LG002"]
    write("loopguard.toml", 'per-file-ignores = { "x.py" = ["LG204"] }\n')
    assert check(text) == []


def test_a_comment_for_all_rules_is_unused_only_if_all_were_on(check) -> None:
    text = commented("# loopguard: ignore", HEALTHY)
    assert check(text, "--select", "LG002,LG101") == []
    assert check(text, "--extend-select", "ALL") == ["12:23: LG002"]


def test_the_report_of_an_unused_comment_can_be_hidden(check) -> None:
    assert check(commented("# loopguard: ignore[LG101, unused-ignore]", HEALTHY)) == []
    assert check("# loopguard: ignore-file[LG002]\n" + commented("# loopguard: ignore", HEALTHY)) == []
    assert check(commented("# loopguard: ignore[LG101]", HEALTHY), "--ignore", "LG002") == []


def test_a_rule_that_only_a_run_can_judge_is_never_called_unused(check, write) -> None:
    write(
        "own/at_run_time.py",
        '"""Only at run time."""\nfrom loopguard.rule import *\nclass R(Rule):\n'
        '    code, level, engines, mistakes, bad, good = "X1", Level.ERROR, "R", frozenset(), (), ()\n',
    )
    write("loopguard.toml", 'extend-rules = ["own"]\nexclude = ["own"]\n')
    assert check(commented("# loopguard: ignore[at-run-time, X1]", HEALTHY)) == []


def test_comments_after_a_crash_are_not_called_unused(run: Run, write, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError

    write("x.py", commented("# loopguard: ignore[LG204]"))
    monkeypatch.setattr("loopguard.static.analyse", fail)
    assert run("check").stdout == ""


def test_comments_in_notebooks_count_within_their_cell(run: Run, write) -> None:
    import json

    def notebook(comment: str) -> str:
        setup, loop = BROKEN.split("\n\nfor")
        sources = [setup, f"for{loop}".replace("step()", f"step()  {comment}")]
        cells = [{"cell_type": "code", "metadata": {}, "source": source} for source in sources]
        return json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5})

    write("x.ipynb", notebook("# loopguard: ignore[LG101]"))
    assert run("check").exit_code == 0
    write("x.ipynb", notebook("# loopguard: ignore[LG204]"))
    result = run("check", "--output-format", "concise")
    assert "x.ipynb:cell 2:4:23: LG002" in result.stdout
    assert "x.ipynb:cell 2:4:5: LG101" in result.stdout
