"""Conditions: brought to one form, so that two tests that must agree are seen to agree.

`not a`, `a != b`, `a is not b` and `a >= b` are the negations of `a`, `a == b`, `a is b` and `a < b`. What is known
of one condition can decide another: two different constants cannot both equal one thing, and a thing that is true
is not None.
Keeping facts apart by the conditions they depend on is the idea of ESP (Das, Lerner, Seigle, PLDI 2002).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

import libcst as cst

from loopguard.lifecycles.window import Gate
from loopguard.static.caches import remembered
from loopguard.static.paths.graph import Assumption, Condition
from loopguard.static.syntax import children_of, descendants, text_of

_NEGATED: dict[type[cst.BaseCompOp], tuple[str, bool]] = {
    cst.Equal: ("==", True),
    cst.NotEqual: ("==", False),
    cst.Is: ("is", True),
    cst.IsNot: ("is", False),
    cst.In: ("in", True),
    cst.NotIn: ("in", False),
    cst.LessThan: ("<", True),
    cst.GreaterThanEqual: ("<", False),
    cst.GreaterThan: (">", True),
    cst.LessThanEqual: (">", False),
}

Starts = Callable[[cst.BaseExpression], int | None]
"""The first value of a counter, None where it is not known."""

Namer = Callable[[cst.Name | cst.Attribute], tuple[str, str]]
"""For a variable or attribute: the object that it stands for now, and the storage that an assignment changes."""


class _Form:
    """What is the same of a test wherever it is assumed: its text, and what it reads.

    `flips` says that it is a negation, `positive` that its truth is that of the condition. `left` are the places among
    `variables` of those on the left-hand side of a comparison. `last` is the latest condition, with what the variables
    stood for in it: once they have stood for something else, they never stand for the same again.
    """

    def __init__(self, test: cst.BaseExpression) -> None:
        self.flips = False
        while isinstance(test, cst.UnaryOperation) and isinstance(test.operator, cst.Not):
            test, self.flips = test.expression, not self.flips
        self.test = test
        self.text = self.key = text_of(test)
        self.variables = _variables(test)
        self.calls = _calls_something(test)
        self.subject, self.against, self.positive = "", "", True
        self.left: tuple[int, ...] = ()
        self.operator: cst.BaseCompOp | None = None
        self.last: tuple[tuple[tuple[str, str], ...], Condition] | None = None
        if isinstance(test, cst.Comparison) and len(test.comparisons) == 1:
            target = test.comparisons[0]
            form = _NEGATED.get(type(target.operator))
            if form is not None:
                sign, self.positive = form
                self.operator = target.operator
                right = text_of(target.comparator)
                self.subject = text_of(test.left)
                self.key = f"{self.subject} {sign} {right}"
                self.against = right if sign in ("==", "is") and _is_constant(target.comparator) else ""
                self.left = tuple(map(self.variables.index, _variables(test.left)))

    def condition(self, pairs: tuple[tuple[str, str], ...], gate: Gate | None) -> Condition:
        """The condition where the variables stand for these objects, and their storage is this."""
        key = f"{self.key}@{','.join(object_ for object_, _ in pairs)}"
        subject = (
            f"{self.subject}@{','.join(pairs[place][0] for place in self.left)}" if self.operator is not None else key
        )
        names = frozenset(storage for _, storage in pairs)
        return Condition(key, self.key, names, subject, self.against, gate, self.calls)


_form = remembered(_Form)


def assume(test: cst.BaseExpression, truth: bool, starts: Starts, namer: Namer) -> Assumption:
    """The assumption that `test` is `truth`, with every negation taken out of the condition."""
    form = _form(test)
    pairs = tuple(map(namer, form.variables))
    if form.last is not None and form.last[0] == pairs:
        condition = form.last[1]
    else:
        gate = gate_of(form.test, starts) if "%" in form.text else None
        if gate is not None and isinstance(form.operator, cst.NotEqual):
            gate = replace(gate, inverted=False)  # the condition is the equality
        condition = form.condition(pairs, gate)
        if gate is None:
            form.last = pairs, condition
    return Assumption(condition, (truth is not form.flips) is form.positive)


def decide(condition: Condition, known: Iterable[Assumption]) -> bool | None:
    """What `known` says about `condition`: true, false, or nothing."""
    for fact in known:
        other = fact.condition
        if other.key == condition.key:
            return fact.truth
        if condition.subject and other.subject == condition.subject and fact.truth:
            if other.against and condition.against and other.against != condition.against:
                return False  # it equals something else
            if not other.against and other.key == other.subject and condition.against == "None":
                return False  # it is true, so it is not None
            if other.against == "None" and condition.key == condition.subject:
                return False  # it is None, so it is not true
    return None


@remembered
def _variables(node: cst.BaseExpression) -> tuple[cst.Name | cst.Attribute, ...]:
    """The variables and attributes that an expression reads, `args` and `args.k` for `args.k`."""
    found: list[cst.Name | cst.Attribute] = []
    todo: list[cst.CSTNode] = [node]
    while todo:
        item = todo.pop()
        if type(item) is cst.Name:
            found.append(item)
        elif type(item) is cst.Attribute:
            found.append(item)
            todo.append(item.value)
        elif type(item) is cst.Arg:
            todo.append(item.value)
        else:
            todo += children_of(item)
    return tuple(found)


def _mentions(node: cst.BaseExpression, text: str) -> bool:
    return any(text_of(item) == text for item in _variables(node))


def gate_of(test: cst.BaseExpression, starts: Starts) -> Gate | None:
    """The accumulation gate that a test is, if it is one: a counter's remainder compared with a number."""
    if isinstance(test, cst.BooleanOperation):
        left, right = gate_of(test.left, starts), gate_of(test.right, starts)
        if isinstance(test.operator, cst.Or):
            found = left or right
            return found and replace(found, flushes=True)
        # A further condition on the same counter may be what keeps the first iteration out.
        found = left or right
        other = test.right if left else test.left
        if found is not None and not (left and right) and _mentions(other, found.counter):
            return replace(found, start=None)
        return found
    if isinstance(test, cst.UnaryOperation) and isinstance(test.operator, cst.Not):
        inner = _remainder(test.expression, starts)
        return inner and _gate(test, inner, 0)
    if isinstance(test, cst.Comparison) and len(test.comparisons) == 1:
        operator, comparator = test.comparisons[0].operator, test.comparisons[0].comparator
        inner = _remainder(test.left, starts)
        if inner is None:
            return None
        if isinstance(operator, cst.Equal):
            return _gate(test, inner, _number(comparator))
        if isinstance(operator, cst.NotEqual):
            return _gate(test, inner, _number(comparator), inverted=True)
        if isinstance(operator, cst.GreaterThan) and _number(comparator) == 0:
            return _gate(test, inner, 0, inverted=True)
        return None
    inner = _remainder(test, starts)
    return inner and _gate(test, inner, 0, inverted=True)


def _gate(
    test: cst.BaseExpression,
    inner: tuple[str, int, str, int | None],
    remainder: int | None,
    inverted: bool = False,
) -> Gate:
    counter, offset, size, start = inner
    return Gate(text_of(test), counter, offset, size, remainder, start, inverted)


def _remainder(node: cst.BaseExpression, starts: Starts) -> tuple[str, int, str, int | None] | None:
    """`(counter + offset) % size` taken apart: counter, offset, size, and the counter's first value."""
    if not (isinstance(node, cst.BinaryOperation) and isinstance(node.operator, cst.Modulo)):
        return None
    if isinstance(node.left, cst.SimpleString | cst.FormattedString | cst.ConcatenatedString):
        return None
    left, offset = node.left, 0
    if isinstance(left, cst.BinaryOperation) and isinstance(left.operator, cst.Add | cst.Subtract):
        number = _number(left.right)
        if number is not None:
            offset = number if isinstance(left.operator, cst.Add) else -number
            left = left.left
    return text_of(left), offset, text_of(node.right), starts(left)


def _number(node: cst.BaseExpression) -> int | None:
    return int(node.value) if isinstance(node, cst.Integer) and node.value.isdecimal() else None


def _is_constant(node: cst.BaseExpression) -> bool:
    if isinstance(node, cst.Name):
        return node.value in ("None", "True", "False")
    return isinstance(node, cst.SimpleString | cst.Integer | cst.Float)


@remembered
def _calls_something(node: cst.BaseExpression) -> bool:
    return any(type(item) is cst.Call for item in descendants(node))
