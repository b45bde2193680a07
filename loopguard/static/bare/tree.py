"""A file's tree of bare nodes."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Sequence
from functools import partial

import libcst as cst

from loopguard.static.bare.kinds import Range, place_of
from loopguard.static.bare.statements import NoBareTreeError, bare_module
from loopguard.static.outline import Outline, outline
from loopguard.static.parsed import ParsedTree
from loopguard.static.syntax import UNREADABLE, Body, Tree


def quick_tree(text: str, short: Outline | None = None) -> Tree:
    """The tree of a text, whose outline may be known already: a bare one if there is one. Raises TextError."""
    short = short or outline(text)
    if short is None:
        return ParsedTree(text)
    try:
        return BareTree(short)
    except NoBareTreeError:
        return ParsedTree(text, short)


class BareTree(Tree):
    """A tree of bare nodes. The body of a function is made when somebody looks into it."""

    def __init__(self, short: Outline) -> None:
        """Make it from the outline of a text, which lets go of its own tree then. Raises NoBareTreeError."""
        super().__init__(short.lines)

        def body(function: ast.AST) -> Body | None:
            at = short.left_out.get(function)
            if at is None:
                return None
            self.bodies.append(Body(partial(self._open, short, at), concrete=short.concrete[at]))
            return self.bodies[-1]

        self.module = bare_module(short.module, self.lines, 0, body, self.unread)
        short.forget_tree()

    def _open(self, short: Outline, at: int) -> Sequence[cst.BaseStatement]:
        number = short.numbers[at]
        assert number is not None
        try:
            if number in short.kept:
                return self._statements(short.kept.pop(number), self.lines, 0)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                again = ast.parse(short.body(number))
            return self._statements(_body(again), self.lines, short.bodies[number][0] - 2)
        except NoBareTreeError:
            return self._statements(_body(ast.parse(UNREADABLE)), UNREADABLE.split("\n"), 0)

    def _statements(self, body: list[ast.stmt], lines: list[str], skipped: int) -> Sequence[cst.BaseStatement]:
        """The statements of a body that was parsed from rows of a text, that far behind its start."""
        module = bare_module(ast.Module(body, []), lines, skipped, lambda function: None, self.unread)
        made: Sequence[cst.BaseStatement] = module.body
        return made

    def range(self, node: cst.CSTNode) -> Range:
        """Where `node` stands, without parentheses around it."""
        place = place_of(node)
        assert place is not None, node
        return place[1]


def _body(module: ast.Module) -> list[ast.stmt]:
    """The body of the one function of a program."""
    (function,) = module.body
    assert isinstance(function, ast.FunctionDef)
    return function.body
