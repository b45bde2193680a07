"""An index that was not written so is none, whatever its checksum says: nothing fails, and two runs make a good one."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import chdir
from pathlib import Path
from zlib import crc32

import pytest
from click.testing import CliRunner
from conftest import BROKEN, HEALTHY
from hypothesis import given
from hypothesis import strategies as st
from random_programs import fuzz

from loopguard.cli import app
from loopguard.events import Event, Kind, Moment, Place
from loopguard.finding import Finding
from loopguard.finding_text import dump, load
from loopguard.index import Index
from loopguard.limits import Limit, Unjudged

USES = "from helper import prepare\n" + BROKEN.replace("    loss = ", "    prepare(optimizer)\n    loss = ")
FILES = {
    "broken.py": BROKEN,
    "healthy.py": HEALTHY + "# noqa: LG101\n",
    "hidden.py": BROKEN.replace("step()", "step()  # noqa: LG101"),
    "helper.py": "from missing import other\n\ndef prepare(optimizer):\n    print(optimizer)\n",
    "uses.py": USES,
    "pkg/uses.py": USES,
    "wrong.py": "optimizer.step(\n",
}
"""Findings, none, what hides some, files that lead to others, and a file that cannot be parsed."""


def check(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["check", "--output-format", "json", *arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr


class Tree:
    """A project, the index of its cache, and what is to be found."""

    def __init__(self, place: Path) -> None:
        for name, text in FILES.items():
            file = place / name
            file.parent.mkdir(exist_ok=True)
            file.write_text(text)
        self.expected = check("--no-cache")
        assert check() == self.expected
        (self.index,) = (place / ".loopguard_cache").glob("*.index")
        self.head, _, body = self.index.read_bytes().partition(b"\n")
        self.lines = body.decode().split("\n")
        self.findings = body.count(b'[["LG')

    def survives(self, lines: list[str]) -> None:
        """Run with other lines in the index, then see that a whole one has taken its place."""
        body = "\n".join(lines).encode("utf-8", "surrogatepass")
        self.index.write_bytes(b"%s%08x\n%s" % (self.head[:-8], crc32(body), body))
        for _ in range(2):
            assert check() == self.expected
        start, _, body = self.index.read_bytes().partition(b"\n")
        assert start == b"%s%08x" % (self.head[:-8], crc32(body))
        index = Index(body.decode("utf-8", "surrogateescape"))
        outcomes = [index.record(path).outcome() for path in index.records]
        assert sum(len(outcome.findings) for outcome in outcomes) == self.findings


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tree]:
    place = tmp_path_factory.mktemp("tree")
    with chdir(place):
        yield Tree(place)


STATE, FINDINGS = 3, 7
WORDS = st.text(st.sampled_from('0123456789-_ \t\x1f\x00/:[]"ac٣\ud800é'), max_size=12)
NUMBERS = st.integers(-3, 30).map(str) | st.just("9" * 5000) | WORDS
OTHER = st.sampled_from(["x", "ax", "ac c", "C", "0"])
PLAIN = st.none() | st.integers(-2, 2) | st.floats() | st.text(max_size=3) | st.just([]) | st.just({}) | st.booleans()


@st.composite
def spoilt(draw: st.DrawFn, text: str) -> str:
    """The text of findings with something in it that is of another kind, or missing, or too much, or broken off."""
    if not text or draw(st.booleans()):
        return draw(
            st.sampled_from(["[", "[[]]", "{}", "[1]", "null", '"', "[" * 100_000, text[: len(text) // 2] or "0"])
        )
    top = json.loads(text)
    part, at = top, 0
    while True:
        at = draw(st.integers(0, len(part) - 1))
        if not isinstance(part[at], list) or not part[at] or draw(st.booleans()):
            break
        part = part[at]
    last = at == len(part) - 1  # which may be missing
    new = draw(
        PLAIN.filter(lambda value: type(value) is not type(part[at]) and not (last and None in (value, part[at])))
    )
    what = draw(st.sampled_from(["replace", "insert"]))
    part[at : at + (what == "replace")] = [new]
    return json.dumps(top)


@st.composite
def line_edits(draw: st.DrawFn) -> Callable[[list[str]], list[str]]:
    """Something that happens to the lines of an index."""
    what = draw(st.sampled_from(["field", "field", "field", "drop", "double", "add", "shuffle", "join", "split"]))

    def edit(lines: list[str]) -> list[str]:
        at = draw(st.integers(0, len(lines) - 1))
        fields = lines[at].split("\t")
        if what == "field":
            number = draw(st.integers(0, len(fields) - 1))
            if len(fields) <= FINDINGS:
                fields[number] = draw(WORDS)
            elif number == FINDINGS:
                fields[number] = draw(spoilt(fields[number]))
            else:
                fields[number] = draw(OTHER if number == STATE else NUMBERS)
        elif what == "split":
            fields.insert(draw(st.integers(0, len(fields))), draw(WORDS))
        elif what == "join":
            del fields[draw(st.integers(0, len(fields) - 1))]
        if what == "shuffle":
            return draw(st.permutations(lines))
        new = {"drop": [], "double": [lines[at]] * 2, "add": [draw(WORDS), lines[at]]}.get(what, ["\t".join(fields)])
        return [*lines[:at], *new, *lines[at + 1 :]]

    return edit


@fuzz(100)
@given(data=st.data())
def test_an_index_that_was_not_written_so_is_none(tree: Tree, data: st.DataObject) -> None:
    lines = tree.lines
    for edit in data.draw(st.lists(line_edits(), min_size=1, max_size=3)):
        if lines:
            lines = edit(lines)
    tree.survives(lines)


TEXTS = st.text(max_size=5)
ROWS = st.integers(1, 9)
PLACES = st.builds(
    lambda path, row, column, more, end, cell: Place(path, row, column, row + more, end, cell),
    TEXTS, ROWS, ROWS, ROWS, ROWS, st.none() | ROWS,
)  # fmt: skip
CONDITIONS, CALLS = st.lists(TEXTS, max_size=2).map(tuple), st.lists(PLACES, max_size=2).map(tuple)
EVENTS = st.builds(Event, st.sampled_from(Kind), TEXTS, PLACES, TEXTS, CONDITIONS, CALLS)
FOUND = st.builds(
    Finding,
    *(TEXTS, TEXTS, st.sampled_from(["error", "warning", "advice"]), TEXTS, TEXTS, PLACES),
    *(st.lists(st.builds(Moment, EVENTS, TEXTS, ROWS), max_size=3).map(tuple), st.lists(ROWS, max_size=2).map(tuple)),
    *(st.lists(TEXTS, max_size=2).map(tuple), st.none() | TEXTS),
)


LEFT = st.builds(Unjudged, PLACES, TEXTS, st.sampled_from(Limit))


@fuzz(150)
@given(st.lists(FOUND, max_size=3), st.lists(LEFT, max_size=3))
def test_findings_come_back_as_they_were(findings: list[Finding], unjudged: list[Unjudged]) -> None:
    text = dump(findings, unjudged)
    assert load(text) == (findings, unjudged)
    assert not {"\n", "\t"} & {*text}


@fuzz(100)
@given(st.lists(FOUND, min_size=1, max_size=2), st.lists(LEFT, max_size=2), st.data())
def test_other_text_is_no_findings(findings: list[Finding], unjudged: list[Unjudged], data: st.DataObject) -> None:
    text = data.draw(spoilt(dump(findings, unjudged)))
    with pytest.raises(ValueError):
        load(text)


@pytest.mark.parametrize("name", ["tab\there", "line\nbreak", "unit\x1fseparator", "odd\udcff", "return\rhere"])
def test_a_directory_of_any_name_makes_no_index_that_cannot_be_read(tmp_path: Path, name: str) -> None:
    """Where files were looked for in vain is part of an index, too."""
    here, elsewhere = tmp_path / name, tmp_path / "elsewhere"
    here.mkdir()
    elsewhere.mkdir()
    (elsewhere / "uses.py").write_text(USES)
    with chdir(here):
        expected = check("--no-cache", str(elsewhere))
        for _ in range(2):
            assert check(str(elsewhere)) == expected
        (here / "helper.py").write_text(FILES["helper.py"])
        changed = check("--no-cache", str(elsewhere))
        assert changed != expected
        assert check(str(elsewhere)) == changed
