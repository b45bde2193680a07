"""The renderers for programs: concise, json, json-lines, github; statistics, summary, colours, progress."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from io import StringIO
from pathlib import Path

import pytest
from conftest import BROKEN, ROOT, Run

from loopguard.events import Event, Kind, Moment, Place
from loopguard.finding import Finding
from loopguard.report import Context, progress, render
from loopguard.report.style import Style, choose
from loopguard.report.summary import statistics, summary


def finding(code: str = "LG101", level: str = "error", **place: int | str | None) -> Finding:
    fields = {"path": "x.py", "row": 3, "column": 5, "end_row": 3, "end_column": 9, **place}
    where = Place(**fields)  # type: ignore[arg-type]
    moment = Moment(Event(Kind.STEP, "opt", where, "opt.step()"), "uses them", 2)
    url = "https://example.org/LG101" if code == "LG101" else None
    return Finding(code, "missing-zero-grad", level, "100%, really: yes", "add it\nnow", where, (moment,), url=url)


def rendered(name: str, *findings: Finding, style: Style | None = None) -> str:
    context = Context(style or Style(), lambda path: None)
    return "\n".join(render(name, findings, context))


def test_a_fingerprint_survives_shifted_lines_and_nothing_else() -> None:
    assert finding().fingerprint == finding(row=7, end_row=7).fingerprint
    assert len({finding().fingerprint, finding("X1").fingerprint, finding(path="y.py").fingerprint}) == 3


def test_concise_is_a_line_each() -> None:
    assert rendered("concise", finding(), finding("X1", cell=2)) == (
        "x.py:3:5: LG101 missing-zero-grad: 100%, really: yes\nx.py:cell 2:3:5: X1 missing-zero-grad: 100%, really: yes"
    )


def test_json_has_the_fields_of_ruff_and_evidence(place: Path) -> None:
    (fields,) = json.loads(rendered("json", finding(cell=4)))
    assert list(fields) == sorted(fields)
    assert fields == {
        "advice": "add it\nnow",
        "cell": 4,
        "code": "LG101",
        "end_location": {"column": 9, "row": 3},
        "evidence": [
            {
                "cell": 4,
                "end_location": {"column": 9, "row": 3},
                "filename": str(place / "x.py"),
                "iteration": 2,
                "kind": "step",
                "location": {"column": 5, "row": 3},
                "note": "uses them",
                "subject": "opt",
                "text": "opt.step()",
            }
        ],
        "filename": str(place / "x.py"),
        "fix": None,
        "location": {"column": 5, "row": 3},
        "message": "100%, really: yes",
        "name": "missing-zero-grad",
        "noqa_row": 3,
        "severity": "error",
        "url": "https://example.org/LG101",
    }


def test_json_knows_no_advice_and_no_url_but_info_and_null() -> None:
    (fields,) = json.loads(rendered("json", finding("X1", "advice", path="-")))
    assert (fields["severity"], fields["url"], fields["filename"]) == ("info", None, "-")


def test_json_without_findings_is_an_empty_list(run: Run, write) -> None:
    write("x.py", "")
    assert run("check", "--output-format", "json").stdout == "[]\n"


def test_json_lines_are_json_line_by_line() -> None:
    lines = rendered("json-lines", finding(), finding("X1")).split("\n")
    assert [json.loads(line)["code"] for line in lines] == ["LG101", "X1"]
    assert json.loads(lines[0]) == json.loads(rendered("json", finding()))[0]


def test_json_lines_without_findings_are_nothing(run: Run, write) -> None:
    write("x.py", "")
    assert run("check", "--output-format", "json-lines").stdout == ""


def test_github_gets_escaped_workflow_commands(place: Path) -> None:
    assert rendered("github", finding(path="a,b:c.py")) == (
        f"::error title=loopguard (LG101),file={place}/a%2Cb%3Ac.py,line=3,col=5,endLine=3,endColumn=9"
        "::a,b:c.py:3:5: LG101 missing-zero-grad: 100%25, really: yes%0A  help: add it\\nnow"
    )


def test_github_gets_no_columns_for_several_lines() -> None:
    assert ",line=3,endLine=5::" in rendered("github", finding(end_row=5))


def test_github_gets_no_rows_of_cells() -> None:
    assert ",line=1,col=1,endLine=1,endColumn=1::x.py:cell 2:3:5" in rendered("github", finding(cell=2))


@pytest.mark.parametrize(("level", "command"), [("warning", "warning"), ("advice", "notice")])
def test_github_knows_the_level(level: str, command: str) -> None:
    assert rendered("github", finding(level=level)).startswith(f"::{command} ")


@pytest.mark.parametrize(
    ("levels", "text"),
    [
        ([], "All checks passed!"),
        (["error"], "Found 1 error."),
        (["error", "error"], "Found 2 errors."),
        (["warning", "error"], "Found 1 error and 1 warning."),
        (["advice", "warning", "warning", "error"], "Found 1 error, 2 warnings and 1 piece of advice."),
        (["advice", "advice"], "Found 2 pieces of advice."),
    ],
)
def test_the_summary_counts_by_level(levels: Sequence[str], text: str) -> None:
    assert summary([finding(level=level) for level in levels], Style()) == text


def test_statistics_put_the_most_frequent_rule_first() -> None:
    findings = [finding("LG101"), *[finding("LG204")] * 10]
    assert list(statistics(findings, Style())) == [
        "10\tLG204\tmissing-zero-grad",
        " 1\tLG101\tmissing-zero-grad",
    ]


def test_statistics_for_github_are_text(run: Run, write) -> None:
    write("x.py")
    result = run("check", "--statistics", "--output-format", "github")
    assert result.stdout == "1\tLG101\tmissing-zero-grad\n"


@pytest.mark.parametrize(
    ("when", "terminal", "environment", "colour"),
    [
        ("auto", True, {}, True),
        ("auto", False, {}, False),
        ("auto", True, {"NO_COLOR": "1"}, False),
        ("auto", True, {"NO_COLOR": ""}, True),
        ("auto", True, {"TERM": "dumb"}, False),
        ("auto", False, {"FORCE_COLOR": "1"}, True),
        ("auto", False, {"FORCE_COLOR": "1", "NO_COLOR": "1"}, True),
        ("always", False, {"NO_COLOR": "1"}, True),
        ("never", True, {"FORCE_COLOR": "1"}, False),
    ],
)
def test_colour_depends_on_option_environment_and_terminal(
    when: str, terminal: bool, environment: dict[str, str], colour: bool
) -> None:
    style = choose(when, terminal, environment)
    assert style.colour is colour
    assert style.links is (colour and terminal)


def test_codes_are_links_where_links_are_understood() -> None:
    link = "\x1b]8;;https://example.org/LG101\x1b\\\x1b[1;91mLG101\x1b[0m\x1b]8;;\x1b\\"
    assert link in rendered("concise", finding(), style=Style(True, True))
    assert "\x1b]8;;" not in rendered("concise", finding(), style=Style(True, False))
    assert "\x1b]8;;" not in rendered("concise", finding("X1"), style=Style(True, True))


def test_a_pipe_gets_no_colour_unless_it_is_forced(run: Run, write) -> None:
    write("x.py")
    assert "\x1b" not in run("check").stdout
    assert "\x1b[" in run("check", env={"FORCE_COLOR": "1"}).stdout
    assert "\x1b" not in run("check", "--color", "never", env={"FORCE_COLOR": "1"}).stdout


def test_a_terminal_gets_colours_and_links(place: Path) -> None:
    import pty
    import subprocess

    (place / "x.py").write_text(BROKEN)
    ours, theirs = pty.openpty()
    subprocess.run(
        [sys.executable, "-m", "loopguard", "check"],
        cwd=place,
        env={"PYTHONPATH": str(ROOT), "TERM": "xterm", "PATH": os.environ["PATH"]},
        stdout=theirs,
        check=False,
    )
    os.close(theirs)
    output = os.read(ours, 4096)
    os.close(ours)
    assert b"\x1b]8;;https://docs.pytorch.org/" in output
    assert b"\x1b[1;91mLG101\x1b[0m" in output


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def slow_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that advances by 0.4 seconds whenever somebody looks."""
    ticks = iter(range(1000))
    monkeypatch.setattr(progress, "monotonic", lambda: next(ticks) * 0.4)


@pytest.mark.usefixtures("slow_clock")
def test_long_work_draws_a_bar_on_a_terminal_and_removes_it() -> None:
    stream = Terminal()
    assert list(progress.progress("abcdef", 6, stream, wanted=True)) == list("abcdef")
    drawn = stream.getvalue().split("\r")
    assert drawn[1] == f"[{'#' * 10}{'-' * 20}] 2/6 files"
    assert drawn[-1] == "\x1b[K"


def test_short_work_draws_nothing() -> None:
    stream = Terminal()
    assert list(progress.progress("ab", 2, stream, wanted=True)) == ["a", "b"]
    assert stream.getvalue() == ""


@pytest.mark.usefixtures("slow_clock")
def test_a_pipe_gets_no_bar_and_neither_does_who_wants_none() -> None:
    pipe, terminal = StringIO(), Terminal()
    assert list(progress.progress("abcdef", 6, pipe, wanted=True)) == list("abcdef")
    assert list(progress.progress("abcdef", 6, terminal, wanted=False)) == list("abcdef")
    assert (pipe.getvalue(), terminal.getvalue()) == ("", "")
