"""A bare tree is libcst's tree without whitespace and punctuation, and whoever looks at it finds the same mistakes."""

from __future__ import annotations

import ast
import gc
from collections.abc import Iterable, Iterator
from importlib import import_module
from pathlib import Path
from textwrap import dedent, indent
from weakref import ref

import libcst as cst
import pytest
from conftest import BROKEN, HEALTHY, ROOT
from hypothesis import given
from programs import marks
from random_programs import PROGRAMS, fuzz

from loopguard.case import Case
from loopguard.source import Source
from loopguard.static.analyse import _analyse
from loopguard.static.bare import statements
from loopguard.static.bare.tree import BareTree, quick_tree
from loopguard.static.outline import outline
from loopguard.static.parsed import PLACED, ParsedTree
from loopguard.static.project import Project
from loopguard.static.scope import File
from loopguard.static.syntax import Tree, children_of, descendants, text_of

analysis = import_module("loopguard.static.analyse")
parsing = import_module("loopguard.static.parsed")

STATEMENTS = """\
import a.b.c, d as e
from . import f
from ..g.h import (i as j, k,)
from l import *

x = y = 1; z: int = 0x1F; w: str
x += 1; x -= 1; x *= 1; x @= 1; x /= 1; x %= 1; x **= 1; x <<= 1; x >>= 1; x |= 1; x ^= 1; x &= 1; x //= 1
del x, y[0]
del (z)
assert x, "no"
assert x
pass

@first
@second(1)
async def m(a, /, b: int = 1, *c, d, e=2, **f) -> None:
    global n
    async with o as p, q():
        await r
    async for s in t:
        yield
    return

def u(*, only): nonlocal v; return 1, *v
class A: pass
class B(A, *bases, metaclass=M, **rest):
    '''Words.'''
    def method(self): ...

if x: pass
elif y:
    x = 1
else:
    if z:
        x = 2
for i, *j in k: continue
else: pass
while True: break
else:
    raise
try:
    raise E from e
except A:
    pass
except (B, C) as d:
    pass
except:
    pass
else:
    pass
finally:
    pass
try:
    pass
except* A as b:
    pass
match x, y:
    case 1 | None: pass
    case A(b=c) as d if e: pass
    case [_, *f]: pass
    case g: pass
    case _: pass
"""

EXPRESSIONS = """\
1, 1_000, 0b1, 1.5, 1e-3, 2j, "a", 'b\\'', r"c", b"d", '''e
f''', "a" "b", "a" 'b' f"{c}", f"d{e!r:>{g}}h", ..., None, True, False
a.b.c, a().b[0].c, (a + b).c, "a".join
a(b, *c, d=e, **f), a(b=c, *d), a(x for x in y), a((b)), a(*b, *c)
a[b], a[b, c], a[(b, c)], a[b:c], a[b:c:d, ::2], a[()], a[*b], a[:, None]
a + b - c * d @ e / f % g ** h << i >> j | k ^ l & m // n
a and b and c or d or not e
(a and (b)) and c
-a, +a, ~a, not a
a < b <= c > d >= e == f != g is h is not i in j not in k
a if b else c if d else e
lambda: 0, lambda a, *b, c=1, **d: (a, b)
(), (a,), (a, *b), [], [a, *b], {a, *b}, {}, {a: b, **c}
[a for b in c], [a for b in c if d if e for f, g in h], {a for b in c}, {a: b for c in d}, (a async for b in c)
(a := b), (yield), (yield a), (yield from b), await c
漢字 = "é".encode() + ü.ß[á]
a(  # comment
    b,

    c)
(
    a
    .b()
    .c()
)
a = b \\
    + c
"""


def meaning(node: cst.CSTNode, tree: Tree, depth: int = 0) -> Iterator[tuple[object, ...]]:
    """What the engine can learn of a node and those below it, a row each."""
    if isinstance(node, cst.BaseSuite | cst.Module):
        yield depth, "block"
        for statement in node.body:
            for part in statement.body if isinstance(statement, cst.SimpleStatementLine) else [statement]:
                yield from meaning(part, tree, depth + 1)
        return
    if isinstance(node, cst.ConcatenatedString | cst.FormattedString):
        yield depth, "strings"  # Python has put them together
        return
    yield depth, type(node).__name__, _text(node), _place(node, tree), getattr(node, "star", None)
    for child in children_of(node):
        of_import = isinstance(node, cst.ImportAlias | cst.ImportFrom)
        if isinstance(node, cst.MatchCase) and child is node.pattern:
            yield depth + 1, text_of(child)
        elif of_import and isinstance(child, cst.Attribute):
            yield depth + 1, text_of(child)  # nobody needs to know where the parts of a module's name are
        else:
            yield from meaning(child, tree, depth + 1)


def _place(node: cst.CSTNode, tree: Tree) -> object:
    if type(node) not in PLACED:
        return None
    # Comments behind a block are nothing that Python knows of.
    return tree.range(node)[:2] if isinstance(node, cst.BaseCompoundStatement) else tree.range(node)


def _text(node: cst.CSTNode) -> str:
    if isinstance(node, cst.Name | cst.Integer | cst.Float | cst.SimpleString):
        return node.value
    if not isinstance(node, cst.Call | cst.Subscript | cst.Comparison | cst.BinaryOperation | cst.BooleanOperation):
        return ""
    parenthesised = node.lpar and isinstance(node.lpar[0], cst.LeftParen)
    return text_of(node.with_changes(lpar=(), rpar=()) if parenthesised else node)


def bare(text: str) -> Tree:
    tree = quick_tree(text)
    assert isinstance(tree, BareTree)
    return tree


def both(text: str) -> tuple[object, object]:
    """What a bare tree means, made at once and from bodies that were kept, and twice what libcst's own one means."""
    mine, kept, other = bare(text), quick_tree(text, outline(text, keep=True)), ParsedTree(text)
    expected = [*meaning(other.module, other)]
    return ([*meaning(mine.module, mine)], [*meaning(kept.module, kept)]), (expected, expected)


@pytest.mark.parametrize("text", [STATEMENTS, EXPRESSIONS], ids=["statements", "expressions"])
def test_a_bare_node_means_what_a_parsed_one_means(text: str) -> None:
    mine, other = both(text)
    assert mine == other


@pytest.mark.parametrize("indent", ["    ", "\t"])
def test_what_stands_in_a_function_means_the_same(indent: str) -> None:
    rows = [row for row in EXPRESSIONS.splitlines() if row not in ("f''', \"a\"",)]
    text = "\n".join(
        ["class A:", f"{indent}def f(self):", *(indent * 2 + row for row in rows), f"{indent}# end", "f()"]
    )
    mine, other = both(text.replace("'''e\n", "'''e"))
    assert mine == other


@pytest.mark.parametrize("file", sorted((ROOT / "loopguard").rglob("*.py")), ids=lambda file: file.stem)
def test_a_real_file_means_the_same(file: Path) -> None:
    mine, other = both(file.read_text("utf-8"))
    assert mine == other


@fuzz(60)
@given(PROGRAMS)
def test_a_random_program_means_the_same(text: str) -> None:
    mine, other = both(text)
    assert mine == other


@fuzz(40)
@given(PROGRAMS)
def test_a_bare_tree_shows_the_same_mistakes(text: str) -> None:
    project = Project([])
    trees = bare(text), ParsedTree(text)
    mine, other = (shown(_analyse(File(Source("train.py", text), project, tree), (), {})) for tree in trees)
    assert mine == other


@fuzz(40)
@given(PROGRAMS)
def test_where_mistakes_were_seen_a_second_look_sees_them_all(text: str) -> None:
    file = File(Source("train.py", text), Project([]), ParsedTree(text))
    seen = shown(_analyse(file, (), {}))
    assert not seen or shown(_analyse(file, {number for _, number in seen}, {})) == seen


def test_a_second_look_at_a_function_knows_what_the_top_level_binds() -> None:
    made, *step = dedent(BROKEN).partition("for ")
    text = made + "def train():\n" + indent("".join(step), "    ")
    assert len(marks(text)) == len(marks(BROKEN)) == 1


def shown(seen: Iterable[tuple[Case, int]]) -> list[tuple[object, int]]:
    """Mistakes, their places, and which lowerings show them."""
    return [((case.mistake, case.at.place), number) for case, number in seen]


def test_libcst_parses_nothing_where_there_is_nothing_to_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[str] = []
    parse = cst.parse_module
    monkeypatch.setattr(cst, "parse_module", lambda text: parsed.append(text) or parse(text))  # type: ignore[func-returns-value]
    assert marks(HEALTHY) == []
    assert parsed == []
    assert len(marks(BROKEN)) == 1
    assert parsed == [BROKEN]


def test_what_libcst_does_not_read_is_told_as_python_reads_it(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = marks(BROKEN)

    def refuse(text: str) -> cst.Module:
        raise cst.ParserSyntaxError("no", lines=[text], raw_line=1, raw_column=0)

    monkeypatch.setattr(cst, "parse_module", refuse)
    assert marks(BROKEN) == expected != []


def test_what_only_libcst_reads_is_told_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(analysis, "outline", lambda text, **options: None)
    monkeypatch.setattr(parsing, "outline", lambda text, **options: None)
    assert len(marks(BROKEN)) == 1


def test_syntax_that_is_newer_than_bare_nodes_is_left_to_libcst(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(statements._STATEMENTS, ast.While)
    text = "while busy():\n    pass\n"
    assert isinstance(quick_tree(text), ParsedTree)
    assert marks(text + BROKEN) == [(row + 2, code) for row, code in marks(BROKEN)]


@pytest.mark.parametrize("keep", [False, True])
def test_newer_syntax_within_a_function_is_code_that_nobody_knows(monkeypatch: pytest.MonkeyPatch, keep: bool) -> None:
    monkeypatch.delitem(statements._STATEMENTS, ast.While)
    text = "def f():\n    while x:\n        y()\n    z()\n"
    function = quick_tree(text, outline(text, keep=keep)).module.body[0]
    assert isinstance(function, cst.FunctionDef)
    calls = [text_of(node) for node in descendants(function.body) if isinstance(node, cst.Call)]
    assert calls == ["exec()"]


def test_a_closed_tree_leaves_nothing_to_the_nodes_that_somebody_holds() -> None:
    """Caches hold nodes: through the body of a function they would keep its text, and Python's tree of it."""
    short = outline("def f():\n    a\n    b\n    c\n", keep=True)
    assert short is not None
    tree, kept = quick_tree("", short), ref(short)
    function = tree.module.body[0]
    tree.close()
    del tree, short
    gc.collect()
    assert isinstance(function, cst.FunctionDef)
    assert kept() is None
