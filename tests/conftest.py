"""What the tests of the command share: a directory to work in, a way to run the command, a broken script."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Protocol

import pytest
from click.testing import CliRunner, Result

from loopguard.cli import app

BROKEN = """\
import torch
from torch import nn

model = nn.Linear(4, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
criterion = nn.MSELoss()

for inputs, targets in loader:
    loss = criterion(model(inputs), targets)
    loss.backward()
    optimizer.step()
"""
"""One finding: LG101 at row 11, columns 5 to 21."""

HEALTHY = BROKEN.replace("    loss = ", "    optimizer.zero_grad()\n    loss = ")
"""No finding."""


ROOT = Path(__file__).parent.parent


@pytest.fixture(autouse=True, scope="session")
def interrupts_are_heard() -> Iterator[None]:
    """Whoever is started in the background or by `nohup` ignores Ctrl-C, and so do all that it starts in turn."""
    before = signal.getsignal(signal.SIGINT)
    if before is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(autouse=True)
def nothing_stays_compiled() -> Iterator[None]:
    """Where something was compiled, the guard looks at less: each test begins as a process of its own would."""
    yield
    compiler = sys.modules.get("torch._dynamo.eval_frame")
    if compiler is not None and any(compiler.cached_backends.values()):
        sys.modules["torch._dynamo"].reset()


class Run(Protocol):
    """Runs `loopguard` with some arguments, in the current directory."""

    def __call__(
        self, *arguments: str, input: str | bytes | None = None, env: Mapping[str, str | None] | None = None
    ) -> Result: ...


@pytest.fixture
def run(place: Path) -> Run:
    """The command, which never raises: an unexpected exception fails the test."""

    def invoke(
        *arguments: str, input: str | bytes | None = None, env: Mapping[str, str | None] | None = None
    ) -> Result:
        result = CliRunner().invoke(app, arguments, input=input, env=env)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return invoke


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty directory that is the current one, without settings that the environment brings along."""
    monkeypatch.chdir(tmp_path)
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture
def write(place: Path) -> Callable[[str, str | bytes], Path]:
    """Writes a file below the current directory, with the directories that it needs."""

    def write_file(name: str, content: str | bytes = BROKEN) -> Path:
        file = place / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
        return file

    return write_file


def python(
    place: Path, *arguments: str, timeout: float | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run this Python in a process of its own, with the package importable from wherever it is now."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=place,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout,
    )


def places(result: Result) -> list[str]:
    """The `path:row:column: CODE` of each finding in concise output."""
    lines = [line for line in result.stdout.splitlines() if ": LG" in line]
    return [" ".join(line.split()[:2]) if ":cell " not in line else line.split(" ", 3)[2] for line in lines]
