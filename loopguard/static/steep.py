"""Texts that are nested so deeply that libcst's parser is out of its depth.

Its time grows with the square of the depth of an expression, or worse, and it has no limit but the stack. Python's own
parser has neither fault.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Sequence

from loopguard.static.syntax import TextError

_DEEPEST = 60
_MOST_BRACKETS, _LONGEST, _BRACKETS = 20, 500, 5
_TURN = re.compile(r"[()\[\]{},\n]")


def is_steep(text: str) -> bool:
    """Whether a text holds an expression that libcst had better not parse. Raises TextError if Python refuses it."""
    return _may_be_steep(text) and _is_deep(parsed(text), text.split("\n"))


class DepthError(TextError):
    """The text is nested more deeply than Python itself can read."""


def parsed(text: str) -> ast.Module:
    """What Python's own parser, which knows its limits, makes of a text. Raises TextError."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(text)
    except SyntaxError as found:
        raise TextError(found.lineno or 1, found.offset or 1, found.msg) from None
    except (ValueError, RecursionError, MemoryError):
        raise DepthError(1, 1, "nested too deeply") from None


def _may_be_steep(text: str) -> bool:
    """Whether there is room for such an expression: between commas and line ends, within all brackets around."""
    around: list[int] = []
    start = room = 0
    for found in _TURN.finditer(text):
        turn, at = found[0], found.start()
        room += at - start
        start = at + 1
        if room > _LONGEST or len(around) > _MOST_BRACKETS:
            return True
        if turn in "([{":
            around.append(room)
        elif turn in ")]}":
            room = (around.pop() if around else room) + _BRACKETS
        elif turn == "," or (not around and text[at - 1 : at] != "\\"):
            room = around[-1] if around else 0
    return room + len(text) - start > _LONGEST


def _is_deep(module: ast.Module, lines: Sequence[str]) -> bool:
    """Whether an expression of a program is nested too deeply for libcst."""
    todo: list[tuple[ast.AST, int]] = [(module, 0)]
    while todo:
        node, depth = todo.pop()
        if depth + _links(node, lines) > _DEEPEST:
            return True
        for child in ast.iter_child_nodes(node):
            todo.append((child, 0 if isinstance(child, ast.stmt) else depth + 1))
    return False


def _links(node: ast.AST, lines: Sequence[str]) -> int:
    """How deep a chain libcst makes of what is one node to Python: of an `and` of many, of strings side by side."""
    if isinstance(node, ast.BoolOp):
        return len(node.values)
    if not isinstance(node, ast.Constant | ast.JoinedStr):
        return 0
    first, last = node.lineno - 1, (node.end_lineno or node.lineno) - 1
    if first < last:
        return sum(map(_quotes, lines[first : last + 1])) // 2
    size = (node.end_col_offset or 0) - node.col_offset
    return _quotes(lines[first][node.col_offset : node.end_col_offset]) // 2 if size > _LONGEST else 0


def _quotes(text: str) -> int:
    return text.count("'") + text.count('"')
