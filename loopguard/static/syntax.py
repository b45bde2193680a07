"""Text to libcst tree, with the position of every node that an event or a loop can stand on.

libcst's own position provider costs twice the parse, because it keeps a range for each node. This one runs
the same code generation once with a state that only counts, and keeps the few kinds of node that are asked for.

The body of a function is parsed when somebody looks into it.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache, cached_property, lru_cache, partial
from typing import Any

import libcst as cst
from libcst._nodes.internal import CodegenState

from loopguard.static.caches import remembered
from loopguard.static.outline import Outline, outline
from loopguard.static.rows import Rows
from loopguard.words import Words

Range = tuple[int, int, int, int]
"""First row, first column, last row, end column; rows and columns from 1, the end exclusive."""

_PLAIN = frozenset(
    {
        cst.Call,
        cst.Attribute,
        cst.Subscript,
        cst.Assign,
        cst.AugAssign,
        cst.AnnAssign,
        cst.Expr,
        cst.Lambda,
        cst.Del,
    }
)
_COMPOUND = frozenset({cst.For, cst.While, cst.If, cst.FunctionDef, cst.ClassDef, cst.With, cst.Try})
_NOTHING: AbstractContextManager[None] = nullcontext()


class TextError(Exception):
    """The text cannot be parsed: where (row and column from 1) and why."""

    def __init__(self, row: int, column: int, reason: str) -> None:
        super().__init__(reason)
        self.row, self.column, self.reason = row, column, reason


_BRACKET = re.compile(r"[()\[\]{}]")
_STEEP, _LONG = 100, 5_000


def _is_steep(text: str) -> bool:
    """Whether a text may be nested so deeply that libcst's parser, which has no limit of its own, would crash."""
    depth = 0
    for bracket in _BRACKET.findall(text):
        depth += 1 if bracket in "([{" else -1
        if depth > _STEEP:
            return True
    return len(text) > _LONG and any(len(line) > _LONG for line in text.split("\n"))


def _let_python_judge(text: str) -> None:
    """Raise TextError if Python's own parser, which knows its limits, refuses a text."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ast.parse(text)
    except SyntaxError as found:
        raise TextError(found.lineno or 1, found.offset or 1, found.msg) from None
    except (ValueError, RecursionError, MemoryError):
        raise TextError(1, 1, "nested too deeply") from None


def _problem(text: str, error: cst.ParserSyntaxError) -> TextError:
    """Where and why a text cannot be parsed. Python's own parser says it better, if it agrees."""
    try:
        _let_python_judge(text)
    except TextError as found:
        return found
    reason = error.message.removeprefix("parser error: ").strip()
    return TextError(error.raw_line, error.raw_column + 1, reason)


class _Counter(CodegenState):
    """A code generation state that writes nothing and knows at each moment which row and column it is at."""

    def __init__(self, module: cst.Module) -> None:
        super().__init__(default_indent=module.default_indent, default_newline=module.default_newline)
        self.row, self.column = 1, 1
        self.starts: list[tuple[int, int]] = []
        self.ranges: dict[cst.CSTNode, Range] = {}

    def add_indent_tokens(self) -> None:
        for token in self.indent_tokens:
            self.column += len(token)

    def add_token(self, value: str) -> None:
        if "\n" in value:
            self.row += value.count("\n")
            self.column = len(value) - value.rfind("\n")
        else:
            self.column += len(value)

    def before_codegen(self, node: cst.CSTNode) -> None:
        if type(node) in _PLAIN:
            self.starts.append((self.row, self.column))

    def after_codegen(self, node: cst.CSTNode) -> None:
        if type(node) in _PLAIN:
            self.ranges[node] = (*self.starts.pop(), self.row, self.column)

    def record_syntactic_position(self, node: cst.CSTNode, *, start_node: Any = None, end_node: Any = None) -> Any:
        return self._compound(node) if type(node) in _COMPOUND else _NOTHING

    @contextmanager
    def _compound(self, node: cst.CSTNode) -> Iterator[None]:
        row, column = self.row, self.column
        yield
        self.ranges[node] = (row, column, self.row, self.column)


def _accept(self: cst.CSTNode) -> None:
    """Check nothing."""


@contextmanager
def _trust() -> Iterator[None]:
    """Have libcst not check each node that its own parser makes, which takes a sixth of the time."""
    check = cst.CSTNode.__post_init__
    cst.CSTNode.__post_init__ = _accept  # type: ignore[method-assign]
    try:
        yield
    finally:
        cst.CSTNode.__post_init__ = check  # type: ignore[method-assign]


class _Body(cst.IndentedBlock):
    """The body of a function, parsed when its statements are first asked for. For the generated code it is its stub."""

    stub: cst.BaseSuite
    parse: Callable[[], Sequence[cst.BaseStatement]]
    concrete: bool

    def __init__(self, stub: cst.BaseSuite, parse: Callable[[], Sequence[cst.BaseStatement]], concrete: bool) -> None:
        for name, value in {"stub": stub, "parse": parse, "concrete": concrete, "indent": None}.items():
            object.__setattr__(self, name, value)

    @cached_property
    def body(self) -> Sequence[cst.BaseStatement]:  # type: ignore[override]
        """The statements."""
        return self.parse()

    def _codegen_impl(self, state: CodegenState) -> None:
        self.stub._codegen_impl(state)


_UNREADABLE = "def _():\n    exec()\n"
"""What stands for a body that libcst cannot parse."""


def _functions(node: cst.Module | cst.CSTNode) -> Iterator[cst.FunctionDef]:
    """The functions that are in no other function and in no loop, in the order of the text."""
    for statement in getattr(node, "body", ()):
        if isinstance(statement, cst.FunctionDef):
            yield statement
        elif isinstance(statement, cst.ClassDef | cst.With):
            yield from _functions(statement.body)
        elif isinstance(statement, cst.If):
            rest: cst.If | cst.Else | None = statement
            while rest is not None:
                yield from _functions(rest.body)
                rest = rest.orelse if isinstance(rest, cst.If) else None
        elif isinstance(statement, cst.Try | cst.TryStar):
            for part in (statement, *statement.handlers, statement.orelse, statement.finalbody):
                if part is not None:
                    yield from _functions(part.body)


class Tree:
    """A parsed file: its libcst module, the ranges of its nodes, and their texts."""

    def __init__(self, text: str, short: Outline | None = None) -> None:
        """Parse `text`, whose outline may be known already. Raises TextError."""
        if _is_steep(text):
            _let_python_judge(text)
        self.lines = text.split("\n")
        self._ranges: dict[cst.CSTNode, Range] = {}
        self._uncounted: list[tuple[cst.Module, Callable[[int], int]]] = []
        self._bodies: list[_Body] = []
        short = short or outline(text)
        try:
            self.module = self._outlined(short) if short is not None else self._parse(text)
        except cst.ParserSyntaxError as error:
            raise _problem(text, error) from None
        except RecursionError:
            raise TextError(1, 1, "nested too deeply") from None

    def _outlined(self, short: Outline) -> cst.Module:
        """Parse a text without the bodies of its functions, which follow when they are asked for."""
        module = self._parse(short.text, short.row)
        for at, function in enumerate(_functions(module)):
            number, start, end = short.numbers[at], short.starts[at], short.ends[at]
            if end is not None:
                self._ranges[function] = (*start, end + 1, 1)
            if number is not None:
                body = _Body(function.body, partial(self._open, short, number), short.concrete[at])
                self._bodies.append(body)
                object.__setattr__(function, "body", body)  # nobody has seen this node yet
        return module

    def _open(self, short: Outline, number: int) -> Sequence[cst.BaseStatement]:
        def row(row: int) -> int:
            return row + short.bodies[number][0] - 2

        try:
            module = self._parse(short.body(number), row)
        except cst.ParserSyntaxError:
            module = self._parse(_UNREADABLE, row)  # Python can read it, or there were no outline
        function = module.body[0]
        assert isinstance(function, cst.FunctionDef) and isinstance(function.body, cst.IndentedBlock)
        return function.body.body

    def _parse(self, text: str, row: Callable[[int], int] = int) -> cst.Module:
        """Parse a text whose row x is the row `row(x)` of the file."""
        with _trust():
            module = cst.parse_module(text)
        self._uncounted.append((module, row))
        return module

    def close(self) -> None:
        """Let go of the nodes, also of the statements of functions to which somebody holds on."""
        for body in self._bodies:
            body.__dict__.pop("body", None)
        self._bodies.clear()
        self._ranges.clear()
        self._uncounted.clear()
        del self.module

    def range(self, node: cst.CSTNode) -> Range:
        """Where `node` stands. Only the kinds of node that events, loops and definitions are made of."""
        while node not in self._ranges:
            module, row = self._uncounted.pop()
            state = _Counter(module)
            module._codegen(state)
            for counted, (first, start, last, end) in state.ranges.items():
                self._ranges.setdefault(counted, (row(first), start, row(last), end))
        return self._ranges[node]

    def source(self, node: cst.CSTNode) -> str:
        """The source text of a node that has a range."""
        row, column, end_row, end_column = self.range(node)
        if row == end_row:
            return self.lines[row - 1][column - 1 : end_column - 1]
        middle = self.lines[row : end_row - 1]
        last = self.lines[end_row - 1][: end_column - 1] if end_row <= len(self.lines) else ""
        return "\n".join([self.lines[row - 1][column - 1 :], *middle, last])

    def mentions(self, node: cst.CSTNode, words: Words[str]) -> bool:
        """Whether one of some words is in the source text of a node that has a range."""
        row, column, end_row, end_column = self.range(node)
        return self._rows.hold_between(words, (row, column), (end_row, end_column))

    def code(self, node: cst.CSTNode) -> str:
        """The rows of a node that has a range, without comments and long strings."""
        first, last = self._span(node)
        return "\n".join(self._code[first - 1 : last])

    def codes(self, node: cst.CSTNode, words: Words[str]) -> bool:
        """Whether one of some words is on the rows of a node that has a range, in no comment and no long string."""
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
    return isinstance(function.body, _Body) and function.body.concrete


_PROSE = re.compile(
    r"#[^\n]*"
    r'|"""(?:[^\\]|\\.)*?"""'
    r"|'''(?:[^\\]|\\.)*?'''"
    r'|"(?:[^"\\\n]|\\.)*"'
    r"|'(?:[^'\\\n]|\\.)*'",
    re.DOTALL,
)


def _blank(found: re.Match[str]) -> str:
    text = found[0]
    if text[0] == "#" or text.startswith(('"""', "'''")):
        return "\n" * text.count("\n")
    return text  # `getattr(optimizer, "step")`


@lru_cache(maxsize=1)
def code_of(text: str) -> str:
    """A text without comments and long strings, in as many rows."""
    return _PROSE.sub(_blank, text)


_EMPTY = cst.Module(body=[])

_NO_CHILDREN = (
    "whitespace",
    "leading_lines",
    "header",
    "footer",
    "comma",
    "dot",
    "semicolon",
    "lpar",
    "rpar",
    "lines_after",
)


@remembered
def text_of(node: cst.CSTNode) -> str:
    """The text of an expression on one line, whitespace collapsed."""
    if isinstance(node, cst.Name):
        return node.value
    if isinstance(node, cst.Attribute) and not node.lpar:
        return f"{text_of(node.value)}.{node.attr.value}"
    return " ".join(_EMPTY.code_for_node(node).split())


@cache
def _fields(kind: type[cst.CSTNode]) -> tuple[str, ...]:
    return tuple(
        name for name in kind.__dataclass_fields__ if not name.startswith(_NO_CHILDREN) and name != "__weakref__"
    )


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
