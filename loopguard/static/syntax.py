"""What trees have in common, however they were made: texts and places of their nodes, and ways to walk them."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from functools import cache, cached_property, lru_cache

import libcst as cst
from libcst._nodes.internal import CodegenState

from loopguard.static.bare.kinds import Range, between, place_of
from loopguard.static.caches import remembered
from loopguard.static.rows import Rows
from loopguard.words import Words


class TextError(Exception):
    """The text cannot be parsed: where (row and column from 1) and why."""

    def __init__(self, row: int, column: int, reason: str) -> None:
        super().__init__(reason)
        self.row, self.column, self.reason = row, column, reason


class Body(cst.IndentedBlock):
    """The body of a function, made when its statements are first asked for.

    `concrete` says that it is known to do something. For libcst's generated code it is the `stub`.
    """

    stub: cst.BaseSuite | None
    make: Callable[[], Sequence[cst.BaseStatement]]
    concrete: bool

    def __init__(
        self, make: Callable[[], Sequence[cst.BaseStatement]], *, concrete: bool, stub: cst.BaseSuite | None = None
    ) -> None:
        for name, value in {"stub": stub, "make": make, "concrete": concrete, "indent": None}.items():
            object.__setattr__(self, name, value)

    @cached_property
    def body(self) -> Sequence[cst.BaseStatement]:  # type: ignore[override]
        """The statements."""
        return self.make()

    def close(self) -> None:
        """Let go of the statements, and of the text that they would be made from."""
        self.__dict__.pop("body", None)
        object.__setattr__(self, "make", tuple)

    def _codegen_impl(self, state: CodegenState) -> None:
        if self.stub is not None:
            self.stub._codegen_impl(state)


UNREADABLE = "def _():\n    exec()\n"
"""What stands for the body of a function that the parser of its tree does not know."""


class Tree(ABC):
    """The tree of a file: its module, the ranges of the nodes that events and loops can stand on, and their texts.

    `lines` are those of the text. `bodies` are those of functions that are made on demand. They and their tree refer to
    each other: who is done with a tree closes it. `unread` are the rows of statements of which it knows only that they
    are there, as they are nested too deeply.
    """

    module: cst.Module

    def __init__(self, lines: list[str]) -> None:
        self.lines = lines
        self.bodies: list[Body] = []
        self.unread: list[int] = []

    def close(self) -> None:
        """Let go of the nodes, also of the statements of functions to which somebody holds on."""
        for body in self.bodies:
            body.close()
        self.bodies.clear()
        del self.module

    @abstractmethod
    def range(self, node: cst.CSTNode) -> Range:
        """Where `node` stands, without parentheses around it.

        Only the kinds of node that events, loops and definitions are made of.
        """

    def source(self, node: cst.CSTNode) -> str:
        """The source text of a node that has a range."""
        return between(self.lines, self.range(node))

    def mentions(self, node: cst.CSTNode, words: Words[str]) -> bool:
        """Whether one of some words is in the source text of a node that has a range."""
        row, column, end_row, end_column = self.range(node)
        return self._rows.hold_between(words, (row, column), (end_row, end_column))

    def code(self, node: cst.CSTNode) -> str:
        """The rows of a node that has a range, without comments, long strings and messages."""
        first, last = self._span(node)
        return "\n".join(self._code[first - 1 : last])

    def codes(self, node: cst.CSTNode, words: Words[str]) -> bool:
        """Whether one of some words is on the rows of a node that has a range, in no comment and no such string."""
        return self._code_rows.hold(words, *self._span(node))

    def _span(self, node: cst.CSTNode) -> tuple[int, int]:
        row, _, end_row, end_column = self.range(node)
        return row, end_row if end_column > 1 else end_row - 1

    @cached_property
    def _rows(self) -> Rows:
        return Rows(self.lines)

    @cached_property
    def _code_rows(self) -> Rows:
        return Rows(self._code)

    @cached_property
    def _code(self) -> list[str]:
        return code_of("\n".join(self.lines)).split("\n")


def is_concrete(function: cst.FunctionDef) -> bool:
    """Whether it is known, without a look into its body, that a function does something."""
    return isinstance(function.body, Body) and function.body.concrete


_PROSE = re.compile(
    r"#[^\n]*"
    r'|"""(?:[^\\]|\\.?)*?("""|\Z)'
    r"|'''(?:[^\\]|\\.?)*?('''|\Z)"
    r'|"(?:[^"\\\n]|\\.)*+("?)'
    r"|'(?:[^'\\\n]|\\.)*+('?)",
    re.DOTALL,
)
"""Comments and strings. What begins like a string and does not end is passed over, not looked at again from within."""


def _blank(found: re.Match[str]) -> str:
    text = found[0]
    if not found[found.lastindex or 0]:
        return text  # it does not end
    if text[0] == "#" or text.startswith(('"""', "'''")):
        return "\n" * text.count("\n")
    if " " in text and "{" not in text:
        return '""' + "\n" * text.count("\n")  # a message
    return text  # `getattr(optimizer, "step")`, `f"{train(model)}"`


@lru_cache(maxsize=1)
def code_of(text: str) -> str:
    """A text without comments, long strings and messages, in as many rows."""
    return _PROSE.sub(_blank, text)


_EMPTY = cst.Module(body=[])
_PRIMARY = (cst.Name, cst.Attribute, cst.Call, cst.Subscript)
"""What needs no parentheses in front of a dot."""

_NO_CHILDREN = re.compile(
    r"_|.*whitespace|leading_lines|header|footer|newline|indent|comma|dot|semicolon|colon|first_colon|second_colon|equal|"
    r"[lr](?:par|brace|bracket)\b|lines_after|posonly_ind|trailing_comma|separator|start\b|end\b|encoding|default_|has_trailing"
)


@remembered
def text_of(node: cst.CSTNode) -> str:
    """The text of an expression on one line, whitespace collapsed."""
    if isinstance(node, cst.Name):
        return node.value
    place = place_of(node)
    if isinstance(node, cst.Attribute) and (isinstance(node.value, _PRIMARY) if place is not None else not node.lpar):
        return f"{text_of(node.value)}.{node.attr.value}"
    text = between(place[0], place[1]) if place is not None else _EMPTY.code_for_node(node)
    return " ".join(text.split())


@cache
def _fields(kind: type[cst.CSTNode]) -> tuple[str, ...]:
    return tuple(name for name in kind.__dataclass_fields__ if _NO_CHILDREN.match(name) is None)


class _Kinds(dict[type, bool]):
    """Whether a type is one of nodes. libcst's are abstract base classes, of which Python asks slowly."""

    def __missing__(self, kind: type) -> bool:
        self[kind] = issubclass(kind, cst.CSTNode)
        return self[kind]


_IS_NODE = _Kinds()


def children_of(node: cst.CSTNode) -> Iterator[cst.CSTNode]:
    """The child nodes that mean something: no whitespace, no punctuation. Much faster than libcst's `children`."""
    for name in _fields(type(node)):
        value = getattr(node, name)
        kind = type(value)
        if kind is tuple or kind is list:
            for item in value:
                if _IS_NODE[type(item)]:
                    yield item
        elif _IS_NODE[kind]:
            yield value


def descendants(node: cst.CSTNode) -> Iterator[cst.CSTNode]:
    """The node and everything below it, in no particular order."""
    todo = [node]
    while todo:
        item = todo.pop()
        yield item
        todo += children_of(item)
