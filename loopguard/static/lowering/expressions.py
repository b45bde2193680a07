"""Expressions to values; the events that they hold are lowered on the way, in the order of evaluation."""

from __future__ import annotations

import ast
import builtins
import re
from collections import deque
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import libcst as cst

from loopguard.events import Kind
from loopguard.static.collected import add, extended
from loopguard.static.lowering import iteration, managers
from loopguard.static.lowering.branches import is_unknown
from loopguard.static.lowering.calls import lower_call
from loopguard.static.lowering.context import Context
from loopguard.static.lowering.objects import attribute_of
from loopguard.static.lowering.tensors import computed, join
from loopguard.static.paths.graph import Assumption, Loop, Node
from loopguard.static.steps import spend
from loopguard.static.syntax import children_of, text_of
from loopguard.static.values import (
    Const,
    Counter,
    Function,
    Gradient,
    Group,
    Inert,
    Params,
    Ref,
    Table,
    Tensor,
    Test,
    Thing,
    Value,
    things_in,
)


def evaluate(ctx: Context, node: cst.BaseExpression) -> Value:
    """The value of an expression."""
    spend()
    handler = _HANDLERS.get(type(node))
    return handler(ctx, node) if handler is not None else _anything(ctx, node)


def _name(ctx: Context, node: cst.Name) -> Value:
    value = ctx.env.lookup(node.value)
    if value is not None:
        return value
    if node.value in ("None", "True", "False"):
        return Const({"None": None, "True": True, "False": False}[node.value], fixed=True)
    if hasattr(builtins, node.value):
        return Ref(node.value)
    return ctx.implicit(node.value)


def _attribute(ctx: Context, node: cst.Attribute) -> Value:
    owner = ctx.evaluate(ctx, node.value)
    ctx.at = (ctx.file, node)  # where a property runs, if it is one
    value = attribute_of(ctx, owner, node.attr.value)
    ctx.at = None
    if isinstance(value, Gradient) and node.attr.value == "grad":
        ctx.emit(Kind.READ, node, value.of)
    return value


def _subscript(ctx: Context, node: cst.Subscript) -> Value:
    owner = ctx.evaluate(ctx, node.value)
    index: Value | None = None
    key: cst.BaseExpression | None = None
    for element in node.slice:
        if isinstance(element.slice, cst.Index):
            key = element.slice.value
            index = ctx.evaluate(ctx, key)
    if len(node.slice) != 1:
        index = None
    if isinstance(owner, Group):
        if isinstance(index, Const) and isinstance(index.value, int) and not owner.open:
            if -len(owner.items) <= index.value < len(owner.items):
                return owner.items[index.value]
        return iteration.element(ctx, owner)
    if isinstance(owner, Table):
        if isinstance(index, Const) and str(index.value) in owner.items:
            return owner.items[str(index.value)]
        return Thing("") if not owner.items else iteration.merged(list(owner.items.values()))
    if isinstance(owner, Params) and isinstance(index, Const) and isinstance(index.value, str):
        return owner if index.value == "params" else Const(...)  # the settings of a parameter group
    if isinstance(owner, Params | Gradient | Counter | Inert):
        return owner
    if isinstance(owner, Tensor):
        return computed(ctx, [owner])
    if isinstance(owner, Thing):
        return owner.child(f"[{text_of(key)}]") if key is not None else owner
    return Thing(text_of(node))


_PLAIN_STRING = re.compile(r"""(['"])([^'"\\]*)\1""")


@lru_cache(maxsize=1 << 12)
def _literal(text: str) -> object:
    """The value of a number or a string. Python's parser is for those that are not plain."""
    if text.isdecimal() and (text[0] != "0" or text == "0"):
        return int(text)
    plain = _PLAIN_STRING.fullmatch(text)
    return plain[2] if plain is not None else ast.literal_eval(text)


def _constant(ctx: Context, node: Any) -> Value:
    try:
        return Const(_literal(node.value), fixed=True)
    except (ValueError, SyntaxError):
        return Const(...)


def _binary(ctx: Context, node: cst.BinaryOperation) -> Value:
    left, right = ctx.evaluate(ctx, node.left), ctx.evaluate(ctx, node.right)
    if isinstance(node.operator, cst.Add):
        if isinstance(left, Params) and isinstance(right, Params):
            of = tuple(dict.fromkeys((*left.of, *right.of)))
            return Params(of, left.partial or right.partial, left.complete and right.complete)
        if isinstance(left, Params | Group) and isinstance(right, Params | Group):
            parts = [item for value in (left, right) for item in (value.items if isinstance(value, Group) else [value])]
            made = Group([])
            add(made, parts)
            return made
    scales = isinstance(node.operator, cst.Divide | cst.Multiply | cst.FloorDivide)
    if isinstance(left, Const) and isinstance(right, Const):
        return Const(...)
    if isinstance(left, Counter | Const) and isinstance(right, Counter | Const):
        return Test(node, ctx.env)
    if not isinstance(left, Tensor | Group | Params) and not isinstance(right, Tensor | Group | Params):
        # Two numbers, or two losses: nothing tells yet.
        return Thing("", captured=tuple(dict.fromkeys((*things_in(left), *things_in(right)))), known=True)
    divisor = text_of(node.right) if isinstance(node.operator, cst.Divide) else ""
    return computed(ctx, [left, right], divided=scales, divisor=divisor)


def _unary(ctx: Context, node: cst.UnaryOperation) -> Value:
    value = ctx.evaluate(ctx, node.expression)
    if isinstance(node.operator, cst.Not):
        return Test(node, ctx.env)
    if isinstance(value, Const) and isinstance(value.value, int | float) and isinstance(node.operator, cst.Minus):
        return Const(-value.value, fixed=True)
    return value if isinstance(value, Tensor) else computed(ctx, [value])


def _boolean(ctx: Context, node: cst.BooleanOperation) -> Value:
    if is_unknown(ctx, node):
        return Test(node, ctx.env)
    left = ctx.evaluate(ctx, node.left)
    right = _sometimes(ctx, node.right, ctx.assume(node.left, isinstance(node.operator, cst.And)))
    if isinstance(left, Thing) or isinstance(right, Thing):
        return join(left, right)
    return Test(node, ctx.env)


def _comparison(ctx: Context, node: cst.Comparison) -> Value:
    if isinstance(node.left, cst.Attribute) and node.left.attr.value == "grad":
        return Test(node, ctx.env)  # whether there is a gradient is no use of it
    ctx.evaluate(ctx, node.left)
    for target in node.comparisons:
        ctx.evaluate(ctx, target.comparator)
    return Test(node, ctx.env)


def _conditional(ctx: Context, node: cst.IfExp) -> Value:
    ctx.evaluate(ctx, node.test)
    first = _sometimes(ctx, node.body, ctx.assume(node.test, True))
    second = _sometimes(ctx, node.orelse, ctx.assume(node.test, False))
    return join(first, second)


def _sometimes(ctx: Context, node: cst.BaseExpression, when: Assumption) -> Value:
    """Evaluate an expression that is reached only under an assumption."""
    before, size = ctx.graph.frontier, len(ctx.graph.nodes)
    around = ctx.graph.split(when)
    ctx.guards.append(when)
    value = ctx.evaluate(ctx, node)
    ctx.guards.pop()
    if len(ctx.graph.nodes) == size:
        ctx.graph.frontier = before
    else:
        ctx.graph.frontier = [*ctx.graph.frontier, *around]
    return value


def _lambda(ctx: Context, node: cst.Lambda) -> Value:
    return Function(node, ctx.env, ctx.file)


def _sequence(ctx: Context, node: cst.Tuple | cst.List | cst.Set) -> Value:
    items: list[Value] = []
    unknown = False
    for element in node.elements:
        value = ctx.evaluate(ctx, element.value)
        if not isinstance(element, cst.StarredElement):
            items.append(value)
        elif isinstance(value, Group):
            unknown = extended(items, value.items) or unknown or value.open
        elif isinstance(value, Params):
            items.append(value)
        else:
            unknown = True
    return Group(items, unknown)


def _dict(ctx: Context, node: cst.Dict) -> Value:
    table = Table({})
    for element in node.elements:
        value = ctx.evaluate(ctx, element.value)
        if isinstance(element, cst.DictElement):
            key = ctx.evaluate(ctx, element.key)
            table.items[str(key.value) if isinstance(key, Const) else text_of(element.key)] = value
        else:
            table.open = True
            if isinstance(value, Table):
                table.items.update(value.items)
    return table


def _comprehension(ctx: Context, node: cst.ListComp | cst.GeneratorExp | cst.SetComp) -> Value:
    ctx.env.branch()
    over = _comprehension_for(ctx, node.for_in)
    value = _repeated(ctx, node, over)
    ctx.env.undo()
    if isinstance(value, Params):
        return Params(value.of, True, value.complete)
    if isinstance(over, Group) and not over.open and isinstance(value, Group):
        return value
    return Group([value], open=True)


def _repeated(ctx: Context, node: cst.ListComp | cst.GeneratorExp | cst.SetComp, over: Value) -> Value:
    """The element of a comprehension; where it holds events, a comprehension is a loop."""
    graph, size = ctx.graph, len(ctx.graph.nodes)
    if iteration.is_vector(over) or "backward" not in text_of(node.elt):
        return ctx.evaluate(ctx, node.elt)
    loop = Loop(len(graph.loops), text_of(node.for_in), depth=len(ctx.guards), file=ctx.file)
    graph.loops.append(loop)
    ctx.loops.append(loop)
    head = graph.add(Node(loop.text)) if graph.reachable and not ctx.silent else size
    value = ctx.evaluate(ctx, node.elt)
    ctx.loops.pop()
    if graph.reachable and not ctx.silent:
        graph.add(Node("", again=loop))
        graph.connect(graph.frontier, head)
    return value


def _dict_comprehension(ctx: Context, node: cst.DictComp) -> Value:
    ctx.env.branch()
    _comprehension_for(ctx, node.for_in)
    value = ctx.evaluate(ctx, node.value)
    ctx.env.undo()
    return Table({"*": value}, open=True)


def _comprehension_for(ctx: Context, loop: cst.CompFor) -> Value:
    over = ctx.evaluate(ctx, loop.iter)
    iteration.bind(ctx, loop.target, iteration.element(ctx, over))
    for condition in loop.ifs:
        ctx.evaluate(ctx, condition.test)
    if loop.inner_for_in is not None:
        _comprehension_for(ctx, loop.inner_for_in)
    return over


def _named(ctx: Context, node: cst.NamedExpr) -> Value:
    value = ctx.evaluate(ctx, node.value)
    iteration.bind(ctx, node.target, value)
    return value


def _inner(ctx: Context, node: Any) -> Value:
    return ctx.evaluate(ctx, node.expression) if node.expression is not None else Thing("")


def _yield(ctx: Context, node: cst.Yield) -> Value:
    given: Value = Const(None)
    if node.value is not None:
        given = ctx.evaluate(ctx, node.value.item if isinstance(node.value, cst.From) else node.value)
    if ctx.frame.waits:
        managers.pause(ctx, given)
    return Thing("")


def _anything(ctx: Context, node: cst.BaseExpression) -> Value:
    todo = deque(children_of(node))
    while todo:
        child = todo.popleft()
        if isinstance(child, cst.BaseExpression):
            ctx.evaluate(ctx, child)
        else:
            todo += children_of(child)
    return Const(...)


_HANDLERS: dict[type[cst.CSTNode], Callable[[Context, Any], Value]] = {
    cst.Name: _name,
    cst.Attribute: _attribute,
    cst.Call: lower_call,
    cst.Subscript: _subscript,
    cst.Integer: _constant,
    cst.Float: _constant,
    cst.SimpleString: _constant,
    cst.BinaryOperation: _binary,
    cst.UnaryOperation: _unary,
    cst.BooleanOperation: _boolean,
    cst.Comparison: _comparison,
    cst.IfExp: _conditional,
    cst.Lambda: _lambda,
    cst.Tuple: _sequence,
    cst.List: _sequence,
    cst.Set: _sequence,
    cst.Dict: _dict,
    cst.ListComp: _comprehension,
    cst.GeneratorExp: _comprehension,
    cst.SetComp: _comprehension,
    cst.DictComp: _dict_comprehension,
    cst.NamedExpr: _named,
    cst.Await: _inner,
    cst.Yield: _yield,
}
