"""The command as a whole: exit codes, options, and errors of one line."""

from __future__ import annotations

import os
import runpy
import sys
from io import StringIO
from pathlib import Path

import pytest
from conftest import BROKEN, HEALTHY, Run, python

from loopguard import __version__
from loopguard.cli import app, main


def test_a_clean_file_exits_with_0(run: Run, write) -> None:
    write("train.py", HEALTHY)
    result = run("check")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "All checks passed!\n", "")


def test_a_finding_exits_with_1(run: Run, write) -> None:
    write("train.py")
    result = run("check")
    assert result.exit_code == 1
    assert "LG101 missing-zero-grad" in result.stdout
    assert result.stdout.endswith("Found 1 error.\n")


def test_exit_zero_reports_and_exits_with_0(run: Run, write) -> None:
    write("train.py")
    result = run("check", "--exit-zero")
    assert result.exit_code == 0
    assert "LG101" in result.stdout


def test_without_paths_the_current_directory_is_checked(run: Run, write) -> None:
    write("deep/er/train.py")
    assert "deep/er/train.py:11:5" in run("check", "--output-format", "concise").stdout


def test_the_version_is_the_packages(run: Run) -> None:
    assert run("--version").stdout == f"loopguard {__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "name a command, `check`, `run`, `rule` or `clean` (see `loopguard --help`)"),
        (["chek"], "no such command `chek`; did you mean `check`?"),
        (["--vers"], "no such option `--vers`; did you mean `--version`?"),
        (["check", "--selekt=LG1"], "no such option `--selekt`; did you mean `--select`?"),
        (["check", "nowhere.py"], "nowhere.py: No such file or directory"),
        (["check", "x" * 300], f"{'x' * 300}: File name too long"),
        (["check", "--select", "LG999"], "unknown rule `LG999` in `--select`"),
        (["check", "--ignore", "mising-zero-grad"], "did you mean `missing-zero-grad`?"),
        (
            ["check", "--extend-select", "lg101"],
            "unknown rule `lg101` in `--extend-select`; did you mean `LG101`?",
        ),
        (["check", "--output-format", "xml"], "'xml' is not one of"),
        (["check", "-", "."], "`-` (stdin) and paths exclude each other"),
        (["check", "--stdin-filename", "a.py"], "--stdin-filename goes with `-` (stdin)"),
        (["check", "--isolated", "--config", "a.toml"], "--isolated and --config exclude each other"),
        (["check", "--config", "nowhere.toml"], "--config: no such file: nowhere.toml"),
        (["rule"], "name one rule, or use --all"),
        (["rule", "LG101", "--all"], "name one rule, or use --all"),
        (["rule", "missing-zerograd"], "unknown rule `missing-zerograd`; did you mean `missing-zero-grad`?"),
    ],
)
def test_wrong_usage_is_one_line_and_exits_with_2(run: Run, arguments: list[str], message: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert message in result.stderr
    assert result.stderr.startswith("loopguard: error: ")
    assert result.stderr.count("\n") == 1


def test_a_path_in_place_of_a_command_gets_the_command_suggested(run: Run, write) -> None:
    write("train.py")
    assert "did you mean `loopguard check train.py`?" in run("train.py").stderr


def test_a_misspelt_path_gets_its_neighbour_suggested(run: Run, write) -> None:
    write("sub/train.py")
    assert "sub/trian.py: No such file or directory; did you mean `train.py`?" in run("check", "sub/trian.py").stderr


def test_a_path_below_a_file_is_an_error(run: Run, write) -> None:
    write("train.py")
    assert "train.py/x: Not a directory" in run("check", "train.py/x").stderr


def test_without_files_a_warning_says_so(run: Run) -> None:
    result = run("check")
    assert result.exit_code == 0
    assert result.stderr == "loopguard: warning: no Python files found under the given paths\n"


def test_select_turns_on_nothing_else(run: Run, write) -> None:
    write("train.py")
    assert run("check", "--select", "LG2").exit_code == 0
    assert run("check", "--select", "LG2,missing-zero-grad").exit_code == 1
    assert run("check", "--select", "LG2", "--select", "ALL").exit_code == 1


def test_ignore_turns_off(run: Run, write) -> None:
    write("train.py")
    assert run("check", "--ignore", "LG101").exit_code == 0


def test_statistics_count_by_rule(run: Run, write) -> None:
    write("a.py")
    write("b.py")
    result = run("check", "--statistics")
    assert result.stdout == "2\tLG101\tmissing-zero-grad\nFound 2 errors.\n"
    assert result.exit_code == 1


def test_statistics_are_json_where_the_output_is(run: Run, write) -> None:
    import json

    write("a.py")
    result = run("check", "--statistics", "--output-format", "json")
    assert json.loads(result.stdout) == [{"code": "LG101", "name": "missing-zero-grad", "count": 1}]


def test_quiet_prints_findings_and_no_summary(run: Run, write) -> None:
    write("train.py")
    assert "Found" not in run("check", "-q").stdout
    assert "LG101" in run("check", "-q").stdout
    write("train.py", HEALTHY)
    assert run("check", "-q").stdout == ""


def test_verbose_counts_files_on_stderr(run: Run, write) -> None:
    write("train.py")
    write("other.py", "import os\n")
    assert "loopguard: 2 files, 1 of them analysed, in " in run("check", "-v").stderr


def test_no_cache_is_accepted(run: Run, write) -> None:
    write("train.py")
    assert run("check", "--no-cache").exit_code == 1


def test_show_files_prints_what_would_be_checked(run: Run, write) -> None:
    file = write("train.py")
    write("notes.txt")
    result = run("check", "--show-files")
    assert (result.exit_code, result.stdout) == (0, f"{file}\n")


def test_show_settings_prints_what_holds(run: Run, write, place: Path) -> None:
    import tomllib

    file = write(
        "pyproject.toml",
        '[tool.loopguard]\nselect = ["LG1"]\nextend-exclude = ["gen"]\nper-file-ignores = { "!tests/*" = ["LG101"] }\n',
    )
    write("train.py")
    result = run("check", "--show-settings")
    settings = tomllib.loads(result.stdout)
    assert f"# configuration: {file}" in result.stdout
    assert f"# file: {place / 'train.py'}" in result.stdout
    assert settings["select"] == ["LG000", "LG101", "LG102", "LG103", "LG104", "LG105", "LG106"]
    assert settings["root"] == str(place)
    assert ".venv" in settings["exclude"] and "gen" in settings["exclude"]
    assert settings["per-file-ignores"] == {"!tests/*": ["LG101"]}


def test_show_settings_of_no_file_are_those_of_the_current_directory(run: Run) -> None:
    assert "# file: none\n# configuration: none\n" in run("check", "--show-settings").stdout


def test_stdin_is_checked_as_a_dash(run: Run) -> None:
    result = run("check", "-", "--output-format", "concise", input=BROKEN)
    assert result.stdout.startswith("-:11:5: LG101 ")
    assert result.exit_code == 1


def test_stdin_is_quoted_in_full_output(run: Run) -> None:
    assert "11 |     optimizer.step()" in run("check", "-", input=BROKEN).stdout


def test_stdin_filename_is_the_path_shown_and_configured(run: Run, write) -> None:
    write("sub/pyproject.toml", '[tool.loopguard]\nignore = ["LG101"]\n')
    assert run("check", "-", "--stdin-filename", "sub/x.py", input=BROKEN).exit_code == 0
    result = run("check", "-", "--stdin-filename", "x.py", "--output-format", "concise", input=BROKEN)
    assert result.stdout.startswith("x.py:11:5: LG101 ")


def test_force_exclude_leaves_out_what_stdin_is_called(run: Run) -> None:
    arguments = ("check", "-", "--stdin-filename", "dist/x.py")
    assert run(*arguments, input=BROKEN).exit_code == 1
    assert run(*arguments, "--force-exclude", input=BROKEN).exit_code == 0


def test_help_names_the_commands(run: Run) -> None:
    result = run("--help")
    assert result.exit_code == 0
    assert "check  Check training loops" in result.stdout
    assert "rule   Explain a rule" in result.stdout


def test_the_module_runs_as_a_command_and_ends_with_its_code_and_all_it_has_said(place: Path) -> None:
    (place / "train.py").write_text(BROKEN)
    ended = python(place, "-m", "loopguard", "check", "train.py")
    assert (ended.returncode, ended.stderr) == (1, "")
    assert ended.stdout.endswith("Found 1 error.\n")


def test_a_process_that_is_watched_ends_in_the_ordinary_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["loopguard", "--version"])
    monkeypatch.setattr(sys, "gettrace", lambda: print)
    with pytest.raises(SystemExit) as caught:
        runpy.run_module("loopguard", run_name="__main__")
    assert caught.value.code == 0


def test_the_entry_point_needs_no_ordinary_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = StringIO()
    monkeypatch.setattr(sys, "argv", ["loopguard", "--version"])
    monkeypatch.setattr(sys, "stdout", stream)
    with pytest.raises(SystemExit) as caught:
        main()
    assert (caught.value.code, stream.getvalue()) == (0, f"loopguard {__version__}\n")


def test_a_closed_pipe_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        with pytest.raises(SystemExit) as caught:
            app(["rule", "--all"])
    assert caught.value.code == 0


def test_python_m_loopguard_is_the_command(place: Path) -> None:
    (place / "train.py").write_text(BROKEN)
    result = python(place, "-m", "loopguard", "check")
    assert result.returncode == 1
    assert "LG101" in result.stdout


def test_a_reader_that_leaves_early_is_no_error(place: Path) -> None:
    for number in range(300):
        (place / f"train{number}.py").write_text(BROKEN)
    command = "import os, sys; sys.exit(os.system(f'{sys.executable} -m loopguard check | head -n 1'))"
    result = python(place, "-c", command)
    assert result.stdout.startswith("LG101")
    assert result.stderr == ""


def test_a_file_name_that_is_not_text_is_shown_escaped(place: Path) -> None:
    with open(os.fsencode(place) + b"/x\xff.py", "w", encoding="utf-8") as file:  # noqa: PTH123 -- bytes
        file.write(BROKEN)
    result = python(place, "-m", "loopguard", "check", "--output-format", "concise")
    assert result.stdout.startswith("x\\udcff.py:11:5: LG101")


def test_a_terminal_that_cannot_show_a_character_gets_it_escaped(place: Path) -> None:
    (place / "train.py").write_text(BROKEN.replace("optimizer.step()", "optimizer.step()  # é"), encoding="utf-8")
    result = python(place, "-m", "loopguard", "check", PYTHONIOENCODING="ascii")
    assert r"optimizer.step()  # \xe9" in result.stdout
    assert result.stderr == ""


def test_a_failure_of_ours_exits_with_2(run: Run, write, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("boo")

    monkeypatch.setattr("loopguard.commands.check.discover", fail)
    result = run("check")
    assert result.exit_code == 2
    assert "\nloopguard: error: internal error: RuntimeError: boo; please report" in result.stderr


def test_an_interrupted_run_exits_with_130(run: Run, write, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    write("train.py")
    monkeypatch.setattr("loopguard.static.analyse", interrupt)
    assert run("check").exit_code == 130
