"""What a loop walks over: the value of one element, and how targets take values apart."""

from __future__ import annotations

from functools import reduce

import libcst as cst

from loopguard.static.collected import add, collections_in, groups_in, leaves
from loopguard.static.library import DATA_NAME, OPTIMIZER_NAME
from loopguard.static.lowering import replacement
from loopguard.static.lowering.context import Context
from loopguard.static.lowering.tensors import computed, join
from loopguard.static.syntax import descendants, text_of
from loopguard.static.values import (
    Const,
    Counter,
    Gradient,
    Group,
    Method,
    Params,
    Ref,
    Role,
    Table,
    Tensor,
    Thing,
    Value,
    things_in,
)


def element(ctx: Context, over: Value) -> Value:
    """One element of what is iterated over."""
    if isinstance(over, Params | Gradient | Counter):
        return over
    if isinstance(over, Group):
        if len(over.items) == 1:
            return over.items[0]
        if over.items and all(isinstance(item, Thing) for item in over.items):
            return over  # what is done to the element is done to each
        if over.items and all(isinstance(item, Params) for item in over.items):
            return as_params(over)
        return merged(over.items) if over.items else Thing("", Role.DATA)
    if isinstance(over, Table):
        return Const(...)
    if isinstance(over, Tensor):
        return computed(ctx, [over])
    if isinstance(over, Thing):
        if over.role is Role.DATA or DATA_NAME.search(over.label):
            return Thing("", Role.DATA, known=True)
        if OPTIMIZER_NAME.search(over.label) or over.role is Role.OPTIMIZER or over.role is Role.MODULE:
            return over.child("[*]")
        return Thing("", captured=(over,))
    return Thing("")


def is_vector(value: Value) -> bool:
    """Whether walking over `value` does one thing to each of several objects, rather than repeat it in time."""
    if isinstance(value, Params | Gradient):
        return True
    if isinstance(value, Group):
        groups = groups_in(value)
        return all(group.items for group in groups) and all(
            isinstance(item, Params | Gradient | Group)
            or (isinstance(item, Thing) and (item.role in (Role.OPTIMIZER, Role.MODULE) or _plural(item)))
            for group in groups
            for item in group.items
        )
    if isinstance(value, Table):
        return is_vector(Group(list(value.items.values())))
    return isinstance(value, Thing) and value.role is not Role.DATA and bool(OPTIMIZER_NAME.search(value.label))


def _plural(thing: Thing) -> bool:
    return bool(OPTIMIZER_NAME.search(thing.label))


def as_params(group: Group) -> Params:
    """The parameters that a group of things or parameters stands for."""
    of: dict[Thing, None] = {}
    for leaf in leaves(group):
        of.update(dict.fromkeys(leaf.of if isinstance(leaf, Params) else (leaf,) if isinstance(leaf, Thing) else ()))
    groups = groups_in(group)
    complete = not any(inner.open for inner in groups) and all(
        item.complete if isinstance(item, Params) else isinstance(item, Thing | Const | Group | Table)
        for inner in groups
        for item in inner.items
    )
    return Params(tuple(of), True, complete)


def merged(items: list[Value]) -> Value:
    """Any one of these values."""
    return reduce(join, items)


def bind(ctx: Context, target: cst.BaseExpression, value: Value) -> None:
    """Let an assignment target stand for `value`, and end what was assumed of its old value."""
    if isinstance(value, Tensor) and OPTIMIZER_NAME.search(text_of(target)):
        value = _named_optimizer(value)
    if isinstance(value, Const):
        value = Const(value.value)  # a setting may be changed; only a literal in place is fixed
    if isinstance(value, Group | Table) and isinstance(target, cst.Name | cst.Attribute):
        _label_elements(value, text_of(target))
    if type(target) is cst.Name:
        if isinstance(value, Thing) and not value.label:
            value.label = target.value
        env = ctx.globals_of(target.value)
        env.bind(target.value, value, len(ctx.loops))
        ctx.assigned([f"{env.number}:{target.value}"])
    elif isinstance(target, cst.Attribute):
        owner = ctx.evaluate(ctx, target.value)
        if isinstance(value, Thing) and not value.label:
            value.label = text_of(target)
        if isinstance(owner, Thing):
            # `self.scaler = None` in one branch does not undo what another branch has made.
            if not (isinstance(value, Const) and isinstance(owner.attrs.get(target.attr.value), Thing)):
                replacement.part(ctx, target, owner, value, old=owner.attrs.get(target.attr.value))
                owner.attrs[target.attr.value] = value
            ctx.assigned([f"#{owner.number}.{target.attr.value}"])
    elif isinstance(target, cst.Subscript):
        _bind_element(ctx, target, value)
    elif isinstance(target, cst.Tuple | cst.List):
        _unpack(ctx, target, value)
    elif isinstance(target, cst.StarredElement):
        bind(ctx, target.value, Thing(""))


def _label_elements(value: Group | Table, name: str) -> None:
    """Call what a collection was made with by its place in it, as the user will."""
    items: list[tuple[str, Value]] = []
    if isinstance(value, Table):
        items = [(repr(key).replace("'", '"'), item) for key, item in value.items.items()]
    elif not value.open:
        items = [(str(number), item) for number, item in enumerate(value.items)]
    for key, item in items:
        if isinstance(item, Thing) and not item.label:
            item.label = f"{name}[{key}]"


def _named_optimizer(value: Tensor) -> Thing:
    """What is called an optimizer is no tensor, whatever the call that made it was given."""
    held = tuple(source for source in value.sources if source.role is Role.MODULE)
    return Thing("", Role.OPTIMIZER, holds=held or None, captured=tuple(value.sources), known=True)


def _bind_element(ctx: Context, target: cst.Subscript, value: Value) -> None:
    owner = ctx.evaluate(ctx, target.value)
    text = text_of(target.slice[0].slice.value) if isinstance(target.slice[0].slice, cst.Index) else ""
    key = text.strip("'\"")
    if isinstance(value, Thing) and not value.label:
        value.label = text_of(target)
    if isinstance(owner, Table):
        owner.items[key] = Thing("") if isinstance(value, Group | Table) and owner in collections_in(value) else value
    elif isinstance(owner, Thing) and text:
        replacement.part(ctx, target, owner, value, old=owner.attrs.get(f"[{text}]"))
        owner.attrs[f"[{text}]"] = value
    elif isinstance(owner, Group):
        add(owner, [value])
        owner.open = True


def _unpack(ctx: Context, target: cst.Tuple | cst.List, value: Value) -> None:
    targets = [item.value for item in target.elements]
    starred = any(isinstance(item, cst.StarredElement) for item in target.elements)
    if isinstance(value, Group) and not starred and not value.open and len(value.items) == len(targets):
        for item, part in zip(targets, value.items, strict=True):
            bind(ctx, item, part)
        return
    for item in targets:
        if isinstance(value, Thing) and value.role is Role.DATA:
            bind(ctx, item, Thing("", Role.DATA, known=True))
        elif isinstance(value, Params):
            bind(ctx, item, value)
        elif isinstance(value, Tensor):
            bind(ctx, item, computed(ctx, [value]))
        else:
            captured = (value,) if isinstance(value, Thing) else ()
            bind(ctx, item, Thing("", captured=captured))


def walk(ctx: Context, node: cst.BaseExpression, value: Value) -> tuple[Value, bool, bool]:
    """What a `for` over `node`, of which `value` is known, gives to its target.

    Returns the element, whether the loop runs once at most, and whether it walks over batches of data.
    """
    text = text_of(node)
    if isinstance(node, cst.Call):
        name = text_of(node.func).rsplit(".", 1)[-1]
        inner = [argument.value for argument in node.args if argument.keyword is None]
        if name == "range":
            return _range(ctx, inner)
        if name == "enumerate" and inner:
            start = _start(node)
            item, once, batches = walk(ctx, inner[0], ctx.known(inner[0]))
            return Group([Counter(start), item]), once, batches
        if name == "zip" and inner:
            parts = [walk(ctx, item, ctx.known(item)) for item in inner]
            return Group([part[0] for part in parts]), False, any(part[2] for part in parts)
        if name in ("named_parameters", "named_buffers") and isinstance(value, Params):
            return Group([Const(...), value]), False, False
        if name == "items":
            owner = ctx.known(node.func.value) if isinstance(node.func, cst.Attribute) else None
            if isinstance(owner, Table):
                things: list[Value] = list(owner.items.values())
                return Group([Const(...), element(ctx, Group(things))]), False, False
            if isinstance(owner, Thing):
                return Group([Const(...), element(ctx, owner)]), False, bool(DATA_NAME.search(owner.label))
        if name == "values" and isinstance(node.func, cst.Attribute):
            owner = ctx.known(node.func.value)
            if isinstance(owner, Table):
                return element(ctx, Group(list(owner.items.values()))), False, False
            if isinstance(owner, Thing):
                return element(ctx, owner), False, False
        if inner and name not in ("keys", "split", "sample") and not isinstance(value, Params | Group):
            item, once, batches = walk(ctx, inner[0], ctx.known(inner[0]))
            if batches or isinstance(item, Group | Counter) or once:
                return item, once, batches or bool(DATA_NAME.search(text))
    if isinstance(value, Group) and not value.open and len(value.items) == 1 and not is_vector(value):
        return value.items[0], True, False
    batches = bool(DATA_NAME.search(text)) or (isinstance(value, Thing) and value.role is Role.DATA)
    if isinstance(value, Method | Ref):
        return Thing("", Role.DATA if batches else Role.OPAQUE, known=batches), False, batches
    found = element(ctx, value)
    if batches and isinstance(found, Thing) and found.role is Role.OPAQUE:
        found = Thing("", Role.DATA, known=True)
    return found, False, batches


def walked(ctx: Context, node: cst.BaseExpression, value: Value) -> tuple[Thing, ...]:
    """The things that a `for` over `node` takes its elements from: `loader` in `enumerate(tqdm(loader))`."""
    named = (ctx.peek(item) for item in descendants(node) if isinstance(item, cst.Name | cst.Attribute))
    return tuple(dict.fromkeys(thing for item in (value, *named) for thing in things_in(item)))


def _range(ctx: Context, arguments: list[cst.BaseExpression]) -> tuple[Value, bool, bool]:
    numbers = [ctx.known(item) for item in arguments]
    first, once = 0, False
    start: int | None = 0
    if len(numbers) > 1:
        start = numbers[0].value if isinstance(numbers[0], Const) and isinstance(numbers[0].value, int) else None
        first = start if start is not None else 0
    last = numbers[1 if len(numbers) > 1 else 0] if numbers else None
    if isinstance(last, Const) and last.fixed and isinstance(last.value, int) and start is not None:
        once = last.value - first <= 1
    return Counter(start), once, False


def _start(call: cst.Call) -> int | None:
    given = [a for a in call.args if a.keyword is None][1:] + [
        a for a in call.args if a.keyword is not None and a.keyword.value == "start"
    ]
    if not given:
        return 0
    value = given[0].value
    return int(value.value) if isinstance(value, cst.Integer) and value.value.isdecimal() else None
