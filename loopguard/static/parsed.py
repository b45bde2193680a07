"""Text to a tree by libcst's parser, with the position of every node that an event or a loop can stand on.

libcst's own position provider costs twice the parse, because it keeps a range for each node. This one runs
the same code generation once with a state that only counts, and keeps the few kinds of node that are asked for.

The body of a function is parsed when somebody looks into it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any

import libcst as cst
from libcst._nodes.internal import CodegenState

from loopguard.static.bare.kinds import Range
from loopguard.static.outline import Outline, outline
from loopguard.static.steep import DepthError, is_steep, parsed
from loopguard.static.syntax import UNREADABLE, Body, TextError, Tree

PLACED = frozenset(
    {
        *(cst.Call, cst.Attribute, cst.Subscript, cst.Lambda),
        *(cst.Expr, cst.Assign, cst.AugAssign, cst.AnnAssign, cst.Del),
        *(cst.For, cst.While, cst.If, cst.With, cst.Try, cst.TryStar, cst.Match, cst.FunctionDef, cst.ClassDef),
    }
)
"""The kinds of node of which the range is known."""

_NOTHING: AbstractContextManager[None] = nullcontext()


def _refusal(text: str) -> DepthError | None:
    """Why not even Python can read a text, if that is its depth; None for a text that may be of a newer Python."""
    try:
        parsed(text)
    except DepthError as refused:
        return refused
    except TextError:
        return None
    return None


def _problem(text: str, error: cst.ParserSyntaxError) -> TextError:
    """Where and why a text cannot be parsed. Python's own parser says it better, if it agrees."""
    try:
        parsed(text)
    except TextError as found:
        return found
    reason = error.message.removeprefix("parser error: ").strip()
    return TextError(error.raw_line, error.raw_column + 1, reason)


class _Counter(CodegenState):
    """A code generation state that writes nothing and knows at each moment which row and column it is at."""

    def __init__(self, module: cst.Module) -> None:
        super().__init__(default_indent=module.default_indent, default_newline=module.default_newline)
        self.row, self.column = 1, 1
        self.ranges: dict[cst.CSTNode, Range] = {}
        self._open: list[tuple[cst.CSTNode, int, int]] = []

    def add_indent_tokens(self) -> None:
        for token in self.indent_tokens:
            self.column += len(token)

    def add_token(self, value: str) -> None:
        if "\n" in value:
            self.row += value.count("\n")
            self.column = len(value) - value.rfind("\n")
        else:
            self.column += len(value)

    def record_syntactic_position(self, node: cst.CSTNode, *, start_node: Any = None, end_node: Any = None) -> Any:
        if type(node) not in PLACED:
            return _NOTHING
        self._node = node
        return self

    # The ranges of nodes are nested as the nodes are: one state serves as the context of all of them.

    def __enter__(self) -> None:
        self._open.append((self._node, self.row, self.column))

    def __exit__(self, *error: object) -> None:
        node, row, column = self._open.pop()
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


class ParsedTree(Tree):
    """A tree with everything that is in the text, made by libcst's parser."""

    def __init__(self, text: str, short: Outline | None = None) -> None:
        """Parse `text`, whose outline may be known already. Raises TextError, also for what is nested too deeply."""
        if is_steep(text):
            raise TextError(1, 1, "nested too deeply")
        short = short or outline(text)
        if short is None and (problem := _refusal(text)) is not None:
            raise problem
        super().__init__(short.lines if short is not None else text.split("\n"))
        self._ranges: dict[cst.CSTNode, Range] = {}
        self._uncounted: list[tuple[cst.Module, Callable[[int], int]]] = []
        try:
            self.module = self._outlined(short) if short is not None else self._parse(text)
        except cst.ParserSyntaxError as error:
            raise _problem(text, error) from None

    def _outlined(self, short: Outline) -> cst.Module:
        """Parse a text without the bodies of its functions, which follow when they are asked for."""
        module = self._parse(short.text, short.row)
        for at, function in enumerate(_functions(module)):
            number, start, end = short.numbers[at], short.starts[at], short.ends[at]
            if end is not None:
                self._ranges[function] = (*start, end + 1, 1)
            if number is not None:
                body = Body(partial(self._open, short, number), concrete=short.concrete[at], stub=function.body)
                self.bodies.append(body)
                object.__setattr__(function, "body", body)  # nobody has seen this node yet
        return module

    def _open(self, short: Outline, number: int) -> Sequence[cst.BaseStatement]:
        def row(row: int) -> int:
            return row + short.bodies[number][0] - 2

        try:
            module = self._parse(short.body(number), row)
        except cst.ParserSyntaxError:
            module = self._parse(UNREADABLE, row)  # Python can read it, or there were no outline
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
        super().close()
        self._ranges.clear()
        self._uncounted.clear()

    def range(self, node: cst.CSTNode) -> Range:
        """Where `node` stands, without parentheses around it."""
        while node not in self._ranges:
            module, row = self._uncounted.pop()
            state = _Counter(module)
            module._codegen(state)
            for counted, (first, start, last, end) in state.ranges.items():
                self._ranges.setdefault(counted, (row(first), start, row(last), end))
        return self._ranges[node]
