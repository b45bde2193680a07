"""What was not judged in full is said: to people and to programs, by a process of its own, and from the cache."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import BROKEN, HEALTHY, Run
from growth.pieces import FAULTY, HEAD, indented, many

from loopguard import finding_text
from loopguard.limits import Limit

Write = Callable[[str, str], Path]

FORKED = f"{HEAD}for x in loader:\n{indented(many('if a{}: loss.backward()' + chr(10) + 'if a{}: optimizer.step()' + chr(10), 12))}"
"""A loop in which twelve conditions have to be told apart."""

IN_FUNCTION = f"{HEAD}def train(loader):\n{indented(FORKED.removeprefix(HEAD))}"
IN_METHOD = f"{HEAD}class Trainer:\n{indented(IN_FUNCTION.removeprefix(HEAD).replace('(loader)', '(self, loader)'))}"
REASON = "more than 8 conditions have to be told apart on one path"


def test_silence_about_what_was_not_judged_is_no_praise(run: Run, write: Write) -> None:
    write("x.py", FORKED)
    result = run("check")
    assert result.stdout == "Nothing found. Not judged in full: the top level at x.py:1:1; -v says why.\n"
    assert result.exit_code == 0


def test_what_was_not_judged_is_told_beside_findings(run: Run, write: Write) -> None:
    write("x.py", BROKEN)
    write("y.py", IN_FUNCTION)
    last = run("check", "--output-format", "concise").stdout.splitlines()[-1]
    assert last == "Found 1 error. Not judged in full: `train` at y.py:5:1; -v says why."


def test_a_comment_about_what_was_not_judged_is_not_called_unused(run: Run, write: Write) -> None:
    write("x.py", FORKED.replace("optimizer.step()", "optimizer.step()  # loopguard: ignore[LG101]"))
    assert run("check").stdout.startswith("Nothing found. Not judged in full")


def test_the_summary_names_the_first_of_several(run: Run, write: Write) -> None:
    write("x.py", IN_METHOD)
    write("y.py", FORKED)
    last = run("check").stdout.splitlines()[-1]
    assert last == "Nothing found. Not judged in full: `Trainer.train` at x.py:6:5 and 1 more; -v lists them."


def test_v_says_why(run: Run, write: Write) -> None:
    write("x.py", IN_FUNCTION)
    assert f"loopguard: x.py:5:1: `train` was not judged in full: {REASON}\n" in run("check", "-v").stderr


def test_json_has_it_behind_the_findings_and_without_a_code(run: Run, write: Write, place: Path) -> None:
    write("a.py", FORKED)
    write("b.py", BROKEN)
    found, left = json.loads(run("check", "--output-format", "json").stdout)
    assert list(left) == list(found)
    assert (found["code"], left["code"], left["severity"]) == ("LG101", None, "info")
    assert (left["filename"], left["location"]) == (str(place / "a.py"), {"column": 1, "row": 1})
    assert left["message"] == f"the top level was not judged in full: {REASON}"


def test_json_lines_have_it_in_a_line(run: Run, write: Write) -> None:
    write("x.py", FORKED)
    (line,) = run("check", "--output-format", "json-lines").stdout.splitlines()
    assert [json.loads(line)] == json.loads(run("check", "--output-format", "json").stdout)


def test_github_gets_a_notice(run: Run, write: Write, place: Path) -> None:
    write("x.py", FORKED)
    assert run("check", "--output-format", "github").stdout == (
        f"::notice title=loopguard,file={place}/x.py,line=1,col=1,endLine=1,endColumn=1"
        f"::x.py:1:1: the top level was not judged in full: {REASON}\n"
    )


def test_the_cache_remembers_it(run: Run, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    write("x.py", FORKED)
    write("y.py", IN_FUNCTION + "\n" + BROKEN)
    first = run("check", "--output-format", "json")
    analysed: list[object] = []
    monkeypatch.setattr("loopguard.static.analyse", lambda *given: analysed.append(given))
    second = run("check", "--output-format", "json")
    assert analysed == []
    assert first.stdout == second.stdout
    assert second.stdout.count(REASON) == 2


def test_processes_bring_it_along(run: Run, write: Write) -> None:
    for number in range(40):
        write(f"x{number}.py", FORKED)
    apart = run("check", "--no-cache", "--jobs", "2", "--output-format", "json")
    assert len(json.loads(apart.stdout)) == 40
    assert apart.stdout == run("check", "--no-cache", "--jobs", "1", "--output-format", "json").stdout


def test_standard_input_has_it_too(run: Run) -> None:
    assert "Not judged in full: the top level at -:1:1" in run("check", "-", input=FORKED).stdout


def test_a_cell_of_a_notebook_is_named(run: Run, write: Write) -> None:
    cells = [{"cell_type": "code", "source": text} for text in ("x = 1\n", IN_FUNCTION)]
    write("x.ipynb", json.dumps({"cells": cells, "metadata": {}, "nbformat": 4}))
    assert "Not judged in full: `train` at x.ipynb:cell 2:5:1" in run("check").stdout


def test_who_takes_too_many_steps_is_told_of(run: Run, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Limit.STEPS, "most", 0)
    write("x.py", BROKEN)
    result = run("check", "-v", "--no-cache")
    assert (
        result.stdout
        == "Nothing found. Not judged in full: the top level, and what follows, at x.py:1:1; -v says why.\n"
    )
    assert Limit.STEPS.reason in result.stderr


def test_a_file_that_takes_too_many_steps_in_all_is_told_of(
    run: Run, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Limit.STEPS, "most", 2_000)
    monkeypatch.setattr(Limit.FILE, "most", 0)
    write("x.py", HEAD + many("def f{}(loader):\n" + indented(FAULTY), 100))
    result = run("check", "-v", "--no-cache", "--output-format", "concise")
    assert "LG101" in result.stdout
    assert f", and what follows, was not judged in full: {Limit.FILE.reason}" in result.stderr


def test_a_file_that_is_nested_too_deeply_for_python_is_a_finding(run: Run, write: Write) -> None:
    write("x.py", f"{BROKEN}\nx = {'(' * 300}{')' * 300}\n")
    result = run("check", "--output-format", "concise")
    assert result.exit_code == 1
    assert "LG000 invalid-syntax" in result.stdout


def test_what_is_nested_too_deeply_for_us_is_told_of_and_the_rest_is_judged(run: Run, write: Write) -> None:
    deep = "not " * 5_000
    write("x.py", f"{BROKEN}\ny = {deep}x\n")
    result = run("check", "-v", "--output-format", "concise")
    assert "x.py:11:5: LG101" in result.stdout
    assert f"a statement was not judged in full: {Limit.NESTING.reason}" in result.stderr


def test_what_is_taken_for_unknown_code_is_told_to_who_asks(run: Run, write: Write) -> None:
    calls = "".join(f"def f{number}(o): f{number + 1}(o)\n" for number in range(12))
    write("x.py", f"{HEAD}{calls}def f12(o): o.step()\n{FAULTY}    f0(optimizer)\n")
    result = run("check", "-v")
    assert "calls more than 10 deep were taken for unknown code" in result.stderr
    assert "Not judged in full" not in result.stdout


def test_many_loops_of_one_module_are_all_judged(run: Run, write: Write) -> None:
    write("x.py", HEAD + FAULTY * 1_000)
    assert run("check", "--output-format", "concise").stdout.endswith("Found 1000 errors.\n")


def test_nothing_is_left_out_of_what_is_well(run: Run, write: Write) -> None:
    write("x.py", HEALTHY)
    result = run("check", "-v")
    assert result.stdout == "All checks passed!\n"
    assert "not judged" not in result.stderr


@pytest.mark.parametrize(
    "text",
    ['[[],[[["x",1,1,1,1,null],"f","NONE"]]]', "[[],[[]]]", "[[]]", "[]", '[[],[[["x"],"f","STEPS"]]]', "[[],0]"],
)
def test_other_text_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        finding_text.load(text)
