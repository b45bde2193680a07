"""Whatever a file holds, it gets a clear finding or none, and the other files are checked."""

from __future__ import annotations

from enum import Enum
from pathlib import Path

import pytest
from conftest import BROKEN, HEALTHY, Run, places, python

from loopguard.case import Case
from loopguard.check import EVENT
from loopguard.events import Event, Kind, Place


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        pytest.param(b"", [], id="empty"),
        pytest.param(b"\xef\xbb\xbf" + BROKEN.encode(), ["x.py:11:5: LG101"], id="byte order mark"),
        pytest.param(BROKEN.replace("\n", "\r\n").encode(), ["x.py:11:5: LG101"], id="CRLF"),
        pytest.param(BROKEN.replace("\n", "\r").encode(), ["x.py:11:5: LG101"], id="CR"),
        pytest.param(BROKEN.replace("    ", "\t").encode(), ["x.py:11:2: LG101"], id="tabs"),
        pytest.param(b"\x0c\n" + BROKEN.encode(), ["x.py:12:5: LG101"], id="form feed"),
        pytest.param(BROKEN.rstrip("\n").encode(), ["x.py:11:5: LG101"], id="no newline at the end"),
        pytest.param(
            b"# coding: latin-1\n" + BROKEN.encode() + b"# \xe9\n",
            ["x.py:12:5: LG101"],
            id="declared encoding",
        ),
        pytest.param(
            BROKEN.replace("optimizer.step()", "'漢'; optimizer.step()").encode(),
            ["x.py:11:10: LG101"],
            id="columns are characters",
        ),
        pytest.param(BROKEN.encode() + b"# \xff\n", ["x.py:12:3: LG000"], id="not UTF-8"),
        pytest.param(BROKEN.encode() + b"\0", ["x.py:12:1: LG000"], id="null byte"),
        pytest.param(b"# coding: klingon\n" + BROKEN.encode(), ["x.py:1:1: LG000"], id="unknown encoding"),
        pytest.param(b"# coding: hex\n" + BROKEN.encode(), ["x.py:1:1: LG000"], id="encoding of no text"),
        pytest.param(b"# coding: undefined\n" + BROKEN.encode(), ["x.py:1:1: LG000"], id="encoding that refuses"),
        pytest.param(
            b"\xef\xbb\xbf# coding: latin-1\n" + BROKEN.encode(), ["x.py:1:1: LG000"], id="encodings disagree"
        ),
        pytest.param(bytes(range(256)) + b"zero_grad", ["LG000"], id="binary"),
        pytest.param(b"\x89PNG\r\n\x1a\n\0\xff", [], id="binary without loop words"),
        pytest.param(b"for x in loader:\noptimizer.step()\n", ["LG000"], id="syntax error"),
        pytest.param(b"print 'python 2'\n", [], id="syntax error without loop words"),
    ],
)
def test_strange_text_is_a_clear_finding_or_none(run: Run, write, content: bytes, expected: list[str]) -> None:
    write("x.py", content)
    write("y.py")
    result = run("check", "--output-format", "concise")
    found = places(result)
    assert found[-1] == "y.py:11:5: LG101"
    assert len(found) == len(expected) + 1
    assert all(actual.endswith(wanted) for actual, wanted in zip(found, expected, strict=False))
    assert result.stderr == ""


def test_text_that_nobody_would_analyse_may_be_anything(run: Run, write) -> None:
    write("x.py", b"# loopguard: ignore \xff\n")
    assert run("check").exit_code == 0


def test_a_case_that_no_rule_explains_is_not_shown(run: Run, write, monkeypatch: pytest.MonkeyPatch) -> None:
    class Mistake(Enum):
        NEW = "of an engine that knows more than the rules"

    at = Event(Kind.STEP, "opt", Place("x.py", 1, 1, 1, 2), "opt.step()")
    write("x.py")
    monkeypatch.setattr("loopguard.static.analyse", lambda *_: iter([Case(Mistake.NEW, "opt", at)]))
    assert run("check").exit_code == 0


def test_a_huge_file_is_checked(run: Run, write) -> None:
    write("x.py", "x = 0\n" * 50_000 + BROKEN)
    assert places(run("check", "--output-format", "concise")) == ["x.py:50011:5: LG101"]


def test_an_unreadable_file_is_a_finding(run: Run, write, monkeypatch: pytest.MonkeyPatch) -> None:
    write("a.py")
    write("b.py")
    read = Path.read_bytes

    def refuse(path: Path) -> bytes:
        if path.name == "a.py":
            raise PermissionError(13, "Permission denied")
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", refuse)
    result = run("check", "--output-format", "concise")
    assert places(result) == ["a.py:1:1: LG000", "b.py:11:5: LG101"]
    assert "cannot be read: Permission denied" in result.stdout


def test_an_unparsable_file_is_a_finding_whatever_is_selected(run: Run, write) -> None:
    write("x.py", "optimizer.step(\n")
    assert run("check", "--select", "LG101").exit_code == 1
    assert run("check", "--select", "LG101", "--ignore", "LG000").exit_code == 0


def test_a_crash_is_one_line_and_the_other_files_are_checked(run: Run, write, monkeypatch: pytest.MonkeyPatch) -> None:
    from loopguard import static

    analyse = static.analyse

    def fail(source, project, unjudged):  # type: ignore[no-untyped-def]
        if source.path == "a.py":
            raise RuntimeError("two\nlines" + "x" * 1000)
        return analyse(source, project, unjudged)

    write("a.py")
    write("b.py")
    monkeypatch.setattr("loopguard.static.analyse", fail)
    result = run("check", "--output-format", "concise")
    assert result.exit_code == 2
    assert places(result) == ["b.py:11:5: LG101"]
    assert result.stderr == (
        "loopguard: error: a.py: internal error: RuntimeError: two lines"
        f"{'x' * 97}...;"
        " please report this as a bug of loopguard, with the file if you can\n"
    )
    assert "Traceback" in run("check", "-v").stderr


def test_a_crash_without_findings_is_not_praised(run: Run, write, monkeypatch: pytest.MonkeyPatch) -> None:
    class Panic(BaseException):
        """As raised by native code."""

    def fail(*_: object) -> None:
        raise Panic

    write("a.py")
    monkeypatch.setattr("loopguard.static.analyse", fail)
    result = run("check", "--exit-zero")
    assert (result.exit_code, result.stdout) == (2, "")


def test_equal_findings_are_shown_once_in_order(run: Run, write, monkeypatch: pytest.MonkeyPatch) -> None:
    from loopguard import static

    analyse = static.analyse

    def twice(source, project, unjudged):  # type: ignore[no-untyped-def]
        cases = list(analyse(source, project, unjudged))
        return iter([*cases[::-1], *cases])

    second = BROKEN.partition("\n\n")[2].replace("optimizer", "other")
    write("b.py", BROKEN + second)
    write("a.py")
    monkeypatch.setattr("loopguard.static.analyse", twice)
    result = run("check", "--output-format", "concise")
    assert places(result) == ["a.py:11:5: LG101", "b.py:11:5: LG101", "b.py:19:5: LG101"]


def test_a_finding_in_another_file_obeys_the_comments_there(run: Run, write, monkeypatch: pytest.MonkeyPatch) -> None:
    from loopguard import static

    analyse = static.analyse

    def elsewhere(source, project, unjudged):  # type: ignore[no-untyped-def]
        from loopguard.source import read

        return analyse(read(Path("helper.py")), project, unjudged)

    write("helper.py")
    write("main.py", HEALTHY)
    monkeypatch.setattr("loopguard.static.analyse", elsewhere)
    assert places(run("check", "main.py", "--output-format", "concise")) == ["helper.py:11:5: LG101"]
    write("helper.py", BROKEN.replace("step()", "step()  # noqa: LG101"))
    assert run("check", "main.py").exit_code == 0


@pytest.mark.parametrize("word", ["optimizer.step()", "loss.backward()", "net.zero_grad()", "torch.optim.Adam(x)"])
def test_what_can_hold_an_event_is_a_candidate(word: str) -> None:
    assert EVENT.search(word.encode())


def test_what_can_hold_no_event_is_no_candidate() -> None:
    assert not EVENT.search(b"import os\nstepwise = steps + 1\n")


def _modules_after(place: Path, text: str, *arguments: str) -> set[str]:
    (place / "x.py").write_text(text)
    code = (
        "import sys\nfrom loopguard.cli import app\n"
        f"try: app(['check', 'x.py', *{arguments!r}], prog_name='loopguard')\n"
        "except SystemExit: print(*sys.modules)"
    )
    result = python(place, "-c", code)
    return set(result.stdout.splitlines()[-1].split())


def test_a_file_without_loop_words_loads_neither_libcst_nor_torch_nor_rules(place: Path) -> None:
    loaded = _modules_after(place, "import os\n")
    assert not {"libcst", "torch", "pathspec", "tomllib", "json", "loopguard.rule"} & loaded
    assert not {name for name in loaded if name.startswith("_loopguard_rules")}


def test_an_unused_comment_is_found_without_libcst(place: Path) -> None:
    assert "libcst" not in _modules_after(place, "x = 1  # loopguard: ignore[LG101]\n")


def test_a_training_loop_is_checked_without_torch(place: Path) -> None:
    loaded = _modules_after(place, BROKEN)
    assert "libcst" in loaded
    assert "torch" not in loaded


def test_advice_about_a_window_is_not_to_clear_in_each_iteration(run: Run, place: Path) -> None:
    """That would empty the window before its step."""
    gated = BROKEN.replace("    optimizer.step()", "    if number % 4 == 0:\n        optimizer.step()")
    (place / "train.py").write_text(gated, "utf-8")
    output = run("check", "train.py").stdout
    assert "LG101 missing-zero-grad" in output
    assert "help: call `optimizer.zero_grad()` after each step" in output
