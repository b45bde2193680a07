"""Configuration: which file holds, what it may say, and what is said about mistakes in it."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import BROKEN, Run, places
from test_catalogue import OWN

IGNORE = '[tool.loopguard]\nignore = ["LG101"]\n'


def test_the_closest_table_holds_for_a_file(run: Run, write) -> None:
    write("pyproject.toml", IGNORE)
    write("a.py")
    write("sub/pyproject.toml", "[tool.loopguard]\n")
    write("sub/b.py")
    assert places(run("check", "--output-format", "concise")) == ["sub/b.py:11:5: LG101"]


def test_a_pyproject_without_the_table_is_passed_over(run: Run, write) -> None:
    write("pyproject.toml", IGNORE)
    write("one/pyproject.toml", '[project]\nname = "loopguard-user"\n')
    write("one/two/pyproject.toml", "this is not even TOML")
    write("one/two/b.py")
    assert run("check").exit_code == 0


@pytest.mark.parametrize("name", ["loopguard.toml", ".loopguard.toml"])
def test_a_file_of_our_own_needs_no_table(run: Run, write, name: str) -> None:
    write(name, 'ignore = ["LG101"]\n')
    write("a.py")
    assert run("check").exit_code == 0


def test_isolated_reads_no_configuration(run: Run, write) -> None:
    write("pyproject.toml", IGNORE)
    write("a.py")
    assert run("check", "--isolated").exit_code == 1


def test_a_named_file_holds_for_everything_with_patterns_from_here(run: Run, write) -> None:
    write("conf/strict.toml", 'extend-exclude = ["sub/out.py"]\n')
    write("pyproject.toml", IGNORE)
    write("a.py")
    write("sub/out.py")
    result = run("check", "--config", "conf/strict.toml", "--output-format", "concise")
    assert places(result) == ["a.py:11:5: LG101"]


def test_a_named_pyproject_must_have_the_table(run: Run, write) -> None:
    write("sub/pyproject.toml", "[project]\n")
    result = run("check", "--config", "sub/pyproject.toml")
    assert result.stderr == "loopguard: error: --config: sub/pyproject.toml has no table `tool.loopguard`\n"


def test_the_command_line_overrides_the_file(run: Run, write) -> None:
    write("pyproject.toml", IGNORE)
    write("a.py")
    assert run("check", "--select", "LG101").exit_code == 1


def test_extend_comes_first_and_is_overridden(run: Run, write) -> None:
    write("base.toml", 'ignore = ["LG101"]\nextend-exclude = ["gen"]\noutput-format = "concise"\n')
    write("loopguard.toml", 'extend = "base.toml"\nextend-select = ["LG101"]\n')
    write("gen/b.py")
    write("a.py")
    assert places(run("check")) == ["a.py:11:5: LG101"]


def test_extend_of_a_pyproject_reads_its_table(run: Run, write, monkeypatch: pytest.MonkeyPatch, place: Path) -> None:
    monkeypatch.setenv("BASE", str(place / "base"))
    write("base/pyproject.toml", IGNORE)
    write("loopguard.toml", 'extend = "$BASE/pyproject.toml"\n')
    write("a.py")
    assert run("check").exit_code == 0


def test_extend_of_a_pyproject_without_the_table_adds_nothing(run: Run, write) -> None:
    write("base/pyproject.toml", "[project]\n")
    write("loopguard.toml", 'extend = "base/pyproject.toml"\n')
    write("a.py")
    assert run("check").exit_code == 1


def test_output_format_can_be_configured(run: Run, write) -> None:
    write("pyproject.toml", '[tool.loopguard]\noutput-format = "github"\n')
    write("a.py")
    assert run("check").stdout.startswith("::error ")


def test_per_file_ignores_hold_for_matching_files(run: Run, write) -> None:
    write(
        "pyproject.toml",
        '[tool.loopguard.per-file-ignores]\n"tests/*" = ["missing-zero-grad"]\n"c.py" = ["ALL"]\n',
    )
    for name in ("a.py", "sub/c.py", "tests/b.py", "tests/deep/b.py"):
        write(name)
    assert places(run("check", "--output-format", "concise")) == ["a.py:11:5: LG101"]


def test_a_negated_pattern_ignores_everywhere_else(run: Run, write) -> None:
    write("pyproject.toml", '[tool.loopguard.per-file-ignores]\n"!src/**" = ["LG1"]\n')
    write("a.py")
    write("src/b.py")
    assert places(run("check", "--output-format", "concise")) == ["src/b.py:11:5: LG101"]


def test_the_more_specific_selector_wins(run: Run, write) -> None:
    write("a.py")
    assert run("check", "--select", "LG1", "--ignore", "LG101").exit_code == 0
    assert run("check", "--select", "LG101", "--ignore", "LG1").exit_code == 1
    assert run("check", "--select", "missing-zero-grad", "--ignore", "ALL").exit_code == 1
    assert run("check", "--select", "LG1", "--ignore", "LG1").exit_code == 0


def test_an_empty_select_selects_nothing(run: Run, write) -> None:
    write("train.py", BROKEN)
    assert run("check", "train.py").exit_code == 1
    write("loopguard.toml", "select = []\n")
    assert run("check", "train.py").exit_code == 0


def test_advice_is_off_until_it_is_selected(run: Run) -> None:
    import tomllib

    on = tomllib.loads(run("check", "--isolated", "--show-settings").stdout)["select"]
    all_on = tomllib.loads(run("check", "--isolated", "--show-settings", "--select", "ALL").stdout)["select"]
    assert set(all_on) - set(on) == {"LG403", "LG703", "LG903"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("selct = []", "unknown key `selct`; did you mean `select`?"),
        ("per_file_ignores = {}", "unknown key `per_file_ignores`; did you mean `per-file-ignores`?"),
        ("zzz = 1", "unknown key `zzz`"),
        ('select = "LG1"', "`select` must be a list of strings"),
        ("select = [1]", "`select` must be a list of strings"),
        ("force-exclude = 1", "`force-exclude` must be true or false"),
        ("extend = []", "`extend` must be a string"),
        (
            "per-file-ignores = []",
            "`per-file-ignores` must be a table that maps patterns to lists of strings",
        ),
        (
            'per-file-ignores = {a = "b"}',
            "`per-file-ignores` must be a table that maps patterns to lists of strings",
        ),
        ('output-format = "jsonlines"', "unknown `output-format` `jsonlines`; did you mean `json-lines`?"),
        ('output-format = "xml"', "unknown `output-format` `xml`; it is one of full, concise, json,"),
        ("select = [", "is not valid TOML: "),
        ('select = ["LG999"]', "unknown rule `LG999` in `select`"),
        (
            'per-file-ignores = {a = ["missing-zero-grd"]}',
            "`per-file-ignores`; did you mean `missing-zero-grad`?",
        ),
        ('extend = "gone.toml"', "gone.toml: cannot be read: No such file or directory"),
        ('extend = "loopguard.toml"', "`extend` leads back to this file"),
        ('extend-rules = ["gone"]', "no such folder of rules: gone"),
        ("events = {}", "`events` must be a list of tables"),
        ('events = ["a"]', "`events` must be a list of tables"),
        ('events = [{cal = "a.b"}]', "unknown key `cal` in `events[0]`; did you mean `call`?"),
        ('events = [{kind = "a.b"}]', "unknown key `kind` in `events[0]`; it is one of call, does, on, loss, when"),
        ('events = [{call = "a.b"}]', "`events[0]` needs a `does`"),
        ('events = [{does = ["step"]}]', "`events[0]` needs a `call`"),
        ('events = [{call = "fused", does = []}]', "`events[0].call` must be a dotted name, or a method's name"),
        ('events = [{call = 1, does = ["step"]}]', "`events[0].call` must be a dotted name"),
        ('events = [{call = "a.b", does = []}]', "`events[0].does` must be a list of events: backward, step, clear,"),
        ('events = [{call = "a.b", does = [1]}]', "`events[0].does` must be a list of events: backward, step, clear,"),
        (
            'events = [{call = "a.b", does = ["bakward"]}]',
            "unknown event `bakward` in `events[0].does`; did you mean `backward`?",
        ),
        (
            'events = [{call = "a.b", does = ["zero_grad"]}]',
            "unknown event `zero_grad` in `events[0].does`; it is one of backward, step, clear, clip,",
        ),
        (
            'events = [{call = ".a", does = ["step"]}, {call = "a.b", does = ["step"]}]',
            "`events[1]` needs an `on`: the argument that is stepped or cleared",
        ),
        (
            'events = [{call = ".a", does = ["step"], on = -1}]',
            "`events[0].on` must be an argument's name, its position",
        ),
        (
            'events = [{call = ".a", does = ["step"], on = []}]',
            "`events[0].on` must be an argument's name, its position",
        ),
        ('events = [{call = ".a", does = ["step"], on = true}]', "`events[0].on` must be an argument's name"),
        ('events = [{call = ".a", does = ["step"], on = "a b"}]', "`events[0].on` must be an argument's name"),
        (
            'events = [{call = ".a", does = ["step"], loss = 0}]',
            '`events[0].loss` goes with "backward" in `events[0].does`',
        ),
        ('events = [{call = ".a", does = ["step"], when = 1}]', "`events[0].when` must be an argument's name"),
    ],
)
def test_a_mistake_in_a_file_is_one_line_that_names_it(run: Run, write, text: str, message: str) -> None:
    write("loopguard.toml", text + "\n")
    write("a.py", "")
    result = run("check")
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stderr.startswith("loopguard: error: ")
    assert "toml: " in result.stderr or "of rules" in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_table_must_be_a_table(run: Run, write) -> None:
    write("pyproject.toml", "[tool]\nloopguard = 3\n")
    assert "pyproject.toml: `tool.loopguard` must be a table" in run("check").stderr


def test_a_file_that_is_not_utf_8_is_an_error(run: Run, write) -> None:
    write("loopguard.toml", b"# \xff\n")
    assert "loopguard.toml: is not UTF-8: invalid start byte" in run("check").stderr


@pytest.mark.parametrize(
    "text", ['select = ["LG7777"]', "selct = []", "select = [", 'per-file-ignores = {"*" = ["LG7777"]}']
)
def test_a_mistake_in_a_nested_file_is_one_error_of_its_project(run: Run, write, text: str) -> None:
    write("a.py")
    for name in ("sub/b.py", "sub/c.py", "sub/deep/d.py", "sub/other/e.py"):
        write(name)
    write("sub/loopguard.toml", f"{text}\n")
    write("sub/other/loopguard.toml", "")
    for paths in ((".",), ("a.py", "sub/b.py", "sub/deep/d.py", "sub/other/e.py"), ("a.py", "sub")):
        result = run("check", "--no-cache", "--output-format", "concise", *paths)
        assert result.exit_code == 2
        assert places(result) == ["a.py:11:5: LG101", "sub/other/e.py:11:5: LG101"]
        assert result.stderr.startswith("loopguard: error: sub/loopguard.toml: ")
        assert result.stderr.endswith("; this project is not checked\n")
        assert result.stderr.count("\n") == 1


def test_where_a_project_is_not_checked_nothing_is_praised(run: Run, write) -> None:
    write("sub/loopguard.toml", "selct = []\n")
    write("sub/a.py")
    result = run("check")
    assert (result.exit_code, result.stdout) == (2, "")
    result = run("check", "--show-files")
    assert (result.exit_code, result.stdout) == (2, "")
    assert run("check", "-", "--stdin-filename", "sub/a.py", input="").exit_code == 2


def test_what_the_command_line_names_must_be_there_for_the_project_of_the_command_alone(run: Run, write) -> None:
    write("loopguard.toml", 'extend-rules = ["own"]\nextend-exclude = ["own"]\n')
    write("own/taste.py", OWN)
    write("sub/loopguard.toml", "")
    write("sub/a.py")
    assert run("check", "--extend-select", "OWN1").stderr == ""
    assert "unknown rule `OWN2` in `--extend-select`" in run("check", "--extend-select", "OWN2").stderr


EVENTS = """\
[[tool.loopguard.events]]
call = "company.train.fused_update"
does = ["backward", "step", "clear"]
on = ["optimizer", 1]
loss = 0
when = "last"

[[tool.loopguard.events]]
call = ".wipe"
does = ["clear"]
"""


def test_the_settings_show_what_is_known_of_calls(run: Run, write) -> None:
    import tomllib

    write("pyproject.toml", EVENTS)
    shown = tomllib.loads(run("check", "--show-settings").stdout)["events"]
    given = tomllib.loads(EVENTS)["tool"]["loopguard"]["events"]
    assert shown == [given[0], {**given[1], "on": "self"}]


def test_known_calls_of_an_extended_file_hold_too_unless_they_are_told_anew(run: Run, write) -> None:
    write("base.toml", '[[events]]\ncall = ".wipe"\ndoes = ["clear"]\n')
    write("loopguard.toml", 'extend = "base.toml"\n[[events]]\ncall = ".other"\ndoes = ["step"]\n')
    write("a.py", BROKEN + "    optimizer.wipe()\n")
    assert run("check").exit_code == 0
    write("loopguard.toml", 'extend = "base.toml"\n[[events]]\ncall = ".wipe"\ndoes = ["clip"]\n')
    assert "LG101" in run("check").stdout
