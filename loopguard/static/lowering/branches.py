"""Branches: conditions taken apart, tests that can come out one way only folded, and what holds where two ways meet."""

from __future__ import annotations

import libcst as cst

from loopguard.events import Kind
from loopguard.limits import Limit
from loopguard.static.lowering.context import Context
from loopguard.static.lowering.tensors import join
from loopguard.static.paths.graph import Assumption, Frontier
from loopguard.static.scope import Env, Import
from loopguard.static.syntax import text_of
from loopguard.static.values import Const, Gradient, Value


def branch(ctx: Context, test: cst.BaseExpression) -> tuple[Frontier, Frontier, Assumption | None]:
    """Lower a test behind the frontier. Returns the edges on which it is true, and those on which it is false.

    The third is the assumption that it is true, where the edges are about that and nothing else.
    """
    if type(test) is cst.UnaryOperation and type(test.operator) is cst.Not:
        true_side, false_side, _ = branch(ctx, test.expression)
        return false_side, true_side, None
    if is_unknown(ctx, test):
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


def is_unknown(ctx: Context, test: cst.BaseExpression) -> bool:
    """Whether a condition has more parts than can each be a branch, so that what it does is unknown from here."""
    count = 0
    part = test
    while isinstance(part, cst.BooleanOperation):
        part = part.left
        count += 1
    if count <= Limit.LINKS.most:
        return False
    ctx.emit(Kind.UNKNOWN, test)
    ctx.graph.limits.add(Limit.LINKS)
    return True


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


def meet(env: Env, first: dict[str, Value]) -> None:
    """Leave the second of two branches, of which the first has bound these names, where they meet."""
    before = env.leave()
    sides = {**{name: value for name, value in before.items() if value is not None}, **first}
    for name, value in sides.items():
        other = env.variables.get(name, value)
        if value is not other and isinstance(value, Import) is not isinstance(other, Import):
            # One side has looked up what the other has not: they may well be the same.
            value, other = (env.file.resolve(item) if isinstance(item, Import) else item for item in (value, other))
        env.set(name, value if value is other else join(value, other))
