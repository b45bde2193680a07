"""Conditions to branches: `and`, `or` and `not` taken apart, tests that can come out one way only folded."""

from __future__ import annotations

import libcst as cst

from loopguard.events import Kind
from loopguard.static.lowering.context import Context
from loopguard.static.paths.graph import Frontier
from loopguard.static.syntax import text_of
from loopguard.static.values import Const, Gradient

_MOST_LINKS = 100


def branch(ctx: Context, test: cst.BaseExpression) -> tuple[Frontier, Frontier]:
    """Lower a test behind the frontier. Returns the edges on which it is true, and those on which it is false."""
    if type(test) is cst.UnaryOperation and type(test.operator) is cst.Not:
        true_side, false_side = branch(ctx, test.expression)
        return false_side, true_side
    if _links(test) > _MOST_LINKS:
        ctx.emit(Kind.UNKNOWN, test)  # a branch for each would be all that the graph can hold
        when = ctx.assume(test, True)
        other = ctx.graph.split(when)
        return ctx.graph.frontier, other
    if type(test) is cst.BooleanOperation:
        left_true, left_false = branch(ctx, test.left)
        if isinstance(test.operator, cst.And):
            ctx.graph.frontier = left_true
            right_true, right_false = branch(ctx, test.right) if left_true or ctx.silent else ([], [])
            return right_true, [*left_false, *right_false]
        ctx.graph.frontier = left_false
        right_true, right_false = branch(ctx, test.right) if left_false or ctx.silent else ([], [])
        return [*left_true, *right_true], right_false
    value = ctx.evaluate(ctx, test)
    if ctx.silent or not ctx.graph.reachable:
        return ctx.graph.frontier, ctx.graph.frontier
    known = _folded(ctx, test, value)
    if known is not None:
        return (ctx.graph.frontier, []) if known else ([], ctx.graph.frontier)
    when = ctx.assume(test, True)
    other = ctx.graph.split(when)
    return ctx.graph.frontier, other


def _links(test: cst.BaseExpression) -> int:
    """How many `and` or `or` a chain of them has."""
    count = 0
    while isinstance(test, cst.BooleanOperation):
        test = test.left
        count += 1
    return count


def _folded(ctx: Context, test: cst.BaseExpression, value: object) -> bool | None:
    """How a test comes out wherever it is reached, if that is known."""
    if isinstance(value, Const) and value.fixed and value.value is not ...:
        return bool(value.value)
    if isinstance(test, cst.Comparison) and len(test.comparisons) == 1:
        target = test.comparisons[0]
        if isinstance(test.left, cst.Name) and test.left.value == "__name__":
            return isinstance(target.operator, cst.Equal)
        if isinstance(target.comparator, cst.Name) and target.comparator.value == "None":
            left = ctx.known(test.left)
            none = isinstance(target.operator, cst.Is | cst.Equal)
            if isinstance(left, Gradient):
                return not none  # what is done to the gradients that there are is what counts
            if isinstance(left, Const) and left.fixed:
                return (left.value is None) is none
    if isinstance(test, cst.Name | cst.Attribute) and text_of(test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
        return False
    return None
