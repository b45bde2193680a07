"""The outline of a text: what stands in it outside of functions, which names that binds, and where the functions are.

libcst is slow, and most functions hold nothing of a training loop. Python's own parser, which is ten times faster,
says whether the text is a program and where its functions are. What libcst gets first is the text without their
bodies; a body follows when somebody looks into it. Rows of the shortened text are translated back; columns are kept.
"""

from __future__ import annotations

import ast
import warnings
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property

from loopguard.static.imports import Imported

_SHORT = 2


class Outline:
    """A text without the bodies of its functions, and the way back from its rows to those of the whole text.

    `bindings` are the names that its top level defines, and what it imports. `bodies` are the first and last rows of
    what is left out, in the order of the text. `numbers` has an item for each function that is in no other one and in
    no loop, in that order: the index of its body, None if it is not left out. `starts` are the rows and columns at
    which these functions start, `ends` their last rows, None where that takes a closer look; `concrete` says of each
    that it does something. `module` is Python's own tree without these bodies; `left_out` says which of the items
    belongs to such a function. `kept` are Python's trees of the bodies by their numbers, if they are to be kept: that
    takes memory, and saves parsing them again.
    """

    def __init__(self, text: str, module: ast.Module, *, keep: bool = False) -> None:
        self.module = module
        self.kept: dict[int, list[ast.stmt]] = {}
        self.left_out: dict[ast.AST, int] = {}
        self.bindings = list(_bindings(module.body))
        self.bodies: list[tuple[int, int]] = []
        self.numbers: list[int | None] = []
        self.starts: list[tuple[int, int]] = []
        self.ends: list[int | None] = []
        self.concrete: list[bool] = []
        self.lines = text.split("\n")
        for function in sorted(_functions(module), key=lambda function: function.lineno):
            first, last = _body(function, self.lines)
            # A body that ends with the text, and not with its line, is left where it is.
            whole = last < len(self.lines) and _stands_alone(function, self.lines)
            out = whole and first + _SHORT <= last
            self.numbers.append(len(self.bodies) if out else None)
            line = self.lines[function.lineno - 1]
            self.starts.append((function.lineno, len(line) - len(line.lstrip()) + 1))
            self.ends.append(last if whole else None)
            self.concrete.append(_is_concrete(function))
            if out:
                self.left_out[function] = len(self.numbers) - 1
                if keep:
                    self.kept[len(self.bodies)] = function.body
                self.bodies.append((first, last))
                function.body = []

    def forget_tree(self) -> None:
        """Let go of Python's own tree, when another has been made of it."""
        del self.module
        self.left_out.clear()

    @cached_property
    def text(self) -> str:
        """The text without the bodies."""
        return "\n".join(self._kept[0])

    @property
    def stubs(self) -> list[int]:
        """The row in the shortened text that stands for each body."""
        return self._kept[1]

    @cached_property
    def _kept(self) -> tuple[list[str], list[int]]:
        stubs: list[int] = []
        kept: list[str] = []
        behind = 0
        for first, last in self.bodies:
            kept += self.lines[behind : first - 1]
            start = self.lines[first - 1]
            kept.append(start[: len(start) - len(start.lstrip())] + "...")
            stubs.append(len(kept))
            behind = last
        return [*kept, *self.lines[behind:]], stubs

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


def outline(text: str, *, keep: bool = False) -> Outline | None:
    """The outline of a program; None if Python does not take the text for one. `keep` has it keep trees of bodies."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            module = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    return Outline(text, module, keep=keep)


_Function = ast.FunctionDef | ast.AsyncFunctionDef
_Block = ast.If | ast.Try | ast.TryStar | ast.With | ast.AsyncWith | ast.ExceptHandler


def _functions(module: ast.Module) -> Iterator[_Function]:
    """The functions that are in no other function and in no loop."""
    todo: list[ast.AST] = list(module.body)
    while todo:
        node = todo.pop()
        if isinstance(node, _Function):
            yield node
        elif isinstance(
            node, ast.ClassDef | ast.With | ast.AsyncWith | ast.If | ast.Try | ast.TryStar | ast.ExceptHandler
        ):
            for field in ("body", "handlers", "orelse", "finalbody"):
                todo += getattr(node, field, ())


def _stands_alone(function: _Function, lines: Sequence[str]) -> bool:
    """Whether the body of a function shares no line, not even a continued one, with the head."""
    first = function.body[0]
    row = _first_row(first)
    return not lines[row - 1][: first.col_offset].strip() and not lines[row - 2].endswith("\\")


def _body(function: _Function, lines: Sequence[str]) -> tuple[int, int]:
    """The first and last row of a body, with comments behind its last statement that are indented as a part of it."""
    first = _first_row(function.body[0])
    indent = lines[first - 1][: function.body[0].col_offset]
    end = row = function.body[-1].end_lineno or 0
    while row < len(lines):
        line = lines[row]
        stripped = line.lstrip()
        if stripped and not stripped.startswith("#"):
            break
        row += 1
        if stripped and line.startswith(indent):
            end = row
    return first, end


def _is_concrete(function: _Function) -> bool:
    """Whether a function begins with something else than words and an exception: it does not wait to be overridden."""
    for statement in function.body:
        if isinstance(statement, ast.Pass) or (
            isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant | ast.JoinedStr)
        ):
            continue
        return not isinstance(statement, ast.Raise)
    return False


def _first_row(statement: ast.stmt) -> int:
    decorators: list[ast.expr] = getattr(statement, "decorator_list", [])
    return min([statement.lineno, *(decorator.lineno for decorator in decorators)])


def _bindings(statements: Iterable[ast.AST]) -> Iterator[str | Imported]:
    """The names of definitions, and what imports bind: in their order, also under `if`, `try` and `with`."""
    todo = [*statements][::-1]
    while todo:
        node = todo.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Import):
            for alias in node.names:
                top = alias.name.split(".")[0]
                yield Imported(alias.asname, alias.name) if alias.asname else Imported(top, top)
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                yield Imported(alias.asname or alias.name, node.module or "", node.level, alias.name)
        elif isinstance(node, _Block):
            inner = [*node.body, *getattr(node, "orelse", ()), *getattr(node, "handlers", ())]
            todo += reversed(inner)
