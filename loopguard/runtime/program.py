"""What is written around a place of the running program: the call itself, and the loops and conditions around it.

A run sees only what happens. Which loop an event stands in, and which clear was passed over, is read from the source
with `ast`, and only when there is something to tell.
"""

from __future__ import annotations

import ast
import linecache
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path

from loopguard.events import Place
from loopguard.paths import shown

_TEXT_LIMIT = 80

Span = tuple[int, int, int, int]
"""First and last row, and columns in UTF-8 bytes from 0, as code objects count them."""

Scope = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.Module


@dataclass(frozen=True, eq=False)
class Loop:
    """A loop as it is written: its header without the colon, and its statement."""

    text: str
    node: ast.For | ast.AsyncFor | ast.While

    @property
    def assigned(self) -> set[str]:
        """The names and attributes that the loop and its body assign to."""
        nodes = [node for node in ast.walk(self.node) if isinstance(getattr(node, "ctx", None), ast.Store)]
        names = {node.id for node in nodes if isinstance(node, ast.Name)}
        return names | {node.attr for node in nodes if isinstance(node, ast.Attribute)}

    def __contains__(self, row: int) -> bool:
        """Whether a row lies in the loop's body, not in its header or its `else`."""
        return self.node.body[0].lineno <= row <= (self.node.body[-1].end_lineno or 0)


@dataclass(frozen=True)
class Gate:
    """A condition around a place: its text, whether it was true there, and the test."""

    text: str
    truth: bool
    test: ast.expr = field(compare=False)

    @property
    def remainder(self) -> ast.BinOp | None:
        """The remainder that the test looks at, as the gates of accumulation windows do."""
        found = (node for node in ast.walk(self.test) if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mod))
        return next(found, None)

    @property
    def size(self) -> str:
        """The text of the modulus."""
        return ast.unparse(self.remainder.right) if self.remainder is not None else ""

    def counts(self, loop: Loop) -> bool:
        """Whether it is true once in so many iterations of a loop: whether what it counts changes there."""
        if self.remainder is None:
            return False
        counted = {node.id for node in ast.walk(self.remainder.left) if isinstance(node, ast.Name)}
        counted |= {node.attr for node in ast.walk(self.remainder.left) if isinstance(node, ast.Attribute)}
        return not counted.isdisjoint(loop.assigned)


class Program:
    """One file of the running program. Lines are read at once: the user may edit the file while it runs."""

    def __init__(self, filename: str) -> None:
        self.filename = filename
        self.path = shown(Path(filename)) if not filename.startswith("<") else filename
        self.lines = linecache.getlines(filename)
        self._ways: dict[int, tuple[Scope, list[ast.stmt]]] = {}

    @cached_property
    def tree(self) -> ast.Module:
        """The parsed file; an empty module where there is no source, or none that parses."""
        try:
            return ast.parse("".join(self.lines))
        except (SyntaxError, ValueError):
            return ast.Module(body=[], type_ignores=[])

    @cached_property
    def _loops(self) -> dict[ast.AST, Loop]:
        return {
            node: Loop(self._header(node), node)
            for node in ast.walk(self.tree)
            if isinstance(node, ast.For | ast.AsyncFor | ast.While) and not _is_list(node)
        }

    def place(self, span: Span) -> Place:
        """The place of a range."""
        row, end_row, column, end_column = span
        return Place(self.path, row, self._column(row, column), end_row, self._column(end_row, end_column))

    def text(self, span: Span) -> str:
        """What is written there, on one line, shortened."""
        row, end_row, column, end_column = span
        lines = [line.encode() for line in self.lines[row - 1 : end_row]]
        if not lines:
            return ""
        lines[-1] = lines[-1][:end_column]
        lines[0] = lines[0][column:]
        return short(" ".join(b" ".join(lines).decode(errors="replace").split()))

    def node_text(self, node: ast.expr | ast.stmt) -> str:
        """A node as it is written, on one line, shortened."""
        return self.text(span_of(node))

    def scope(self, row: int) -> Scope:
        """The innermost function that holds a row, or the module."""
        return self._way(row)[0]

    def loops(self, row: int) -> list[Loop]:
        """The loops around a row within its function, outermost first."""
        return [self._loops[node] for node in self._way(row)[1] if node in self._loops and row in self._loops[node]]

    def gates(self, row: int, within: Loop | None = None) -> list[Gate]:
        """The conditions around a row, those inside of a loop if it is given, outermost first."""
        found = []
        for node in self._way(row)[1]:
            if isinstance(node, ast.If) and (within is None or node.lineno in within):
                truth = node.body[0].lineno <= row <= (node.body[-1].end_lineno or 0)
                if truth or row > (node.body[-1].end_lineno or 0):
                    test = self._meaning(node.test, row)
                    found.append(Gate(self.node_text(test), truth, test))
        return found

    def contexts(self, row: int, within: Loop) -> Iterator[str]:
        """The texts of the `with` items around a row inside of a loop."""
        for node in self._way(row)[1]:
            if isinstance(node, ast.With | ast.AsyncWith) and node.lineno in within:
                yield from (self.node_text(item.context_expr) for item in node.items)

    def calls(self, method: str, within: ast.AST) -> Iterator[tuple[ast.Call, ast.expr]]:
        """The calls of a method written in a piece of program, each with what it is called on; not in functions."""
        for node in inside(within):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == method:
                yield node, node.func.value

    def _meaning(self, test: ast.expr, row: int) -> ast.expr:
        """What a test stands for: the one expression that its variable is assigned in the same function, or itself."""
        if not isinstance(test, ast.Name):
            return test
        values = [
            node.value
            for node in inside(self.scope(row))
            if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == test.id for t in node.targets)
        ]
        return values[0] if len(values) == 1 and isinstance(values[0], ast.Compare | ast.BinOp | ast.BoolOp) else test

    def _way(self, row: int) -> tuple[Scope, list[ast.stmt]]:
        """The innermost function that holds a row, and the statements around the row within it, outermost first."""
        if row not in self._ways:
            scope: Scope = self.tree
            around: list[ast.stmt] = []
            node: ast.stmt | None = next((child for child in _statements(self.tree) if _holds(child, row)), None)
            while node is not None:
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                    scope, around = node, []
                elif not isinstance(node, ast.ClassDef):
                    around.append(node)
                node = next((child for child in _statements(node) if _holds(child, row)), None)
            self._ways[row] = scope, around
        return self._ways[row]

    def _header(self, node: ast.For | ast.AsyncFor | ast.While) -> str:
        if isinstance(node, ast.While):
            return f"while {self.node_text(node.test)}"
        return f"for {self.node_text(node.target)} in {self.node_text(node.iter)}"

    def _column(self, row: int, byte: int) -> int:
        line = self.lines[row - 1] if 0 < row <= len(self.lines) else ""
        return len(line.encode()[:byte].decode(errors="replace")) + 1


class LambdaBody(Program):
    """A file as it is seen from within a lambda: who calls it stands elsewhere, and so do the loops around the call."""

    def __init__(self, filename: str, span: Span) -> None:
        super().__init__(filename)
        self._span = span

    @cached_property
    def _body(self) -> Scope | None:
        around = [node for node in ast.walk(self.tree) if isinstance(node, ast.Lambda) and _covers(node, self._span)]
        return around[-1] if around else None

    def _way(self, row: int) -> tuple[Scope, list[ast.stmt]]:
        return (self._body, []) if self._body is not None else super()._way(row)


@cache
def program(filename: str) -> Program:
    """The file of that name, read once."""
    return Program(filename)


@cache
def lambda_body(filename: str, span: Span) -> Program:
    """The file of that name, as it is seen from what is written there, which is a part of a lambda."""
    return LambdaBody(filename, span)


def short(text: str) -> str:
    """A text cut where it gets long."""
    return text if len(text) <= _TEXT_LIMIT else f"{text[: _TEXT_LIMIT - 3]}..."


def span_of(node: ast.expr | ast.stmt) -> Span:
    """Where a node is written, as code objects count."""
    return node.lineno, node.end_lineno or node.lineno, node.col_offset, node.end_col_offset or node.col_offset


def inside(node: ast.AST) -> Iterator[ast.AST]:
    """All nodes of a piece of program that run when it runs: not those of functions defined in it."""
    todo = list(ast.iter_child_nodes(node))
    while todo:
        item = todo.pop()
        yield item
        if not isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef):
            todo += ast.iter_child_nodes(item)


def _is_list(loop: ast.For | ast.AsyncFor | ast.While) -> bool:
    """Whether a loop only does the same with each of some objects that it names: `for o in (a, b): o.step()`."""
    return (
        isinstance(loop, ast.For)
        and isinstance(loop.target, ast.Name)
        and isinstance(loop.iter, ast.Tuple | ast.List)
        and all(isinstance(item, ast.Name | ast.Attribute) for item in loop.iter.elts)
        and any(
            isinstance(node, ast.Attribute)
            and node.attr in ("zero_grad", "step")
            and isinstance(node.value, ast.Name)
            and node.value.id == loop.target.id
            for node in ast.walk(loop)
        )
    )


def _statements(node: ast.AST) -> Iterator[ast.stmt]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.stmt):
            yield child
        elif isinstance(child, ast.ExceptHandler | ast.match_case):
            yield from child.body


def _covers(node: ast.Lambda, span: Span) -> bool:
    """Whether what is written at a place is a part of a lambda."""
    row, end_row, column, end_column = span
    first, last, start, end = span_of(node)
    return (first, start) <= (row, column) and (end_row, end_column) <= (last, end)


def _holds(node: ast.stmt, row: int) -> bool:
    return node.lineno <= row <= (node.end_lineno or node.lineno)
