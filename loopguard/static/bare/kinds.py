"""What makes bare nodes, by the names of libcst's, and where each keeps its place."""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import libcst as cst

Range = tuple[int, int, int, int]
"""First row, first column, last row, end column; rows and columns from 1, the end exclusive."""

_Node = TypeVar("_Node", bound=cst.CSTNode)


_ROOM: dict[type[cst.CSTNode], str] = {}
"""Which field of a node holds its place, if it is a bare one."""


def _kind(kind: type[_Node], *names: str) -> Callable[..., _Node]:
    """What makes nodes of a kind from the values of these fields, in this order. The other fields have none.

    What is given last is the place of a node, if one of these fields has room for it.
    libcst's own constructors would give each node whitespace, and check it: that takes five times as long.
    """
    if names and names[-1] in ("lpar", "semicolon", "leading_lines", "whitespace_before"):
        _ROOM[kind] = names[-1]
    setters = {f"set_{name}": getattr(kind, name).__set__ for name in names}
    rows = [f"def make({', '.join(names)}):", " node = new(kind)", *(f" set_{name}(node, {name})" for name in names)]
    known: dict[str, Any] = {"new": object.__new__, "kind": kind, **setters}
    exec("\n".join([*rows, " return node"]), known)  # as dataclasses do; a loop would be twice as slow
    made: Callable[..., _Node] = known["make"]
    return made


Module = _kind(cst.Module, "body")
IndentedBlock = _kind(cst.IndentedBlock, "body")
SimpleStatementLine = _kind(cst.SimpleStatementLine, "body")

Name = _kind(cst.Name, "value", "lpar")
Integer = _kind(cst.Integer, "value", "lpar")
Float = _kind(cst.Float, "value", "lpar")
Imaginary = _kind(cst.Imaginary, "value", "lpar")
SimpleString = _kind(cst.SimpleString, "value", "lpar")
ConcatenatedString = _kind(cst.ConcatenatedString, "left", "right", "lpar")
Ellipsis = _kind(cst.Ellipsis, "lpar")
FormattedString = _kind(cst.FormattedString, "parts", "lpar")
FormattedStringExpression = _kind(cst.FormattedStringExpression, "expression", "format_spec", "conversion")
FormattedStringText = _kind(cst.FormattedStringText, "value")
Attribute = _kind(cst.Attribute, "value", "attr", "lpar")
Call = _kind(cst.Call, "func", "args", "lpar")
Arg = _kind(cst.Arg, "value", "keyword", "star")
Subscript = _kind(cst.Subscript, "value", "slice", "lpar")
SubscriptElement = _kind(cst.SubscriptElement, "slice")
Index = _kind(cst.Index, "value", "star")
Slice = _kind(cst.Slice, "lower", "upper", "step")
BinaryOperation = _kind(cst.BinaryOperation, "left", "operator", "right", "lpar")
BooleanOperation = _kind(cst.BooleanOperation, "left", "operator", "right", "lpar")
UnaryOperation = _kind(cst.UnaryOperation, "operator", "expression", "lpar")
Comparison = _kind(cst.Comparison, "left", "comparisons", "lpar")
ComparisonTarget = _kind(cst.ComparisonTarget, "operator", "comparator")
IfExp = _kind(cst.IfExp, "test", "body", "orelse", "lpar")
Lambda = _kind(cst.Lambda, "params", "body", "lpar")
Tuple = _kind(cst.Tuple, "elements", "lpar")
List = _kind(cst.List, "elements", "lpar")
Set = _kind(cst.Set, "elements", "lpar")
Dict = _kind(cst.Dict, "elements", "lpar")
Element = _kind(cst.Element, "value")
StarredElement = _kind(cst.StarredElement, "value", "lpar")
DictElement = _kind(cst.DictElement, "key", "value")
StarredDictElement = _kind(cst.StarredDictElement, "value")
ListComp = _kind(cst.ListComp, "elt", "for_in", "lpar")
SetComp = _kind(cst.SetComp, "elt", "for_in", "lpar")
GeneratorExp = _kind(cst.GeneratorExp, "elt", "for_in", "lpar")
DictComp = _kind(cst.DictComp, "key", "value", "for_in", "lpar")
CompFor = _kind(cst.CompFor, "target", "iter", "ifs", "inner_for_in", "asynchronous", "whitespace_before")
CompIf = _kind(cst.CompIf, "test")
NamedExpr = _kind(cst.NamedExpr, "target", "value", "lpar")
Await = _kind(cst.Await, "expression", "lpar")
Yield = _kind(cst.Yield, "value", "lpar")
From = _kind(cst.From, "item")

Pass = _kind(cst.Pass)
Break = _kind(cst.Break)
Continue = _kind(cst.Continue)
Expr = _kind(cst.Expr, "value", "semicolon")
Assign = _kind(cst.Assign, "targets", "value", "semicolon")
AssignTarget = _kind(cst.AssignTarget, "target")
AugAssign = _kind(cst.AugAssign, "target", "operator", "value", "semicolon")
AnnAssign = _kind(cst.AnnAssign, "target", "annotation", "value", "semicolon")
Annotation = _kind(cst.Annotation, "annotation")
Del = _kind(cst.Del, "target", "semicolon")
Return = _kind(cst.Return, "value", "semicolon")
Raise = _kind(cst.Raise, "exc", "cause", "semicolon")
Assert = _kind(cst.Assert, "test", "msg", "semicolon")
Import = _kind(cst.Import, "names", "semicolon")
ImportFrom = _kind(cst.ImportFrom, "module", "names", "relative", "semicolon")
ImportAlias = _kind(cst.ImportAlias, "name", "asname")
AsName = _kind(cst.AsName, "name")
Global = _kind(cst.Global, "names", "semicolon")
Nonlocal = _kind(cst.Nonlocal, "names", "semicolon")
NameItem = _kind(cst.NameItem, "name")

If = _kind(cst.If, "test", "body", "orelse", "leading_lines")
Else = _kind(cst.Else, "body")
For = _kind(cst.For, "target", "iter", "body", "orelse", "asynchronous", "leading_lines")
While = _kind(cst.While, "test", "body", "orelse", "leading_lines")
With = _kind(cst.With, "items", "body", "asynchronous", "leading_lines")
WithItem = _kind(cst.WithItem, "item", "asname")
Try = _kind(cst.Try, "body", "handlers", "orelse", "finalbody", "leading_lines")
TryStar = _kind(cst.TryStar, "body", "handlers", "orelse", "finalbody", "leading_lines")
ExceptHandler = _kind(cst.ExceptHandler, "body", "type", "name")
ExceptStarHandler = _kind(cst.ExceptStarHandler, "body", "type", "name")
Finally = _kind(cst.Finally, "body")
Match = _kind(cst.Match, "subject", "cases", "leading_lines")
MatchCase = _kind(cst.MatchCase, "pattern", "guard", "body")
MatchAs = _kind(cst.MatchAs, "pattern", "name", "lpar")
FunctionDef = _kind(
    cst.FunctionDef,
    *("name", "params", "body", "decorators", "returns", "asynchronous", "type_parameters", "leading_lines"),
)
ClassDef = _kind(cst.ClassDef, "name", "body", "bases", "keywords", "decorators", "type_parameters", "leading_lines")
Decorator = _kind(cst.Decorator, "decorator")
Parameters = _kind(cst.Parameters, "posonly_params", "params", "star_arg", "kwonly_params", "star_kwarg")
Param = _kind(cst.Param, "name", "annotation", "default", "star")

DOT, ASYNC, STAR = cst.Dot(), cst.Asynchronous(), cst.ParamStar()
OPERATORS: dict[type[ast.AST], cst.CSTNode] = {
    kind: made()
    for kind, made in {
        ast.Add: cst.Add,
        ast.Sub: cst.Subtract,
        ast.Mult: cst.Multiply,
        ast.MatMult: cst.MatrixMultiply,
        ast.Div: cst.Divide,
        ast.Mod: cst.Modulo,
        ast.Pow: cst.Power,
        ast.LShift: cst.LeftShift,
        ast.RShift: cst.RightShift,
        ast.BitOr: cst.BitOr,
        ast.BitXor: cst.BitXor,
        ast.BitAnd: cst.BitAnd,
        ast.FloorDiv: cst.FloorDivide,
        ast.And: cst.And,
        ast.Or: cst.Or,
        ast.Invert: cst.BitInvert,
        ast.Not: cst.Not,
        ast.UAdd: cst.Plus,
        ast.USub: cst.Minus,
        ast.Eq: cst.Equal,
        ast.NotEq: cst.NotEqual,
        ast.Lt: cst.LessThan,
        ast.LtE: cst.LessThanEqual,
        ast.Gt: cst.GreaterThan,
        ast.GtE: cst.GreaterThanEqual,
        ast.Is: cst.Is,
        ast.IsNot: cst.IsNot,
        ast.In: cst.In,
        ast.NotIn: cst.NotIn,
    }.items()
}
AUGMENTED: dict[type[ast.AST], cst.CSTNode] = {
    kind: getattr(cst, f"{type(made).__name__}Assign")()
    for kind, made in OPERATORS.items()
    if hasattr(cst, f"{type(made).__name__}Assign")
}


def place_of(node: cst.CSTNode) -> tuple[Sequence[str], Range] | None:
    """The lines of the text in which a bare node stands, and where it does; None for any other node."""
    room = _ROOM.get(type(node))
    place = getattr(node, room, None) if room is not None else None
    if type(place) is tuple and place and type(place[0]) is list:
        return place[0], place[1:]
    return None


def between(lines: Sequence[str], place: Range) -> str:
    """The text of a range of lines. The end may be behind the last of them."""
    row, column, end_row, end_column = place
    if row == end_row:
        return lines[row - 1][column - 1 : end_column - 1]
    last = lines[end_row - 1][: end_column - 1] if end_row <= len(lines) else ""
    return "\n".join([lines[row - 1][column - 1 :], *lines[row : end_row - 1], last])
