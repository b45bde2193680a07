"""Whatever the text, the engine raises nothing, ends, and still finds the broken loop above it, or says that it cannot parse."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import BROKEN, Run, python
from hostile import HOSTILE, TOO_MANY
from programs import HEAD, LOOP, findings, marks
from worker import Worker

Write = Callable[[str, str | bytes], Path]

ROW = len(LOOP.splitlines())
FOUND = (ROW, "LG101")


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    """A process that does the work of this module."""
    worker = Worker()
    yield worker
    worker.close()


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_text_is_survived_and_hides_nothing(worker: Worker, name: str) -> None:
    found = worker.marks(HOSTILE[name])
    # Below, it may be cleared: then that is the wrong place, and the loop is still told.
    assert FOUND in found or (ROW, "LG102") in found or [code for _, code in found] == ["LG000"]


@pytest.mark.parametrize("name", TOO_MANY)
def test_too_much_of_anything_has_an_end(worker: Worker, name: str) -> None:
    assert {code for _, code in worker.marks(TOO_MANY[name])} <= {"LG101", "LG102", "LG204", "LG302"}


def test_fifty_thousand_lines_are_read_to_the_last(worker: Worker) -> None:
    loop = LOOP.removeprefix(HEAD)
    assert worker.marks(HEAD + "x = 1\n" * 50_000 + loop) == [(50_000 + ROW, "LG101")]


def test_a_loop_of_any_length_that_clears_is_silent() -> None:
    """Where an analysis gives up for the number of events, it says nothing; the limit lies somewhere in this range."""
    head = f"{HEAD}for x in loader:\n    loss = model(x).sum()\n"
    body = "    loss.backward()\n    optimizer.step()\n    optimizer.zero_grad()\n"
    for count in range(3994, 3999):
        assert marks(head + "    optimizer.zero_grad()\n" * count + body) == []


@pytest.mark.parametrize("separator", ["\x0c", "\x0c\n", "\t", " \t", "\\\n", "  # \u2028 \x85\n"])
def test_white_space_between_statements_moves_nothing_but_rows(separator: str) -> None:
    text = LOOP.replace("for x", f"{separator}\nfor x" if separator.strip(" \t\\\n") else f"{separator}\n\nfor x")
    added = text.count("\n") - LOOP.count("\n")
    assert marks(text) == [(ROW + added, "LG101")]


@pytest.mark.parametrize("indent", ["\t", "  ", " \t", "\x0c    "])
def test_any_indentation_is_one(indent: str) -> None:
    assert marks(LOOP.replace("\n    ", f"\n{indent}")) == [FOUND]


@pytest.mark.parametrize(
    "text",
    ["", "\n", " ", "\\\n", "#", "\x0c", ";", "é", "\ufeff", "\ufeff" + LOOP, "\x00", "0_", "'", "'''"],
)
def test_any_snippet_is_answered(text: str) -> None:
    assert all(finding.code in ("LG000", "LG101") for finding in findings(text))


ENCODED = {
    "bom.py": b"\xef\xbb\xbf" + BROKEN.encode(),
    "crlf.py": BROKEN.replace("\n", "\r\n").encode(),
    "cr.py": BROKEN.replace("\n", "\r").encode(),
    "mixed.py": BROKEN.replace("\n", "\r\n", 4).encode(),
    "latin.py": b"# coding: latin-1\n" + BROKEN.replace("\n", "  # \xe9\n", 1).encode("latin-1"),
    "cp1252.py": b"#!/usr/bin/python\n# -*- coding: cp1252 -*-\n" + BROKEN.encode() + b"# \x80\n",
    "no_newline.py": BROKEN.rstrip("\n").encode(),
    "tabs.py": BROKEN.replace("    ", "\t").encode(),
    "form_feeds.py": BROKEN.replace("\n\n", "\n\x0c\n").encode(),
}
"""One broken loop in many dresses."""

UNREADABLE = {
    "binary.py": b"optimizer.step\x00\xff\xfe" * 100,
    "random.py": bytes(range(256)) + b"zero_grad",
    "not_utf8.py": BROKEN.encode() + b"# \xe9\n",
    "unknown_codec.py": b"# coding: klingon\n" + BROKEN.encode(),
    "truncated.py": BROKEN.encode()[:-2],
    "dedent.py": BROKEN.encode() + b"  x\n",
    "python2.py": BROKEN.encode() + b"print 'optimizer'\n",
    "parentheses.py": BROKEN.encode() + b"x = " + b"(" * 5000 + b")" * 5000 + b"\n",
    "notebook.ipynb": b'{"cells": [{"cell_type": "code", "source": ["optimizer.step()"',
}
"""What cannot be parsed, in many ways."""


@pytest.fixture
def hostile_tree(write: Write) -> None:
    """A directory of all of these, and an empty file."""
    write("empty.py", b"")
    for name, data in {**ENCODED, **UNREADABLE}.items():
        write(name, data)


@pytest.mark.usefixtures("hostile_tree")
def test_the_command_survives_every_file_and_tells_of_each(place: Path) -> None:
    result = python(place, "-m", "loopguard", "check", "--output-format", "concise")
    told = {tuple(line.split(" ", 2)[:2]) for line in result.stdout.splitlines() if ": LG" in line}
    by_file = {(where.partition(":")[0], code) for where, code in told}
    assert result.returncode == 1
    assert result.stderr == ""
    assert by_file == {(name, "LG101") for name in ENCODED} | {(name, "LG000") for name in UNREADABLE}


@pytest.mark.usefixtures("hostile_tree")
@pytest.mark.parametrize("output", ["full", "concise", "json", "json-lines", "github"])
def test_every_format_can_tell_of_every_file(run: Run, place: Path, output: str) -> None:
    (place / "parentheses.py").unlink()  # in this process it would be the end
    result = run("check", "--output-format", output)
    assert result.exit_code == 1
    assert all(name in result.stdout for name in [*ENCODED, *UNREADABLE] if name != "parentheses.py")
