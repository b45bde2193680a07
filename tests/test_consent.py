"""Whose rules are run, as rules are code: those of the project that the command was started for, and no others."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import BROKEN, Run, places
from test_catalogue import OWN

CONFIGURATION = '[tool.loopguard]\nextend-rules = ["rules"]\nextend-exclude = ["rules"]\n'

Project = Callable[[str], Path]


@pytest.fixture
def project(write, place: Path) -> Project:  # type: ignore[no-untyped-def]
    """Makes a project in a folder, with a rule that leaves a mark when it is loaded."""

    def make(folder: str) -> Path:
        write(f"{folder}/pyproject.toml", CONFIGURATION)
        write(f"{folder}/train.py", BROKEN)
        write(f"{folder}/rules/taste.py", f"{OWN}\nfrom pathlib import Path\nPath({str(place / 'mark')!r}).touch()\n")
        return place / folder

    return make


@pytest.fixture
def ran(place: Path) -> Callable[[], bool]:
    """Whether a rule was loaded since it was last asked."""

    def has_run() -> bool:
        from loopguard import catalogue

        catalogue.load.cache_clear()
        marked = (place / "mark").exists()
        (place / "mark").unlink(missing_ok=True)
        return marked

    return has_run


def test_the_rules_of_the_project_that_one_stands_in_are_run(
    run: Run, project: Project, ran: Callable[[], bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = project("here")
    (root / "deep").mkdir()
    for folder in (root, root / "deep"):
        monkeypatch.chdir(folder)
        assert "OWN1" in run("check", "--no-cache", str(root)).stdout
        assert ran()


@pytest.mark.parametrize("arguments", [["."], ["third/party"], ["third/party/train.py"], ["-", "--stdin-filename"]])
def test_the_rules_of_a_nested_project_are_not_run(
    run: Run, project: Project, ran: Callable[[], bool], arguments: list[str]
) -> None:
    project("third/party")
    if arguments[0] == "-":
        arguments = [*arguments, "third/party/train.py"]
    result = run("check", "--output-format", "concise", *arguments, input=BROKEN)
    assert not ran()
    assert places(result) == ["third/party/train.py:11:5: LG101"]
    assert result.stderr == (
        "loopguard: warning: third/party/pyproject.toml: its `extend-rules` are not run: this command was started "
        "elsewhere (`--config third/party/pyproject.toml` runs them)\n"
    )


def test_what_a_nested_project_says_of_known_rules_counts_and_of_its_own_is_no_mistake(
    run: Run, project: Project, ran: Callable[[], bool], write
) -> None:
    project("part")
    write(
        "part/pyproject.toml",
        f'{CONFIGURATION}select = ["OWN1", "LG002"]\nper-file-ignores = {{ "a.py" = ["matter-of-taste"] }}\n',
    )
    write("part/b.py", "optimizer = 1  # loopguard: ignore[OWN1]\n")
    write("part/c.py", "optimizer = 1  # loopguard: ignore[LG002]\n")
    result = run("check", "--output-format", "concise")
    assert (result.exit_code, places(result)) == (0, [])
    assert "error" not in result.stderr
    assert not ran()


def test_the_rules_of_a_project_around_that_of_the_command_are_not_run(
    run: Run, project: Project, ran: Callable[[], bool], write, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = project("outer")
    write("outer/inner/loopguard.toml", "")
    monkeypatch.chdir(root / "inner")
    assert "LG101" in run("check", "--no-cache", "..").stdout
    assert not ran()


def test_a_file_that_is_named_is_a_consent(run: Run, project: Project, ran: Callable[[], bool]) -> None:
    project("other")
    assert "OWN1" in run("check", "--no-cache", "--config", "other/pyproject.toml", "other").stdout
    assert ran()


def test_a_project_may_extend_what_it_likes(
    run: Run, project: Project, ran: Callable[[], bool], write, place: Path
) -> None:
    project("company")
    write("loopguard.toml", 'extend = "company/pyproject.toml"\n')
    write("train.py")
    assert "train.py:11:5: OWN1" in run("check", "--output-format", "concise", "train.py").stdout
    assert ran()


def test_isolated_runs_nothing(
    run: Run, project: Project, ran: Callable[[], bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project("here"))
    result = run("check", "--no-cache", "--isolated", "--output-format", "concise", "train.py")
    assert places(result) == ["train.py:11:5: LG101"]
    assert not ran()


@pytest.mark.parametrize("option", ["--show-files", "--show-settings"])
def test_to_show_something_nothing_is_run(
    run: Run, project: Project, ran: Callable[[], bool], write, monkeypatch: pytest.MonkeyPatch, option: str
) -> None:
    root = project("here")
    write("here/pyproject.toml", f'{CONFIGURATION}ignore = ["OWN1"]\n')
    monkeypatch.chdir(root)
    for arguments in ([], ["--config", "pyproject.toml"]):
        result = run("check", option, *arguments)
        assert (result.exit_code, result.stderr) == (0, "")
        assert not ran()
        if option == "--show-settings":
            shown = tomllib.loads(result.stdout)
            assert shown["extend-rules"] == [str(root / "rules")]
            assert "LG101" in shown["select"]


def test_to_show_something_a_name_must_be_right_where_no_rules_are_left_out(run: Run, write) -> None:
    write("a.py")
    assert "unknown rule `LG999`" in run("check", "--show-settings", "--select", "LG999").stderr


def test_the_page_of_a_nested_projects_rule_is_not_shown_and_ours_are(
    run: Run, project: Project, ran: Callable[[], bool]
) -> None:
    project("part")
    assert run("rule", "OWN1").exit_code == 2
    assert run("rule", "LG101").exit_code == 0
    assert not ran()


@pytest.fixture
def of_others(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Makes files of that name belong to somebody else."""

    def belong(name: str) -> None:
        for method in ("stat", "lstat"):
            look = getattr(Path, method)

            def looked(file: Path, look: Callable[..., os.stat_result] = look, **how: bool) -> os.stat_result:
                seen = look(file, **how)
                return os.stat_result((*seen[:4], 4242, *seen[5:])) if file.name == name else seen

            monkeypatch.setattr(Path, method, looked)

    return belong


def test_what_somebody_else_has_put_into_a_directory_above_is_not_run(
    run: Run,
    project: Project,
    ran: Callable[[], bool],
    of_others: Callable[[str], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As anybody may put a file into /tmp, and others work below that."""
    root = project("shared")
    (root / "mine").mkdir()
    (root / "mine" / "a.py").write_text(BROKEN)
    monkeypatch.chdir(root / "mine")
    of_others("pyproject.toml")
    result = run("check", "--no-cache", "--output-format", "concise")
    assert places(result) == ["a.py:11:5: LG101"]
    assert "extend-rules` are not run: this file is another user's" in result.stderr
    assert not ran()
    assert run("rule", "OWN1").exit_code == 2
    assert "OWN1" in run("check", "--no-cache", "--config", "../pyproject.toml").stdout


def test_a_project_in_a_directory_of_somebody_elses_is_run_by_who_goes_there(
    run: Run,
    project: Project,
    ran: Callable[[], bool],
    of_others: Callable[[str], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As in a container, where the files belong to the user outside."""
    monkeypatch.chdir(project("pyproject.toml"))  # so that the directory is made theirs, too
    of_others("pyproject.toml")
    assert "OWN1" in run("check", "--no-cache").stdout
    assert ran()
