"""Branches: conditions taken apart, tests that can come out one way only folded, and what holds where two ways meet."""

from __future__ import annotations

import libcst as cst

from loopguard.events import Kind
from loopguard.static.lowering.context import Context
from loopguard.static.lowering.tensors import join
from loopguard.static.paths.graph import Assumption, Frontier
from loopguard.static.scope import Env, Import
from loopguard.static.syntax import text_of
from loopguard.static.values import Const, Gradient, Value

_MOST_LINKS = 100


def branch(ctx: Context, test: cst.BaseExpression) -> tuple[Frontier, Frontier, Assumption | None]:
    """Lower a test behind the frontier. Returns the edges on which it is true, and those on which it is false.

    The third is the assumption that it is true, where the edges are about that and nothing else.
    """
    if type(test) is cst.UnaryOperation and type(test.operator) is cst.Not:
        true_side, false_side, _ = branch(ctx, test.expression)
        return false_side, true_side, None
    if _links(test) > _MOST_LINKS:
        ctx.emit(Kind.UNKNOWN, test)  # a branch for each would be all that the graph can hold
        when = ctx.assume(test, True)
        other = ctx.graph.split(when)
        return ctx.graph.frontier, other, when
    if type(test) is cst.BooleanOperation:
        left_true, left_false, _ = branch(ctx, test.left)
        if isinstance(test.operator, cst.And):
            ctx.graph.frontier = left_true
            right_true, right_false, _ = branch(ctx, test.right) if left_true or ctx.silent else ([], [], None)
            return right_true, [*left_false, *right_false], None
        ctx.graph.frontier = left_false
        right_true, right_false, _ = branch(ctx, test.right) if left_false or ctx.silent else ([], [], None)
        return [*left_true, *right_true], right_false, None
    value = ctx.evaluate(ctx, test)
    if ctx.silent or not ctx.graph.reachable:
        return ctx.graph.frontier, ctx.graph.frontier, None
    known = _folded(ctx, test, value)
    if known is not None:
        return (ctx.graph.frontier, [], None) if known else ([], ctx.graph.frontier, None)
    when = ctx.assume(test, True)
    other = ctx.graph.split(when)
    return ctx.graph.frontier, other, when


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


def meet(env: Env, first: dict[str, Value], second: dict[str, Value]) -> dict[str, Value]:
    """What names stand for where two branches meet, of which each has its own variables."""
    merged = dict(second)
    for name, value in first.items():
        other = second.get(name, value)
        if value is other:
            merged[name] = value
            continue
        if isinstance(value, Import) is not isinstance(other, Import):
            # One side has looked up what the other has not: they may well be the same.
            value, other = (env.file.resolve(item) if isinstance(item, Import) else item for item in (value, other))
        merged[name] = join(value, other)
    return merged
