"""What can be read only once is read once, whole, and is checked like any file; what has no end is refused."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from conftest import BROKEN, HEALTHY, ROOT, Run, places

Write = Callable[..., Path]

START = "import loopguard.survey, loopguard.__main__ as main; loopguard.survey._WORTHWHILE = 0; main.main()"
LOOPGUARD = (sys.executable, "-c", START, "check")
"""The command, to which several processes pay however little there is to do."""

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}


def through_a_pipe(place: Path, *arguments: str, text: str = BROKEN, name: str | None = None) -> tuple[int, str, str]:
    """Check what comes out of a pipe that is called `name`, by default as a shell calls one: `check <(cat x.py)`."""
    ours, theirs = os.pipe()
    with subprocess.Popen(
        [*LOOPGUARD, *arguments, name or f"/dev/fd/{ours}"],
        cwd=place,
        env=ENVIRONMENT,
        stdin=ours,
        pass_fds=[ours],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        os.close(ours)
        with os.fdopen(theirs, "w") as end:
            end.write(text)
        told, errors = process.communicate(timeout=60)
    return process.returncode, told.replace(f"/dev/fd/{ours}", "-").replace("/dev/stdin", "-"), errors


@contextmanager
def written(pipe: Path, text: str) -> Iterator[None]:
    """Have somebody write to a named pipe, as soon as it is read."""
    writer = threading.Thread(target=pipe.write_text, args=(text,), daemon=True)
    writer.start()
    yield
    writer.join(60)
    assert not writer.is_alive()


@pytest.mark.parametrize("output", ["full", "concise", "json", "json-lines", "github"])
@pytest.mark.parametrize("text", [BROKEN, HEALTHY, BROKEN + "x = (", "optimizer.step()\n\0", "", BROKEN + "# noqa\n"])
def test_a_pipe_says_what_stdin_says(place: Path, run: Run, output: str, text: str) -> None:
    """In every format: none of them may want to read it again."""
    expected = run("check", "-", "--output-format", output, input=text)
    result = through_a_pipe(place, "--output-format", output, text=text)
    said = result[1].replace(str(place / "-"), "-"), expected.stdout.replace(str(place / "-"), "-")
    assert (result[0], said[0], result[2]) == (expected.exit_code, said[1], "")


@pytest.mark.parametrize("name", [None, "/dev/stdin", "/proc/self/fd/0", "link.py"])
@pytest.mark.parametrize("jobs", ["1", "3"])
def test_a_pipe_is_read_in_the_process_that_has_it(place: Path, write: Write, name: str | None, jobs: str) -> None:
    for number in range(4):
        write(f"tree/train_{number}.py")
    (place / "link.py").symlink_to("/dev/stdin")
    arguments = ("--no-cache", "-q", "--output-format", "concise", "-j", jobs)
    code, told, errors = through_a_pipe(place, *arguments, "tree", name=name)
    assert (code, errors) == (1, "")
    assert told.count("LG101") == 5


@pytest.mark.parametrize("name", ["/dev/stdin", "/dev/fd/0", "link.py"])
def test_a_file_that_is_stdin_is_not_looked_for_in_another_process(place: Path, write: Write, name: str) -> None:
    for number in range(4):
        write(f"tree/train_{number}.py")
    (place / "link.py").symlink_to("/dev/stdin")
    with write("input.py").open() as file:
        command = [*LOOPGUARD, "--no-cache", "-j", "3", "--output-format", "concise", "tree", name]
        done = subprocess.run(
            command, cwd=place, env=ENVIRONMENT, stdin=file, capture_output=True, text=True, timeout=60, check=False
        )
    assert (done.returncode, done.stderr, done.stdout.count("LG101")) == (1, "", 5)


def test_a_named_pipe_is_read_once_whatever_it_is_called(run: Run, place: Path) -> None:
    os.mkfifo(place / "a.py")
    (place / "b.py").symlink_to("a.py")
    with written(place / "a.py", BROKEN):
        result = run("check", "--output-format", "concise", "a.py", "b.py")
    assert places(result) == ["a.py:11:5: LG101", "b.py:11:5: LG101"]


def test_nothing_of_a_pipe_gets_into_the_cache(run: Run, place: Path, write: Write) -> None:
    write("train.py")
    os.mkfifo(place / "pipe.py")
    for text, found in ((BROKEN, 2), (HEALTHY, 1)):
        with written(place / "pipe.py", text):
            assert len(places(run("check", "--output-format", "concise", "train.py", "pipe.py"))) == found
    (index,) = (place / ".loopguard_cache").glob("*.index")
    assert b"train.py" in index.read_bytes()
    assert b"pipe.py" not in index.read_bytes()


def test_settings_and_comments_hold_for_a_pipe(run: Run, place: Path, write: Write) -> None:
    os.mkfifo(place / "a.py")
    with written(place / "a.py", BROKEN.replace("step()", "step()  # noqa: LG101")):
        assert run("check", "a.py").exit_code == 0
    write("loopguard.toml", 'ignore = ["LG101"]\n')
    with written(place / "a.py", BROKEN):
        assert run("check", "a.py").exit_code == 0
    write("loopguard.toml", 'extend-exclude = ["a.py"]\nforce-exclude = true\n')
    assert run("check", "a.py").exit_code == 0  # and nobody has to write


def test_listing_files_reads_no_pipe(run: Run, place: Path) -> None:
    os.mkfifo(place / "a.py")
    assert run("check", "--show-files", "a.py").stdout == f"{place / 'a.py'}\n"


def refused(run: Run, *arguments: str, input: str | None = None) -> str:
    """The one line of an error of usage."""
    result = run("check", *arguments, input=input)
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (2, "", 1)
    return result.stderr.removeprefix("loopguard: error: ").rstrip("\n")


def test_a_pipe_to_which_nobody_writes_is_refused(run: Run, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("loopguard.streams._ALONE", 0.1)
    os.mkfifo(place / "a.py")
    assert refused(run, "a.py") == "a.py: nobody writes to this pipe"


def test_a_pipe_into_which_nothing_comes_is_refused(run: Run, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("loopguard.streams._ALONE", 0.1)
    monkeypatch.setattr("loopguard.streams._SILENT", 0.3)
    ours, theirs = os.pipe()
    os.write(theirs, b"import torch\n")
    assert refused(run, f"/dev/fd/{ours}") == f"/dev/fd/{ours}: nothing has come out of this pipe for 0.3 seconds"
    os.close(ours)
    os.close(theirs)


def test_a_pipe_that_is_slow_is_waited_for(run: Run, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("loopguard.streams._ALONE", 0.05)
    ours, theirs = os.pipe()

    def write() -> None:
        for line in BROKEN.splitlines(keepends=True):
            os.write(theirs, line.encode())
            threading.Event().wait(0.1)
        os.close(theirs)

    threading.Thread(target=write).start()
    assert "LG101" in run("check", f"/dev/fd/{ours}").stdout
    os.close(ours)


def test_what_never_ends_is_refused(run: Run, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("loopguard.streams._MOST", 1 << 20)
    os.mkfifo(place / "a.py")
    assert refused(run, "-", input="#" * ((1 << 20) + 1)) == "stdin: more than 1 MiB"
    writer = subprocess.Popen(["sh", "-c", "cat /dev/zero > a.py"], cwd=place, stderr=subprocess.DEVNULL)
    assert refused(run, "a.py") == "a.py: more than 1 MiB"
    writer.wait(60)


@pytest.mark.parametrize("device", ["/dev/zero", "/dev/random", "/dev/tty", "/dev/ptmx"])
def test_a_device_is_refused(run: Run, device: str) -> None:
    assert refused(run, device) == f"{device}: neither a file nor a pipe (from a terminal, `-` reads)"


def test_the_device_in_which_there_is_nothing_is_an_empty_file(run: Run) -> None:
    assert run("check", "/dev/null").stdout == "All checks passed!\n"


def test_pipes_and_devices_in_a_directory_are_passed_over(run: Run, place: Path, write: Write) -> None:
    """Also where a file of that name would be read: no `.gitignore` keeps anybody waiting, and each is told."""
    write("train.py")
    write("sub/train.py")
    (place / ".git" / "info").mkdir(parents=True)
    wanted = (".gitignore", "sub/.gitignore", ".git/info/exclude", "pyproject.toml", "loopguard.toml")
    for name in ("pipe.py", *wanted):
        os.mkfifo(place / name)
    for name in ("zero", "tty", "stdin"):
        (place / f"{name}.py").symlink_to(f"/dev/{name}")
    os.mkfifo(place / "helper.py")
    write("uses.py", "from helper import prepare\n" + BROKEN)
    result = run("check", "--output-format", "concise")
    found = ["sub/train.py:11:5: LG101", "train.py:11:5: LG101", "uses.py:12:5: LG101"]
    assert places(result) == found
    told = [f"loopguard: warning: {name}: cannot be read, and is passed over: not a regular file" for name in wanted]
    assert sorted(result.stderr.splitlines()) == sorted(told)


@pytest.mark.parametrize(
    ("stdin", "reason"), [("<&-", "stdin is closed"), ("0>x", "stdin: cannot be read: Bad file descriptor")]
)
def test_a_stdin_that_cannot_be_read_is_said_in_one_line(place: Path, stdin: str, reason: str) -> None:
    command = ["sh", "-c", f"exec {sys.executable} -m loopguard check - {stdin}"]
    done = subprocess.run(command, cwd=place, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"loopguard: error: {reason}\n")
