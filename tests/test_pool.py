"""Several processes say what one says, in the same order, and leave nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import BROKEN, HEALTHY, ROOT, python

Write = Callable[..., Path]

PADDING = "".join(f"def function_{number}(x):\n    y = x + {number}\n    return y\n\n\n" for number in range(400))
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}


@pytest.fixture
def tree(place: Path, write: Write) -> Path:
    """A tree that is worth several processes."""
    for number in range(40):
        text = "import os\n" if number % 4 == 3 else (BROKEN if number % 2 else HEALTHY) + PADDING
        write(f"part{number % 3}/train_{number}.py", text)
    write("part0/wrong.py", "optimizer.step(\n")
    return place


def check(tree: Path, *arguments: str) -> tuple[int, str, str]:
    result = python(tree, "-m", "loopguard", "check", "--output-format", "json", *arguments)
    return result.returncode, result.stdout, result.stderr


def test_the_number_of_processes_changes_nothing(tree: Path) -> None:
    alone = check(tree, "--no-cache", "--jobs", "1")
    assert alone[0] == 1
    assert alone[1].count('"LG101"') == 10
    for jobs in ("2", "3"):
        assert check(tree, "--no-cache", "-j", jobs) == alone
    cold = check(tree, "--jobs", "2")
    warm = check(tree, "--jobs", "2")
    assert cold == warm == alone


def test_processes_can_also_be_started_anew(tree: Path) -> None:
    """As they are where a copy would not be safe: on other systems, or where there are threads."""
    code = (
        "import threading, loopguard.__main__ as main\n"
        "threading.Thread(target=threading.Event().wait, daemon=True).start()\n"
        "main.main()"
    )
    result = python(tree, "-c", code, "check", "--output-format", "json", "--no-cache", "--jobs", "2")
    assert (result.returncode, result.stdout, result.stderr) == check(tree, "--no-cache", "--jobs", "1")


def test_a_process_that_has_learned_much_makes_way_for_a_fresh_one(tree: Path, write: Write) -> None:
    for number in range(40):
        write(f"part3/train_{number}.py", HEALTHY + PADDING)
    code = (
        "import os, loopguard.examine as examine, loopguard.static as static, loopguard.__main__ as main\n"
        "examine._MUCH = 100_000\n"
        "analyse = static.analyse\n"
        "def noting(source, project, unjudged):\n"
        "    print(os.getpid(), file=open('processes', 'a'))\n"
        "    return analyse(source, project, unjudged)\n"
        "static.analyse = noting\n"
        "main.main()"
    )
    result = python(tree, "-c", code, "check", "--output-format", "json", "--no-cache", "--jobs", "2")
    assert (result.returncode, result.stdout, result.stderr) == check(tree, "--no-cache", "--jobs", "1")
    assert len(set((tree / "processes").read_text().split())) > 2


def test_a_process_that_dies_takes_one_file_along(tree: Path) -> None:
    code = (
        "import os, loopguard.static as static, loopguard.__main__ as main\n"
        "analyse = static.analyse\n"
        "def deadly(source, project, unjudged):\n"
        "    if source.path.endswith('train_1.py'): os.kill(os.getpid(), 9)\n"
        "    return analyse(source, project, unjudged)\n"
        "static.analyse = deadly\n"
        "main.main()"
    )
    result = python(tree, "-c", code, "check", "--output-format", "json", "--no-cache", "--jobs", "2")
    assert result.returncode == 2
    assert result.stdout.count('"LG101"') == 9
    (line,) = result.stderr.splitlines()
    assert "part1/train_1.py: internal error: WorkerDied: its process ended with -9" in line


def test_interrupting_ends_everything_at_once_without_a_traceback(tree: Path) -> None:
    code = (
        "import time, loopguard.static as static, loopguard.__main__ as main\n"
        "static.analyse = lambda *_: print('busy', flush=True) or time.sleep(60)\n"
        "main.main()"
    )
    command = [sys.executable, "-c", code, "check", "--no-cache", "--jobs", "2"]
    run = subprocess.Popen(
        command, cwd=tree, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, process_group=0
    )
    assert run.stdout is not None
    assert run.stdout.readline().startswith("busy")  # or two of them at once
    os.killpg(run.pid, signal.SIGINT)  # as a terminal does
    _, errors = run.communicate(timeout=60)
    assert (run.returncode, errors.strip()) == (130, "")
    assert any(is_gone(run.pid) or time.sleep(0.1) for _ in range(300))  # whoever reaps them may be busy


def is_gone(group: int) -> bool:
    """Whether no process of a group is left."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return True
    return False


def test_one_small_file_starts_no_process(place: Path, write: Write) -> None:
    write("train.py")
    code = (
        "import sys\nfrom loopguard.cli import app\ntry: app(['check', '-j4'])\nexcept SystemExit: print(*sys.modules)"
    )
    loaded = python(place, "-c", code).stdout.splitlines()[-1].split()
    assert "libcst" in loaded
    assert "multiprocessing" not in loaded
