"""The outline of a text: what stands in it outside of functions, and which rows are the bodies of functions.

libcst is slow, and most functions hold nothing of a training loop. Python's own parser, which is ten times faster,
says whether the text is a program and where its functions are. What libcst gets first is the text without their
bodies; a body follows when somebody looks into it. Rows of the shortened text are translated back; columns are the same.
"""

from __future__ import annotations

import ast
import warnings
from bisect import bisect_right
from collections.abc import Iterator, Sequence

_SHORT = 2


class Outline:
    """A text without the bodies of its functions, and the way back from its rows to those of the whole text.

    `bodies` are the first and last rows of what is left out, in the order of the text. `numbers` has an item for each
    function that is in no other one and in no loop, in that order: the index of its body, None if it is not left out.
    """

    def __init__(
        self, lines: Sequence[str], bodies: Sequence[tuple[int, int]], numbers: Sequence[int | None]
    ) -> None:
        self.lines = lines
        self.bodies = bodies
        self.numbers = numbers
        kept: list[str] = []
        self.stubs: list[int] = []
        """The row in the shortened text that stands for each body."""
        behind = 0
        for first, last in bodies:
            kept += lines[behind : first - 1]
            start = lines[first - 1]
            kept.append(start[: len(start) - len(start.lstrip())] + "...")
            self.stubs.append(len(kept))
            behind = last
        kept += lines[behind:]
        self.text = "\n".join(kept)

    def row(self, row: int) -> int:
        """The row of the whole text that a row of the shortened one is, the first row of a body for its stub."""
        passed = bisect_right(self.stubs, row - 1)
        if not passed:
            return row
        return row - self.stubs[passed - 1] + self.bodies[passed - 1][1]

    def body(self, number: int) -> str:
        """One of the bodies, as a function of its own: its rows are those of the text from the body on, less one."""
        first, last = self.bodies[number]
        return "\n".join(["def _():", *self.lines[first - 1 : last], ""])


def outline(text: str) -> Outline | None:
    """The outline of a program; None if Python does not take the text for one, or nothing can be left out."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            module = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    lines = text.split("\n")
    bodies: list[tuple[int, int]] = []
    numbers: list[int | None] = []
    for function in sorted(_functions(module), key=lambda function: function.lineno):
        first, last = _body(function, lines)
        # A body that ends with the text, and not with its line, is left where it is.
        out = first + _SHORT <= last < len(lines) and _stands_alone(function, lines)
        numbers.append(len(bodies) if out else None)
        if out:
            bodies.append((first, last))
    return Outline(lines, bodies, numbers) if bodies else None


_Function = ast.FunctionDef | ast.AsyncFunctionDef


def _functions(module: ast.Module) -> Iterator[_Function]:
    """The functions that are in no other function and in no loop."""
    todo: list[ast.AST] = list(module.body)
    while todo:
        node = todo.pop()
        if isinstance(node, _Function):
            yield node
        elif isinstance(node, ast.ClassDef | ast.With | ast.AsyncWith | ast.If | ast.Try | ast.TryStar | ast.ExceptHandler):
            for field in ("body", "handlers", "orelse", "finalbody"):
                todo += getattr(node, field, ())


def _stands_alone(function: _Function, lines: Sequence[str]) -> bool:
    """Whether the body of a function shares no line, not even a continued one, with the head."""
    first = function.body[0]
    row = _first_row(first)
    return not lines[row - 1][: first.col_offset].strip() and not lines[row - 2].endswith("\\")


def _body(function: _Function, lines: Sequence[str]) -> tuple[int, int]:
    """The first and last row of a body, with the comments behind its last statement that are indented as a part of it."""
    end = row = function.body[-1].end_lineno or 0
    while row < len(lines):
        line = lines[row]
        stripped = line.lstrip()
        if stripped and not stripped.startswith("#"):
            break
        row += 1
        if stripped and len(line) - len(stripped) > function.col_offset:
            end = row
    return _first_row(function.body[0]), end


def _first_row(statement: ast.stmt) -> int:
    decorators = getattr(statement, "decorator_list", ())
    return min([statement.lineno, *(decorator.lineno for decorator in decorators)])
