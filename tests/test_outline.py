"""A text whose functions are parsed one by one is the text that is parsed as a whole: same nodes, same places."""

from __future__ import annotations

from pathlib import Path

import libcst as cst
import pytest
from conftest import BROKEN, ROOT
from hypothesis import given
from hypothesis import strategies as st
from random_programs import PROGRAMS, fuzz

from loopguard.static import parsed
from loopguard.static.outline import outline
from loopguard.static.parsed import PLACED, ParsedTree
from loopguard.static.syntax import Tree, descendants, text_of

PIECES = (
    "def f(x):\n    y = x\n    z = y\n    return z\n",
    "def f(\n    x,\n    y=1,\n):\n    # first\n    y = x\n\n    z = y\n    # last\n",
    "async def f():\n    async with a:\n        await b\n    # deep\n  # shallow\n",
    "@decorated(\n    1\n)\ndef f(): return (\n    1\n)\n",
    "def f(): \\\n    return 1\n",
    "def f():\n    '''one\ntwo\n'''\n    return '''\n    def g():\n'''\n",
    "def f():\n    @inner\n    def g():\n        return 1\n    return g\n",
    "class A:\n    '''A.'''\n    x = 1\n\n    def f(self):\n        a = 1\n        b = 2\n        return a\n    # end of A\n",
    "class A(B):\n\tdef f(self):\n\t\ta = 1\n\t\tb = 2\n\t\treturn a\n\n\t@property\n\tdef g(self):\n\t\tyield 1\n\n\t\tyield 2\n",
    "if x:\n    def f():\n        a = 1\n        b = 2\n        c = 3\nelif y:\n    pass\nelse:\n    def f():\n        a = 3\n        b()\n        c()\n",
    "try:\n    def f():\n        a = 1\n        b = 2\n        c = 3\nexcept E:\n    def f():\n        a()\n        b()\n        c()\nelse:\n    pass\nfinally:\n    def g():\n        a()\n        b()\n        c()\n",
    "with a as b:\n    def f():\n        a = 1\n        b = 2\n        c = 3\n    f()\n",
    "for x in y:\n    def f():\n        a = 1\n        b = 2\n        c = 3\n    f()\n",
    "def f():\n    raise NotImplementedError(\n        'no'\n    )\n\n",
    "x = [\n    1,\n    2,\n]  # a list\n",
    "def f():\n    ...\n",
    "\f\ndef f():\n    a = '漢字'; b.step()\n    b = (a\n    )\n    c = b\n",
)


def seen(tree: Tree) -> list[tuple[object, ...]]:
    """Everything that the engine asks a tree about its nodes."""
    nodes = [node for node in descendants(tree.module) if type(node) in PLACED]
    return sorted(
        (
            type(node).__name__,
            tree.range(node),
            tree.source(node),
            "" if isinstance(node, cst.BaseCompoundStatement) else text_of(node),
        )
        for node in nodes
    )


def both(text: str, monkeypatch: pytest.MonkeyPatch) -> tuple[object, object]:
    lazy = seen(ParsedTree(text))
    with monkeypatch.context() as patch:
        patch.setattr(parsed, "outline", lambda text: None)
        return lazy, seen(ParsedTree(text))


@pytest.mark.parametrize("text", PIECES)
def test_a_piece_is_seen_as_in_the_whole(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for end in ("", "\n", "# end", "  # end\n", "\n\nx()\n"):
        lazy, whole = both(text + end, monkeypatch)
        assert lazy == whole


@fuzz(60)
@given(st.lists(st.sampled_from(PIECES), min_size=1, max_size=8), st.booleans())
def test_any_row_of_pieces_is_seen_as_in_the_whole(pieces: list[str], ends: bool) -> None:
    with pytest.MonkeyPatch.context() as patch:
        lazy, whole = both("\n".join(pieces) if ends else "\n".join(pieces).rstrip("\n"), patch)
    assert lazy == whole


@fuzz(50)
@given(PROGRAMS)
def test_a_random_program_is_seen_as_in_the_whole(text: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        lazy, whole = both(text, patch)
    assert lazy == whole


@pytest.mark.parametrize("file", sorted((ROOT / "loopguard" / "static").rglob("*.py")), ids=lambda file: file.stem)
def test_a_real_file_is_seen_as_in_the_whole(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lazy, whole = both(file.read_text("utf-8"), monkeypatch)
    assert lazy == whole


def test_a_body_is_parsed_when_somebody_looks_into_it(monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[str] = []
    parse = cst.parse_module
    monkeypatch.setattr(cst, "parse_module", lambda text: parsed.append(text) or parse(text))  # type: ignore[func-returns-value]
    tree = ParsedTree(BROKEN + PIECES[0])
    assert len(parsed) == 1
    assert "z = y" not in parsed[0]
    function = tree.module.body[-1]
    assert isinstance(function, cst.FunctionDef)
    assert tree.source(function).endswith("return z\n")
    assert len(parsed) == 1
    assert len(function.body.body) == 3
    assert "z = y" in parsed[1]


def test_what_is_no_program_has_no_outline() -> None:
    assert outline("def f(:\n") is None
    assert outline("x = " + "(" * 1000 + ")" * 1000) is None
