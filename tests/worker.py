"""A process that analyses programs one after the other, and may die or hang without harm to the tests."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from threading import Timer

TESTS = Path(__file__).parent
PATIENCE = 60
"""Seconds after which a program counts as one on which the engine does not end. The slowest takes two or three."""


class Worker:
    """Asks a child process for the findings in a program."""

    def __init__(self) -> None:
        self._child: subprocess.Popen[str] | None = None

    def marks(self, text: str) -> list[tuple[int, str]]:
        """The row and code of each finding. Raises AssertionError if the engine raises, dies, or does not end."""
        child = self._started()
        assert child.stdin is not None and child.stdout is not None
        timer = Timer(PATIENCE, child.kill)
        timer.start()
        child.stdin.write(json.dumps(text) + "\n")
        child.stdin.flush()
        answer = child.stdout.readline()
        late = not timer.is_alive()
        timer.cancel()
        if not answer:
            self.close()
        assert answer, "the engine did not end" if late else "the process died"
        found = json.loads(answer)
        assert isinstance(found, list), found
        return [(row, code) for row, code in found]

    def close(self) -> None:
        """End the child process."""
        if self._child is not None:
            self._child.kill()
            self._child.communicate()
            self._child = None

    def _started(self) -> subprocess.Popen[str]:
        if self._child is None:
            self._child = subprocess.Popen(
                [sys.executable, __file__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                encoding="utf-8",
            )
        return self._child


def _serve() -> None:
    """Answer one program a line with its findings, or with what was raised."""
    sys.path[:0] = [str(TESTS.parent), str(TESTS)]
    from programs import marks

    for line in sys.stdin:
        try:
            answer: object = marks(json.loads(line))
        except Exception as error:
            answer = f"{type(error).__name__}: {error}"
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    _serve()
