"""Whatever lies in a tree, and whatever the file system says of it: one line about that, and the rest is checked."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import BROKEN, ROOT, Run, places
from hypothesis import given
from hypothesis import strategies as st

from loopguard import notebook
from loopguard.errors import SourceError

SECONDS = 60
"""After which it counts as waiting for something that never comes."""

Make = Callable[[Path], object]


def check(place: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Check a tree in a process of its own, which must not take forever."""
    return subprocess.run(
        [sys.executable, "-m", "loopguard", "check", "--no-cache", "--output-format", "concise", *arguments],
        cwd=place,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS,
    )


def sparse(file: Path) -> None:
    """Make a file of many GiB."""
    with file.open("wb") as stream:
        stream.truncate(64 << 30)


# What no program can read in a sensible time, or at all, and what is said of it.
SPECIAL: dict[str, tuple[Make, str]] = {
    "a pipe": (os.mkfifo, "not a regular file"),
    "a device without end": (lambda file: file.symlink_to("/dev/zero"), "not a regular file"),
    "a directory": (Path.mkdir, "Is a directory"),
    "a link to itself": (lambda file: file.symlink_to(file.name), "Too many levels of symbolic links"),
    "64 GiB": (sparse, "more than 1 MiB"),
}


@pytest.mark.parametrize("name", ["pyproject.toml", ".loopguard.toml", ".gitignore"])
@pytest.mark.parametrize("kind", SPECIAL)
def test_what_cannot_be_read_is_passed_over_with_a_note(write, place: Path, name: str, kind: str) -> None:
    make, reason = SPECIAL[kind]
    write("a.py")
    write("sub/b.py")
    make(place / "sub" / name)
    result = check(place)
    assert result.stdout.splitlines()[:-1] == [line for line in result.stdout.splitlines() if "LG101" in line]
    assert result.stdout.count("LG101") == 2
    assert result.stderr == f"loopguard: warning: sub/{name}: cannot be read, and is passed over: {reason}\n"
    assert result.returncode == 1


@pytest.mark.parametrize("kind", SPECIAL)
def test_what_is_named_and_cannot_be_read_is_an_error(write, place: Path, kind: str) -> None:
    make, reason = SPECIAL[kind]
    write("a.py")
    make(place / "odd.toml")
    result = check(place, "--config", "odd.toml")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == f"loopguard: error: --config: odd.toml: cannot be read: {reason}\n"
    write("loopguard.toml", 'extend = "odd.toml"\n')
    result = check(place)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == f"loopguard: error: loopguard.toml: `extend`: odd.toml: cannot be read: {reason}\n"


ODD_TOML = {
    "nested too deeply": (f"select = {'[' * 5000}{']' * 5000}\n".encode(), "is nested too deeply"),
    "tables in tables": (f"select = {'{a = ' * 3000}1{'}' * 3000}\n".encode(), "is nested too deeply"),
    "a number of many digits": (f"select = {'1' * 5000}\n".encode(), "is not valid TOML: Exceeds the limit"),
    "a date of no calendar": (b"select = 2021-99-99\n", "is not valid TOML: "),
    "no text": (b"\xff\xfe\x00s", "is not UTF-8: invalid start byte"),
    "a null character": (b'extend = "a\\u0000b"\n', "`extend` holds a null character"),
    "a null character in a folder": (b'extend-rules = ["a\\u0000b"]\n', "`extend-rules` holds a null character"),
    "a home of nobody": (
        b'extend = "~nobody-here/a.toml"\n',
        "`extend` begins with a home directory that is not there",
    ),
    "rules at home with nobody": (b'extend-rules = ["~nobody-here"]\n', "`extend-rules` begins with a home directory"),
    "no pattern": (b'exclude = ["["]\nextend-exclude = ["a", "[b-a]"]\n', "`[b-a]` in `extend-exclude` is no pattern"),
    "nothing but a backslash": (b'exclude = ["a\\\\"]\n', "`a\\` in `exclude` is no pattern"),
    "no pattern of files": (b'per-file-ignores = {"[b-a]" = ["LG1"]}\n', "`[b-a]` in `per-file-ignores` is no pattern"),
}


@pytest.mark.parametrize("kind", ODD_TOML)
def test_an_odd_configuration_is_one_error_of_its_project(run: Run, write, kind: str) -> None:
    text, message = ODD_TOML[kind]
    write("a.py")
    write("sub/b.py")
    write("sub/loopguard.toml", text)
    result = run("check", "--output-format", "concise")
    assert places(result) == ["a.py:11:5: LG101"]
    assert result.stderr.startswith(f"loopguard: error: sub/loopguard.toml: {message}")
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)


def test_a_byte_order_mark_is_no_part_of_a_configuration(run: Run, write) -> None:
    write("loopguard.toml", b'\xef\xbb\xbfignore = ["LG101"]\r\n')
    write("a.py")
    assert run("check").exit_code == 0


@pytest.mark.parametrize("pattern", ["--exclude", "--extend-exclude"])
def test_a_pattern_of_the_command_line_must_be_one(run: Run, pattern: str) -> None:
    assert run("check", pattern, "[b-a]").stderr == f"loopguard: error: `[b-a]` in `{pattern}` is no pattern\n"


CIRCLES = {
    "itself": {"loopguard.toml": "loopguard.toml"},
    "itself by another name": {"loopguard.toml": "./sub/../loopguard.toml"},
    "two": {"loopguard.toml": "a.toml", "a.toml": "loopguard.toml"},
    "a part of the way": {"loopguard.toml": "a.toml", "a.toml": "b.toml", "b.toml": "a.toml"},
    "a link": {"loopguard.toml": "up/loopguard.toml"},
    "a link to a file": {"loopguard.toml": "same.toml"},
}


@pytest.mark.parametrize("circle", CIRCLES)
def test_a_configuration_that_extends_itself_is_an_error(run: Run, write, place: Path, circle: str) -> None:
    (place / "sub").mkdir()
    (place / "up").symlink_to(place)
    (place / "same.toml").symlink_to(place / "loopguard.toml")
    for name, target in CIRCLES[circle].items():
        write(name, f'extend = "{target}"\n')
    result = run("check")
    assert result.exit_code == 2
    assert result.stderr.endswith(".toml: `extend` leads back to this file\n")


def test_a_chain_of_configurations_may_be_long(run: Run, write) -> None:
    for number in range(1500):
        write(f"{number}.toml", f'extend = "{number + 1}.toml"\n')
    write("1500.toml", 'ignore = ["LG101"]\n')
    write("a.py")
    assert run("check", "--config", "0.toml", "a.py").exit_code == 0


def test_what_the_environment_holds_is_not_told(run: Run, write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", "very-secret")
    write("loopguard.toml", 'extend = "$TOKEN/${TOKEN}.toml"\n')
    stderr = run("check").stderr
    assert "`extend`: $TOKEN/${TOKEN}.toml: cannot be read: No such file or directory" in stderr
    assert "secret" not in stderr


def test_a_configuration_may_lie_deeper_than_the_stack(place: Path, run: Run) -> None:
    folder = place
    for _ in range(1100):
        folder /= "d"
        folder.mkdir()
    (folder / "a.py").write_text(BROKEN)
    try:
        assert run("check", "--no-cache", str(folder / "a.py")).exit_code == 1
    finally:
        # What removes temporary directories afterwards does it by recursion.
        (folder / "a.py").unlink()
        os.removedirs(folder)


def test_senseless_patterns_of_git_are_passed_over_as_git_does(run: Run, write) -> None:
    write(".gitignore", "!\n\\\n[b-a].py\n[[x]\na[\n[[:alpha:]]*.txt\nb.py\n")
    write("a.py")
    write("b.py")
    result = run("check", "--output-format", "concise")
    assert (places(result), result.stderr) == (["a.py:11:5: LG101"], "")


def test_no_pattern_takes_forever(write, place: Path) -> None:
    write(".gitignore", f"{'*a' * 30}*b\n{'**/*a*a/' * 12}b\n{'[!b]*' * 30}b\n")
    write(f"{'/'.join(['a' * 40] * 20)}/{'a' * 240}.py")
    assert check(place).stdout.count("LG101") == 1


def test_what_a_line_of_patterns_ends_with_is_a_line_feed(run: Run, write) -> None:
    write(".gitignore", "\ufeffa.py\r\nb\u2028c.py\nd\x0ce.py\n".encode())
    for name in ("a.py", "c.py", "e.py"):
        write(name)
    assert places(run("check", "--output-format", "concise")) == ["c.py:11:5: LG101", "e.py:11:5: LG101"]


KEYS = (
    "cells",
    "worksheets",
    "metadata",
    "cell_type",
    "source",
    "input",
    "language_info",
    "kernelspec",
    "name",
    "code",
)
JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.sampled_from([*KEYS, "code", "python"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=12,
)


@given(JSON)
def test_any_json_is_a_notebook_or_is_said_to_be_none(content: object) -> None:
    data = json.dumps(content).encode()
    try:
        cells, text = notebook.read(data)
    except SourceError as error:
        assert str(error).startswith("not a notebook: ")
    else:
        assert sum(len(cell.lines) for cell in cells) == text.count("\n")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"[" * 200_000, "invalid JSON: "),
        (b'{"cells": ' * 100_000, "invalid JSON: "),
        (b'{"a": ' + b"1" * 5000 + b"}", "invalid JSON: "),
        (b"\xff\xfe{}", "invalid start byte"),
        (b"", "invalid JSON: "),
        (b"null", "the JSON is no object"),
    ],
)
def test_an_odd_notebook_is_a_finding_and_the_rest_is_checked(run: Run, write, data: bytes, reason: str) -> None:
    write("a.ipynb", data + b"\n\n zero_grad")
    write("b.ipynb", data + b' "zero_grad"' if data != b"null" else data)
    write("c.py")
    result = run("check", "--no-cache", "--output-format", "concise")
    assert "a.ipynb:" in result.stdout and "LG000" in result.stdout
    assert "c.py:11:5: LG101" in result.stdout
    with pytest.raises(SourceError, match=reason):
        notebook.read(data)


@pytest.fixture
def public() -> Iterator[Path]:
    """A directory that every user may look into."""
    with tempfile.TemporaryDirectory() as name:
        place = Path(name).resolve()
        place.chmod(0o755)
        (place / "a.py").write_text(BROKEN)
        yield place
        for folder, names, _ in os.walk(place):
            for inner in names:
                Path(folder, inner).chmod(0o755)


AS_A_USER = """\
import os, sys
from loopguard.cli import app

def check(*arguments):
    try:
        app(["check", "--no-cache", "--output-format", "concise", *arguments])
    except SystemExit as leaving:
        return leaving.code

quiet = os.dup(1), os.open(os.devnull, os.O_WRONLY)
os.dup2(quiet[1], 1)
check("--isolated", "-j", "1", "a.py")  # so that all modules are there
sys.stdout.flush()
os.dup2(quiet[0], 1)
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
sys.exit(check("-j", "1", *sys.argv[1:]))
"""


def check_as_user(place: Path, *arguments: str) -> tuple[list[str], list[str], int]:
    """Check a tree as a user for whom permissions count. Where findings are, what is said on stderr, and the exit code."""
    result = subprocess.run(
        [sys.executable, "-c", AS_A_USER, *arguments],
        cwd=place,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS,
    )
    found = [" ".join(line.split()[:2]) for line in result.stdout.splitlines() if ": LG" in line]
    return found, result.stderr.splitlines(), result.returncode


FOUND = "a.py:11:5: LG101"


@pytest.mark.parametrize(
    ("mode", "found"), [(0o000, []), (0o444, []), (0o111, [])], ids=["no entry", "a list alone", "no list"]
)
def test_a_directory_that_may_not_be_entered_is_a_note(public: Path, mode: int, found: list[str]) -> None:
    (public / "locked" / "deep").mkdir(parents=True)
    for name in ("b.py", "pyproject.toml", ".gitignore", "deep/c.py"):
        (public / "locked" / name).write_text(BROKEN if name.endswith(".py") else "")
    (public / "locked").chmod(mode)
    assert check_as_user(public) == (
        [FOUND],
        ["loopguard: warning: locked: cannot be read: Permission denied"],
        1,
    )


@pytest.mark.parametrize("name", ["pyproject.toml", "loopguard.toml", ".gitignore"])
@pytest.mark.parametrize("folder", ["", "sub/"])
def test_settings_that_may_not_be_read_are_a_note(public: Path, name: str, folder: str) -> None:
    (public / "sub").mkdir()
    (public / "sub" / "b.py").write_text(BROKEN)
    (public / folder / name).write_text("[tool.loopguard]\n")
    (public / folder / name).chmod(0o000)
    note = f"loopguard: warning: {folder}{name}: cannot be read, and is passed over: Permission denied"
    assert check_as_user(public) == ([FOUND, "sub/b.py:11:5: LG101"], [note], 1)


def test_what_is_named_within_a_locked_directory_is_an_error(public: Path) -> None:
    (public / "locked").mkdir()
    (public / "locked" / "b.py").write_text(BROKEN)
    (public / "locked").chmod(0o000)
    found, said, code = check_as_user(public, "locked/b.py")
    assert (found, code) == ([], 2)
    assert said == ["loopguard: error: locked/b.py: Permission denied"]
    found, said, code = check_as_user(public, "--force-exclude", "--config", "locked/c.toml")
    assert (found, said, code) == (
        [],
        ["loopguard: error: --config: locked/c.toml: cannot be read: Permission denied"],
        2,
    )


def test_modules_that_may_not_be_read_are_unknown(public: Path) -> None:
    (public / "locked").mkdir()
    (public / "secret.py").write_text("from locked.inner import f\ndef g(o): o.zero_grad()\n")
    (public / "locked" / "inner.py").write_text("def f(o): o.zero_grad()\n")
    (public / "b.py").write_text(f"from locked.inner import f\nfrom secret import g\n{BROKEN}    f(optimizer)\n")
    (public / "c.py").write_text(f"import json\n{BROKEN}")
    (public / "secret.py").chmod(0o000)
    (public / "locked").chmod(0o000)
    found, said, code = check_as_user(public)
    assert found == [FOUND, "c.py:12:5: LG101", "secret.py:1:1: LG000"]
    assert (said, code) == (["loopguard: warning: locked: cannot be read: Permission denied"], 1)


def test_a_current_directory_that_is_gone_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    code = "import os, sys; os.rmdir(os.getcwd()); from loopguard.cli import app; app(sys.argv[1:])"
    for arguments in (["check"], ["check", "/"], ["rule", "LG101"], ["clean"], ["run", "a.py"]):
        (tmp_path / "gone").mkdir(exist_ok=True)
        result = subprocess.run(
            [sys.executable, "-c", code, *arguments],
            cwd=tmp_path / "gone",
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
            timeout=SECONDS,
        )
        assert (result.returncode, result.stdout) == (2, "")
        assert result.stderr == "loopguard: error: the current directory is gone\n"
