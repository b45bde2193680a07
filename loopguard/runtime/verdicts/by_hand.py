"""Gradients in the hands of the user: clears that no call makes, and gradients that are read, as they are written."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from loopguard.events import Event, Kind
from loopguard.runtime.program import Loop, Program, inside, span_of
from loopguard.runtime.sites import Site

_GRADIENTS = ("grad", "main_grad")
_ZEROES = ("zero_", "fill_", "mul_")


@dataclass(frozen=True, slots=True)
class ClearByHand:
    """A clear that is written out. `row` is that of the loop's own file from which it is run."""

    program: Program
    node: ast.expr | ast.stmt
    row: int

    def event(self, subject: str) -> Event:
        """The clear as an event about a subject."""
        return Event(Kind.CLEAR, subject, self.program.place(span_of(self.node)), self.program.node_text(self.node))


def clears_in(site: Site, loop: Loop) -> list[ClearByHand]:
    """The clears by hand in a loop around a site, and in the functions of its file that it calls."""
    for program, row in site.ways:
        if loop in program.loops(row):
            found = [ClearByHand(program, node, node.lineno) for node in clears_by_hand(loop.node)]
            return [*found, *_in_helpers(program, loop)]
    return []


def row_in(site: Site, loop: Loop) -> int:
    """The row in a loop around a site from which it is reached."""
    return next((row for program, row in site.ways if loop in program.loops(row)), site.row)


def _in_helpers(program: Program, loop: Loop) -> Iterator[ClearByHand]:
    called = {_name_of(node): node.lineno for node in inside(loop.node) if isinstance(node, ast.Call)}
    for node in ast.walk(program.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name in called:
            yield from (ClearByHand(program, item, called[node.name]) for item in clears_by_hand(node))


def clears_by_hand(piece: ast.AST) -> Iterator[ast.expr | ast.stmt]:
    """`p.grad = None`, `del p.grad`, `p.grad.zero_()` and the like, as they are written in a piece of program."""
    for node in inside(piece):
        if isinstance(node, ast.Delete) or (isinstance(node, ast.Assign) and _is_none(node.value)):
            if any(isinstance(target, ast.Attribute) and target.attr == "grad" for target in node.targets):
                yield node
        elif isinstance(node, ast.Call) and _zeroes(node):
            yield node


def _zeroes(call: ast.Call) -> bool:
    """Whether a call sets gradients to zero, or to None."""
    name = _name_of(call)
    if name == "setattr":
        return len(call.args) == 3 and _is_constant(call.args[1], "grad") and _is_none(call.args[2])
    if name == "_foreach_zero_":
        given = call.args[0] if call.args else None
        return isinstance(given, ast.ListComp | ast.GeneratorExp) and _is_gradient(given.elt)
    if name not in _ZEROES or not isinstance(call.func, ast.Attribute) or not _is_gradient(call.func.value):
        return False
    return name == "zero_" or any(_is_constant(item, 0) for item in call.args)


def _is_gradient(node: ast.AST) -> bool:
    """Whether an expression is the gradient of something, perhaps past autograd."""
    while True:
        if isinstance(node, ast.Call) and _name_of(node) == "detach" and isinstance(node.func, ast.Attribute):
            node = node.func.value
        elif isinstance(node, ast.Attribute) and node.attr == "data":
            node = node.value
        else:
            return isinstance(node, ast.Attribute) and node.attr == "grad"


def _name_of(call: ast.Call) -> str:
    """The last part of the name of what is called."""
    function = call.func
    return (
        function.attr if isinstance(function, ast.Attribute) else function.id if isinstance(function, ast.Name) else ""
    )


def uses_gradients(site: Site, loop: Loop, *, beside_clears: bool = False) -> bool:
    """Whether the code around a site reads gradients by hand, so that they may serve without a step.

    `beside_clears`: to clear them, and to see whether there are any, is no use of them.
    """
    for program, row in site.ways:
        piece: ast.AST = loop.node if loop in program.loops(row) else program.scope(row)
        idle = {id(part) for node in _idle(piece) for part in ast.walk(node)} if beside_clears else set()
        if any(_reads_gradient(node) and id(node) not in idle for node in ast.walk(piece)):
            return True
    return False


def _idle(piece: ast.AST) -> Iterator[ast.AST]:
    """What names gradients and does not use them: clears, and tests whether there are any."""
    yield from clears_by_hand(piece)
    for node in inside(piece):
        if isinstance(node, ast.Compare) and all(map(_is_none, node.comparators)):
            yield node


def _reads_gradient(node: ast.AST) -> bool:
    return isinstance(node, ast.Attribute) and node.attr in _GRADIENTS and isinstance(node.ctx, ast.Load)


def _is_none(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _is_constant(node: ast.AST, value: object) -> bool:
    return isinstance(node, ast.Constant) and node.value == value and type(node.value) in (str, int, float)
