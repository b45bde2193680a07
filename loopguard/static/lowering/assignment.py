"""Assignments: names bound, gradients cleared or set by hand, sums that keep a loss, methods named and not called."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import libcst as cst

from loopguard.events import Kind
from loopguard.lifecycles import source
from loopguard.static.caches import remembered
from loopguard.static.collected import add
from loopguard.static.frameworks import OWN_OPTIMIZERS
from loopguard.static.library import OPTIMIZER_NAME, SCALER_NAME, SCHEDULER_NAME
from loopguard.static.lowering import iteration, recognise, replacement
from loopguard.static.lowering.constructors import NEW, attach
from loopguard.static.lowering.context import Context
from loopguard.static.lowering.tensors import computed, provenance
from loopguard.static.syntax import descendants, text_of
from loopguard.static.values import Const, Counter, Gradient, Group, Params, Role, Table, Tensor, Thing, Value

_NAMES = frozenset({cst.Name, cst.Attribute, cst.Subscript})


def assign(ctx: Context, node: cst.Assign) -> None:
    """Lower `target = value`."""
    targets = [item.target for item in node.targets]
    if len(targets) == 1 and type(node.value) is cst.BinaryOperation and type(node.value.operator) is cst.Add:
        if isinstance(targets[0], cst.Name | cst.Attribute) and text_of(node.value.left) == text_of(targets[0]):
            _add(ctx, node, targets[0], node.value.right)
            return
    value = ctx.evaluate(ctx, node.value)
    for target in targets:
        if type(target) is cst.Name:
            replacement.rebound(ctx, node, ctx.env.variables.get(target.value), value)
        _store(ctx, node, target, _through(ctx, node.value, target, value))
        if ctx.loops and type(node.value) is cst.Call and not _is_kept(node.value):
            _renew(ctx, node, target)


def _is_kept(node: cst.Call) -> bool:
    """Whether a call gives optimizers that are there already."""
    return isinstance(node.func, cst.Attribute) and node.func.attr.value == OWN_OPTIMIZERS


def _renew(ctx: Context, node: cst.CSTNode, target: cst.BaseExpression) -> None:
    """Note that a loop makes its optimizer anew: nothing is known of the gradients that it finds."""
    names = [element.value for element in target.elements] if isinstance(target, cst.Tuple) else [target]
    for name in names:
        if OPTIMIZER_NAME.search(text_of(name)):
            made = ctx.known(name)
            if isinstance(made, Thing):
                ctx.emit(Kind.UNKNOWN, node, made, via=NEW)


def assign_annotated(ctx: Context, node: cst.AnnAssign) -> None:
    """Lower `target: annotation = value`."""
    if node.value is not None:
        _store(ctx, node, node.target, ctx.evaluate(ctx, node.value))


def _store(ctx: Context, node: cst.CSTNode, target: cst.BaseExpression, value: Value) -> None:
    if type(target) is cst.Tuple and any(_is_gradient(element.value) for element in target.elements):
        for element in target.elements:
            _store(ctx, node, element.value, Thing(""))
        return
    if type(target) is cst.Attribute:
        if target.attr.value == "grad":
            if isinstance(value, Const) and value.value is None:
                clear_gradient(ctx, target, node)
            else:
                ctx.emit(Kind.ASSIGN, node, _owner(ctx, target))
            return
        if (
            target.attr.value == "data"
            and isinstance(target.value, cst.Attribute)
            and target.value.attr.value == "grad"
        ):
            ctx.emit(Kind.ASSIGN, node, _owner(ctx, target.value))
            return
        if target.attr.value == "requires_grad":
            owner = ctx.evaluate(ctx, target.value)
            if isinstance(owner, Tensor):
                attach(ctx, target, owner)
            for thing in owner.of if isinstance(owner, Params) else (owner,) if isinstance(owner, Thing) else ():
                thing.toggled = True
            replacement.freeze(ctx, owner, value)
            return
    iteration.bind(ctx, target, value)


def _is_gradient(target: cst.BaseExpression) -> bool:
    return type(target) is cst.Attribute and target.attr.value == "grad"


def clear_gradient(ctx: Context, target: cst.Attribute, node: cst.CSTNode) -> None:
    """Lower `p.grad = None` or `del p.grad`."""
    of = _owner(ctx, target)
    ctx.emit(Kind.CLEAR, node, of, maybe=of is None)


def _owner(ctx: Context, target: cst.Attribute) -> Params | None:
    owner = ctx.evaluate(ctx, target.value)
    if isinstance(owner, Params):
        return owner
    if isinstance(owner, Thing):
        return Params((owner,))
    return iteration.as_params(owner) if isinstance(owner, Group) and owner.items else None


def _through(ctx: Context, expression: cst.BaseExpression, target: cst.BaseExpression, value: Value) -> Value:
    """`model, optimizer = wrap(model, optimizer)`: what goes by the same name before and after is the same object."""
    if type(expression) is not cst.Call or not isinstance(value, Thing):
        return value
    if value.role not in (Role.OPAQUE, Role.OPTIMIZER):
        return value
    # Nothing else is written as a target is.
    given = {text_of(item.value): item.value for item in expression.args if type(item.value) in _NAMES}
    if type(target) is cst.Tuple:
        names = [text_of(element.value) for element in target.elements]
        if any(name in given for name in names):
            optimizers = [name for name in names if OPTIMIZER_NAME.search(name)]
            items: list[Value] = []
            for name in names:
                if name in given:
                    items.append(ctx.known(given[name]))
                elif value.role is Role.OPTIMIZER and optimizers == [name]:
                    items.append(value)
                else:
                    items.append(Thing("", captured=(value,)))
            return Group(items)
        if value.role is Role.OPTIMIZER:
            named = [bool(OPTIMIZER_NAME.search(name)) for name in names]
            if sum(named) == 1:
                return Group([value if yes else Thing("") for yes in named])
    if given and value.role is Role.OPAQUE and value.cls is None and text_of(target) in given:
        old = ctx.known(given[text_of(target)])
        if isinstance(old, Thing) and old.role in (Role.MODULE, Role.OPTIMIZER):
            return old
    return value


def assign_augmented(ctx: Context, node: cst.AugAssign) -> None:
    """Lower `target op= value`."""
    if isinstance(node.operator, cst.AddAssign):
        _add(ctx, node, node.target, node.value)
        return
    old = ctx.known(node.target)
    value = ctx.evaluate(ctx, node.value)
    if isinstance(old, Gradient):
        zero = isinstance(value, Const) and value.value == 0 and isinstance(node.operator, cst.MultiplyAssign)
        ctx.emit(Kind.CLEAR if zero else Kind.READ, node, old.of)
        return
    scales = isinstance(node.operator, cst.DivideAssign | cst.MultiplyAssign)
    divisor = text_of(node.value) if isinstance(node.operator, cst.DivideAssign) else ""
    _rebind(ctx, node.target, _combined(ctx, old, value, divided=scales, divisor=divisor))


def _add(ctx: Context, node: cst.CSTNode, target: cst.BaseExpression, addend: cst.BaseExpression) -> None:
    old = ctx.known(target)
    value = ctx.evaluate(ctx, addend)
    if isinstance(old, Gradient):
        ctx.emit(Kind.ASSIGN, node, old.of)
        return
    result = _combined(ctx, old, value)
    if isinstance(old, Group | Params | Table):
        _rebind(ctx, target, result)
        return
    if isinstance(old, Counter):
        one = isinstance(value, Const) and value.value == 1
        _rebind(ctx, target, Counter(old.start + 1 if one and old.start is not None else None))
        return
    storage = ""
    outside = True
    if isinstance(target, cst.Name):
        home = ctx.env.home(target.value)
        storage = f"{home.number}:{target.value}"
        outside = home.bound_in.get(target.value, 0) < len(ctx.loops)
    elif isinstance(target, cst.Attribute):
        storage = ctx.storage(target)[1]
    if outside:
        total = max(provenance(result).ancestors, default=0)
        recognise.keep(ctx, node, text_of(target), value, total, storage)
    _rebind(ctx, target, result)


def _combined(ctx: Context, old: Value, value: Value, *, divided: bool = False, divisor: str = "") -> Value:
    if isinstance(old, Params) and isinstance(value, Params):
        return Params(tuple(dict.fromkeys((*old.of, *value.of))), True, old.complete and value.complete)
    if isinstance(old, Group) and isinstance(value, Group):
        return _joined(old, list(value.items), value.open)
    if isinstance(old, Group):
        return _joined(old, [value], True)
    if isinstance(old, Const | Counter) and isinstance(value, Const | Counter):
        return Const(...)
    return computed(ctx, [old, value], divided=divided, divisor=divisor)


def _joined(old: Group, values: list[Value], more: bool) -> Group:
    made = Group([], old.open or more)
    add(made, [*old.items, *values])
    return made


def _rebind(ctx: Context, target: cst.BaseExpression, value: Value) -> None:
    """Change what a target stands for without making it a new variable of this iteration."""
    if isinstance(target, cst.Name):
        env = ctx.globals_of(target.value)
        env.set(target.value, value)
        ctx.assigned([f"{env.number}:{target.value}"], anew=False)
    elif isinstance(target, cst.Attribute):
        owner = ctx.known(target.value)
        if isinstance(owner, Thing):
            owner.attrs[target.attr.value] = value
            ctx.assigned([f"#{owner.number}.{target.attr.value}"], anew=False)


def uncalled(ctx: Context, node: cst.Attribute) -> bool:
    """Lower `optimizer.step` without its parentheses: a mistake, taken from there on for the call that was meant."""
    name = node.attr.value
    if name not in ("zero_grad", "step", "backward", "update"):
        return False
    owner = ctx.evaluate(ctx, node.value)
    label = owner.label if isinstance(owner, Thing) else text_of(node.value)
    scheduler = (isinstance(owner, Thing) and owner.role is Role.SCHEDULER) or SCHEDULER_NAME.search(label) is not None
    optimizer = (isinstance(owner, Thing) and owner.role is Role.OPTIMIZER) or OPTIMIZER_NAME.search(label) is not None
    scaler = (isinstance(owner, Thing) and owner.role is Role.SCALER) or SCALER_NAME.search(label) is not None
    if (name == "update" and not scaler) or (name == "step" and not (scheduler or optimizer)):
        return False
    ctx.note(source.Mistake.UNCALLED, node, text_of(node.value))
    if name == "zero_grad" and isinstance(owner, Thing):
        ctx.emit(Kind.CLEAR, node, owner)
    elif name == "backward":
        recognise.deposit(ctx, node, provenance(owner), text_of(node.value))
    elif name == "step" and isinstance(owner, Thing) and optimizer:
        owner.role = Role.OPTIMIZER
        ctx.emit(Kind.STEP, node, owner, clears_itself=owner.clears_itself)
    elif name == "step" and isinstance(owner, Thing):
        ctx.emit(Kind.SCHEDULE, node, owner)
    elif name == "update" and isinstance(owner, Thing):
        ctx.emit(Kind.UPDATE, node, owner, scaler=owner)
    return True


@remembered
def counters_in(body: cst.BaseSuite) -> frozenset[str]:
    """The plain names that a block does nothing to but count up by one."""
    counted: set[str] = set()
    others: set[str] = set()
    for node in descendants(body):
        if type(node) is cst.AugAssign and type(node.target) is cst.Name:
            one = type(node.operator) is cst.AddAssign and text_of(node.value) == "1"
            (counted if one else others).add(node.target.value)
        elif (type(node) is cst.AssignTarget or type(node) is cst.AnnAssign) and type(node.target) is cst.Name:
            others.add(node.target.value)
    return frozenset(counted - others)


@remembered
def names_bound_in(body: cst.BaseSuite) -> frozenset[str]:
    """The plain names that a block assigns to, at any depth within the same function."""
    names: set[str] = set()
    todo: list[cst.CSTNode | None] = [body]
    while todo:
        node = todo.pop()
        if type(node) is cst.Name:
            names.add(node.value)
        elif type(node) in _BINDING:
            todo += _BINDING[type(node)](node)
    return frozenset(names)


_BINDING: dict[type, Callable[[Any], Iterable[cst.CSTNode | None]]] = {
    cst.IndentedBlock: lambda node: node.body,
    cst.SimpleStatementSuite: lambda node: node.body,
    cst.SimpleStatementLine: lambda node: node.body,
    cst.Assign: lambda node: [item.target for item in node.targets],
    cst.AnnAssign: lambda node: [node.target],
    cst.AugAssign: lambda node: [node.target],
    cst.Tuple: lambda node: [element.value for element in node.elements],
    cst.List: lambda node: [element.value for element in node.elements],
    cst.For: lambda node: [node.target, node.body, node.orelse],
    cst.While: lambda node: [node.body, node.orelse],
    cst.If: lambda node: [node.body, node.orelse],
    cst.Else: lambda node: [node.body],
    cst.With: lambda node: [node.body],
    cst.Try: lambda node: [node.body, *node.handlers, node.orelse, node.finalbody],
    cst.ExceptHandler: lambda node: [node.body],
    cst.Finally: lambda node: [node.body],
}
"""The parts of a statement, block or target in which names may be bound."""
