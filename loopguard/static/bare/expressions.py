"""Expressions of Python's own parse to bare ones."""

from __future__ import annotations

import ast
import re
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate
from typing import Any

import libcst as cst

from loopguard.static.bare import kinds

_SHORT_STRING = re.compile(r"""[A-Za-z]{0,2}(['"])[^'"]*\1""")
_ONE_STRING = re.compile(
    r"""[A-Za-z]{0,2}(?:'''(?:[^\\]|\\.)*?'''|\"""(?:[^\\]|\\.)*?\"""|'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")""", re.DOTALL
)
_CLOSING = re.compile(r"(?:\s*\))+")
_LONG = 500
_NUMBERS = {int: kinds.Integer, float: kinds.Float, complex: kinds.Imaginary}


class Expressions:
    """Makes bare expressions of a program that was parsed from rows of a text, `skipped` rows behind its start.

    `lines` are those of the whole text.
    """

    def __init__(self, lines: list[str], skipped: int) -> None:
        self._lines = lines
        self._skipped = skipped
        self._around: Any = None
        self._sizes: dict[int, array[int]] = {}

    def place(self, node: Any) -> Any:
        """Where a node stands, with the lines that it stands in."""
        if self._around is not None:
            return self._around
        skipped, lines = self._skipped, self._lines
        row, end = node.lineno + skipped, node.end_lineno + skipped
        start, stop = node.col_offset, node.end_col_offset
        # Python counts bytes.
        if not lines[row - 1].isascii():
            start = self._characters(row, start)
        if not lines[end - 1].isascii():
            stop = self._characters(end, stop)
        return lines, row, start + 1, end, stop + 1

    def _characters(self, row: int, size: int) -> int:
        """How many characters the first bytes of a row are."""
        line = self._lines[row - 1]
        if len(line) < _LONG:
            return len(line.encode()[:size].decode())
        if row not in self._sizes:
            self._sizes[row] = array("L", accumulate((len(character.encode()) for character in line), initial=0))
        return bisect_left(self._sizes[row], size)

    def block_place(self, node: Any) -> Any:
        """Where a statement stands that holds others: to the end of its last line."""
        lines, row, column, end, _ = self.place(node)
        return lines, row, column, end + 1, 1

    def text(self, node: Any) -> str:
        """The text of an expression, as it is written."""
        lines, *place = self.place(node)
        return kinds.between(lines, tuple(place))

    def make(self, node: Any) -> Any:
        """An expression."""
        return _EXPRESSIONS[type(node)](self, node)

    def make_all(self, nodes: Iterable[ast.AST]) -> Any:
        """Several expressions."""
        return tuple([_EXPRESSIONS[type(node)](self, node) for node in nodes])

    def optional(self, node: Any) -> Any:
        """An expression, or None for None."""
        return _EXPRESSIONS[type(node)](self, node) if node is not None else None

    def _name(self, node: ast.Name) -> Any:
        return kinds.Name(node.id, ())

    def _attribute(self, node: ast.Attribute) -> Any:
        return kinds.Attribute(self.make(node.value), kinds.Name(node.attr, ()), self.place(node))

    def _constant(self, node: ast.Constant) -> Any:
        value, kind = node.value, type(node.value)
        if kind is str or kind is bytes:
            text = self.text(node)
            if _SHORT_STRING.fullmatch(text) or _ONE_STRING.fullmatch(text):
                return kinds.SimpleString(text, self.place(node))
            return kinds.ConcatenatedString(
                kinds.SimpleString(text, ()), kinds.SimpleString("''", ()), self.place(node)
            )
        if kind in _NUMBERS:
            return _NUMBERS[kind](self.text(node), self.place(node))
        return kinds.Ellipsis(self.place(node)) if value is ... else kinds.Name(str(value), ())

    def _joined(self, node: ast.JoinedStr) -> Any:
        # Python 3.11 does not know where things stand within an f-string.
        before, self._around = self._around, self.place(node)
        made = kinds.FormattedString(self._parts(node.values), self._around)
        self._around = before
        return made

    def _parts(self, nodes: Iterable[ast.AST]) -> Any:
        return tuple(
            [kinds.FormattedStringText(node.value) if type(node) is ast.Constant else self.make(node) for node in nodes]
        )

    def _formatted_value(self, node: ast.FormattedValue) -> Any:
        inner = self._parts(node.format_spec.values) if isinstance(node.format_spec, ast.JoinedStr) else None
        return kinds.FormattedStringExpression(self.make(node.value), inner, None)

    def _call(self, node: ast.Call) -> Any:
        return kinds.Call(self.make(node.func), self.arguments(node.args, node.keywords), self.place(node))

    def arguments(self, given: Sequence[ast.expr], keywords: Sequence[ast.keyword]) -> Any:
        """What a call is given, in the order of the text."""
        made = [
            kinds.Arg(self.make(item.value), None, "*")
            if type(item) is ast.Starred
            else kinds.Arg(self.make(item), None, "")
            for item in given
        ]
        for keyword in keywords:
            value = self.make(keyword.value)
            made.append(
                kinds.Arg(value, kinds.Name(keyword.arg, ()), "") if keyword.arg else kinds.Arg(value, None, "**")
            )
        if given and keywords and _start(given[-1]) > _start(keywords[0].value):
            order = sorted(range(len(made)), key=lambda at: _start([*given, *(item.value for item in keywords)][at]))
            made = [made[at] for at in order]  # `f(first=1, *rest)`
        return tuple(made)

    def _subscript(self, node: ast.Subscript) -> Any:
        inner = node.slice
        # Between brackets, a tuple has parentheses only if it begins before its first element.
        bare = isinstance(inner, ast.Tuple) and (not inner.elts or _start(inner) == _start(inner.elts[0]))
        items = inner.elts if isinstance(inner, ast.Tuple) and inner.elts and bare else [inner]
        elements = tuple([kinds.SubscriptElement(self._index(item)) for item in items])
        return kinds.Subscript(self.make(node.value), elements, self.place(node))

    def _index(self, node: Any) -> Any:
        if type(node) is ast.Slice:
            return kinds.Slice(self.optional(node.lower), self.optional(node.upper), self.optional(node.step))
        starred = type(node) is ast.Starred
        return kinds.Index(self.make(node.value if starred else node), "*" if starred else None)

    def _binary(self, node: ast.BinOp) -> Any:
        operator = kinds.OPERATORS[type(node.op)]
        return kinds.BinaryOperation(self.make(node.left), operator, self.make(node.right), self.place(node))

    def _boolean(self, node: ast.BoolOp) -> Any:
        operator = kinds.OPERATORS[type(node.op)]
        whole = self.place(node)
        made = self.make(node.values[0])
        for number, value in enumerate(node.values[1:], 2):
            place = whole if number == len(node.values) else self._up_to(whole, value)
            made = kinds.BooleanOperation(made, operator, self.make(value), place)
        return made

    def _up_to(self, whole: Any, value: ast.expr) -> Any:
        """Where a part of a chain of `and` or `or` stands that ends with this value, and the parentheses around it."""
        lines, row, start = whole[:3]
        end, stop = self.place(value)[3:]
        closing = _CLOSING.match(lines[end - 1], stop - 1)
        return lines, row, start, end, closing.end() + 1 if closing is not None else stop

    def _unary(self, node: ast.UnaryOp) -> Any:
        return kinds.UnaryOperation(kinds.OPERATORS[type(node.op)], self.make(node.operand), self.place(node))

    def _comparison(self, node: ast.Compare) -> Any:
        targets = [
            kinds.ComparisonTarget(kinds.OPERATORS[type(operator)], self.make(right))
            for operator, right in zip(node.ops, node.comparators, strict=True)
        ]
        return kinds.Comparison(self.make(node.left), tuple(targets), self.place(node))

    def _conditional(self, node: ast.IfExp) -> Any:
        test, body, orelse = self.make(node.test), self.make(node.body), self.make(node.orelse)
        return kinds.IfExp(test, body, orelse, self.place(node))

    def _lambda(self, node: ast.Lambda) -> Any:
        return kinds.Lambda(self.parameters(node.args), self.make(node.body), self.place(node))

    def elements(self, nodes: Sequence[ast.expr]) -> Any:
        """The elements of a tuple, a list or a set."""
        return tuple(
            [self.make(node) if type(node) is ast.Starred else kinds.Element(self.make(node)) for node in nodes]
        )

    def _starred(self, node: ast.Starred) -> Any:
        return kinds.StarredElement(self.make(node.value), self.place(node))

    def _tuple(self, node: ast.Tuple) -> Any:
        return kinds.Tuple(self.elements(node.elts), self.place(node))

    def _list(self, node: ast.List) -> Any:
        return kinds.List(self.elements(node.elts), self.place(node))

    def _set(self, node: ast.Set) -> Any:
        return kinds.Set(self.elements(node.elts), self.place(node))

    def _dict(self, node: ast.Dict) -> Any:
        elements = [
            kinds.DictElement(self.make(key), self.make(value))
            if key is not None
            else kinds.StarredDictElement(self.make(value))
            for key, value in zip(node.keys, node.values, strict=True)
        ]
        return kinds.Dict(tuple(elements), self.place(node))

    def _generators(self, generators: Sequence[ast.comprehension]) -> Any:
        made, end = None, ()
        for item in reversed(generators):
            last = item.ifs[-1] if item.ifs else item.iter
            end = end or self.place(last)[3:]
            place = (*self.place(item.target)[:3], *end)
            ifs = tuple([kinds.CompIf(test) for test in self.make_all(item.ifs)])
            waits = kinds.ASYNC if item.is_async else None
            made = kinds.CompFor(self.make(item.target), self.make(item.iter), ifs, made, waits, place)
        return made

    def _list_comprehension(self, node: ast.ListComp) -> Any:
        return kinds.ListComp(self.make(node.elt), self._generators(node.generators), self.place(node))

    def _set_comprehension(self, node: ast.SetComp) -> Any:
        return kinds.SetComp(self.make(node.elt), self._generators(node.generators), self.place(node))

    def _generator(self, node: ast.GeneratorExp) -> Any:
        return kinds.GeneratorExp(self.make(node.elt), self._generators(node.generators), self.place(node))

    def _dict_comprehension(self, node: ast.DictComp) -> Any:
        key, value = self.make(node.key), self.make(node.value)
        return kinds.DictComp(key, value, self._generators(node.generators), self.place(node))

    def _named(self, node: ast.NamedExpr) -> Any:
        return kinds.NamedExpr(self.make(node.target), self.make(node.value), self.place(node))

    def _await(self, node: ast.Await) -> Any:
        return kinds.Await(self.make(node.value), self.place(node))

    def _yield(self, node: ast.Yield) -> Any:
        return kinds.Yield(self.optional(node.value), self.place(node))

    def _yield_from(self, node: ast.YieldFrom) -> Any:
        return kinds.Yield(kinds.From(self.make(node.value)), self.place(node))

    def parameters(self, node: ast.arguments) -> Any:
        """What a function takes."""
        names = [*node.posonlyargs, *node.args]
        defaults = [None] * (len(names) - len(node.defaults)) + [self.make(value) for value in node.defaults]
        made = [self._parameter(name, value) for name, value in zip(names, defaults, strict=True)]
        split = len(node.posonlyargs)
        star: Any = self._parameter(node.vararg, None, "*") if node.vararg is not None else cst.MaybeSentinel.DEFAULT
        if node.vararg is None and node.kwonlyargs:
            star = kinds.STAR
        only = [
            self._parameter(name, self.optional(value))
            for name, value in zip(node.kwonlyargs, node.kw_defaults, strict=True)
        ]
        rest = self._parameter(node.kwarg, None, "**") if node.kwarg is not None else None
        return kinds.Parameters(tuple(made[:split]), tuple(made[split:]), star, tuple(only), rest)

    def _parameter(self, node: ast.arg, default: Any, star: str = "") -> Any:
        annotation = kinds.Annotation(self.make(node.annotation)) if node.annotation is not None else None
        return kinds.Param(kinds.Name(node.arg, ()), annotation, default, star)


def _start(node: ast.expr) -> tuple[int, int]:
    return node.lineno, node.col_offset


_EXPRESSIONS: dict[type[ast.AST], Callable[[Expressions, Any], Any]] = {
    ast.Name: Expressions._name,
    ast.Attribute: Expressions._attribute,
    ast.Constant: Expressions._constant,
    ast.JoinedStr: Expressions._joined,
    ast.FormattedValue: Expressions._formatted_value,
    ast.Call: Expressions._call,
    ast.Subscript: Expressions._subscript,
    ast.BinOp: Expressions._binary,
    ast.BoolOp: Expressions._boolean,
    ast.UnaryOp: Expressions._unary,
    ast.Compare: Expressions._comparison,
    ast.IfExp: Expressions._conditional,
    ast.Lambda: Expressions._lambda,
    ast.Starred: Expressions._starred,
    ast.Tuple: Expressions._tuple,
    ast.List: Expressions._list,
    ast.Set: Expressions._set,
    ast.Dict: Expressions._dict,
    ast.ListComp: Expressions._list_comprehension,
    ast.SetComp: Expressions._set_comprehension,
    ast.GeneratorExp: Expressions._generator,
    ast.DictComp: Expressions._dict_comprehension,
    ast.NamedExpr: Expressions._named,
    ast.Await: Expressions._await,
    ast.Yield: Expressions._yield,
    ast.YieldFrom: Expressions._yield_from,
}
