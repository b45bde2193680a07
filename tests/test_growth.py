"""No input takes more work than its size allows: twice the text, twice the work, or it is said what was given up.

Work is counted, as calls of functions, and not timed. What regular expressions do within a call has tests of its own.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import _lru_cache_wrapper, lru_cache
from pathlib import Path

import growth
import pytest
from conftest import Run, python
from growth import Files, Shape

from loopguard.limits import Limit
from loopguard.static.steps import ExhaustedError

SIZE = 16
GROWTH = 2.6
"""By how much more work may grow from the double to the fourfold than from the single to the double: 2 if linear."""
MARGIN = 2_000
"""So much work is none: what is found out once, on the way."""
STEPS = 10_000
STEPS_OF_A_CHARACTER = 3
"""Few enough that shapes of this size reach the bounds where they should."""

SHAPES = growth.shapes()


@lru_cache
def caches() -> list[_lru_cache_wrapper[object]]:
    """What remembers results from one check to the next."""
    found = [item for item in gc.get_objects() if type(item) is _lru_cache_wrapper]
    return [item for item in found if (item.__module__ or "").startswith("loopguard.static.")]


@contextmanager
def counted(count: list[int]) -> Iterator[None]:
    """Add up the calls of Python's functions and of built-in ones."""

    def note(frame: object, event: str, argument: object) -> None:
        if event in ("call", "c_call"):
            count[0] += 1

    for cache in caches():
        cache.cache_clear()
    collects = gc.isenabled()
    gc.disable()  # weak references call back when somebody collects
    sys.setprofile(note)
    try:
        yield
    finally:
        sys.setprofile(None)
        if collects:
            gc.enable()


class Measure:
    """Checks shapes, each size in a directory of its own. `form` is how it prints what it finds."""

    def __init__(self, run: Run, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.form = "full"
        self._run = run
        self._place = place
        self._change = monkeypatch.chdir
        self.last = ""
        self._exhausted = False
        monkeypatch.setattr(ExhaustedError, "__init__", lambda _: setattr(self, "_exhausted", True))

    def work(self, files: Files) -> int:
        """The calls that a check of some files takes."""
        top = self._place / str(len(list(self._place.iterdir())))
        for name, text in files.items():
            file = top / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, newline="")
        self._change(top)
        count = [0]
        self._exhausted = False
        with counted(count):
            result = self._run("check", "--no-cache", "--jobs", "1", "--output-format", self.form, ".")
        assert result.exit_code in (0, 1), result.output
        self.last = result.stdout.splitlines()[-1]
        assert not self._exhausted or "Not judged in full: " in self.last
        return count[0]


@pytest.fixture
def measure(run: Run, place: Path, monkeypatch: pytest.MonkeyPatch) -> Measure:
    """A measure for which few steps are many. All that a check imports is there."""
    monkeypatch.setattr(Limit.STEPS, "most", STEPS)
    monkeypatch.setattr(Limit.FILE, "most", STEPS_OF_A_CHARACTER)
    made = Measure(run, place, monkeypatch)
    made.work(SHAPES["steps repeated in a loop"](1))
    return made


def grows_too_fast(shape: Shape, work: Callable[[Files], int], size: int) -> str:
    """The work at a size, and at the double and fourfold of it, if that is too much. Nothing if not.

    Some things grow in leaps: a look at a text that is long enough, another block of ninety. What leaps at one size
    does not go on leaping with each doubling, so there are two more.
    """
    found = [work(shape(size)), work(shape(2 * size))]
    for doublings in (2, 3, 4):
        found.append(work(shape(2**doublings * size)))
        first, second, third = found[-3:]
        if third - second <= GROWTH * max(second - first, 0) + MARGIN:
            return ""
    return ", ".join(map(str, found))


@pytest.mark.parametrize("name", SHAPES)
def test_work_grows_with_the_text(name: str, measure: Measure) -> None:
    measure.form = "full" if name in growth.findings.SHAPES else "concise"  # which is sooner done
    assert not grows_too_fast(SHAPES[name], measure.work, SIZE), measure.last


BUSY = """\
import resource, sys
resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
from loopguard.__main__ import main
sys.argv = ["loopguard", "check", "--no-cache", "--jobs", "1", "--output-format", "concise", "."]
sys.exit(main())
""".replace("SECONDS", "60")
"""A check that is ended where it takes a processor longer than that."""

BYTES = 300_000
"""A regular expression that looks from each of so many places at all that follow is busy for minutes."""


def test_no_text_keeps_a_regular_expression_busy(write: Callable[[str, str], Path], place: Path) -> None:
    for number, make in enumerate(growth.texts.OF_FEW_TOKENS.values()):
        write(f"x{number}.py", make(BYTES // len(make(200)) * 200))
    ended = python(place, "-c", BUSY)
    assert ended.returncode in (0, 1), ended.stderr
    assert "Traceback" not in ended.stderr
