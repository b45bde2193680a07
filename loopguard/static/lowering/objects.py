"""Attributes of values, and the classes of the project: methods, bases, what an instance is."""

from __future__ import annotations

import builtins
from collections.abc import Collection

import libcst as cst

from loopguard.static.library import TORCH_FAMILY
from loopguard.static.lowering import iteration
from loopguard.static.lowering.context import Context
from loopguard.static.lowering.tensors import computed, detached
from loopguard.static.scope import File
from loopguard.static.syntax import children_of, is_concrete, text_of
from loopguard.static.values import (
    Attachment,
    Bound,
    Class,
    Const,
    FileValue,
    Function,
    Gradient,
    Group,
    Inert,
    Method,
    Params,
    Ref,
    Role,
    Tensor,
    Thing,
    Value,
)


def attribute_of(ctx: Context, owner: Value, name: str) -> Value:
    """The attribute `name` of a value."""
    if isinstance(owner, Ref):
        return _outside(ctx, f"{owner.dotted}.{name}")
    if isinstance(owner, FileValue):
        found = owner.file.env.lookup(name) or ctx.file.project.submodule(owner.file.source.path, name)
        return found if found is not None else Inert(name, certain=False)
    if isinstance(owner, Inert):
        return owner.attribute(name)
    if isinstance(owner, Class):
        method = find_method(owner, name)
        return method[0] if method is not None else Thing(f"{owner.name}.{name}")
    if isinstance(owner, Thing):
        return _thing_attribute(ctx, owner, name)
    if isinstance(owner, Gradient):
        return owner if name in ("data", "grad", "_local_tensor") else Method(owner, name)
    if isinstance(owner, Params):
        if name == "grad":
            return Gradient(owner)
        return owner if name in ("data", "values", "items") else Method(owner, name)
    if isinstance(owner, Tensor):
        if name == "grad":
            return Gradient(None)
        if name == "data":
            return detached(ctx, owner, "`.data`")
        if name in ("shape", "dtype", "device", "ndim", "is_cuda"):
            return Const(...)
        if name == "requires_grad":
            return Const(False, fixed=True) if owner.graph is Attachment.NO and owner.cut else Const(...)
        if name in ("loss", "sum", "mean"):
            return computed(ctx, [owner], mean=name == "loss")
        return computed(ctx, [owner])
    if isinstance(owner, Group):
        if name == "grad" and owner.items and all(isinstance(item, Params | Thing) for item in owner.items):
            return Gradient(iteration.as_params(owner))
        return Method(owner, name)
    return Method(owner, name)


def _outside(ctx: Context, dotted: str) -> Value:
    """What a dotted name stands for that starts outside, or in a folder of the project without an `__init__.py`."""
    if dotted.split(".")[0] not in TORCH_FAMILY:
        found = ctx.file.project.find(dotted, 0, ctx.file.source.path)
        if found is not None:
            return found
    return Ref(dotted)


def _thing_attribute(ctx: Context, owner: Thing, name: str) -> Value:
    if name in owner.attrs:
        return owner.attrs[name]
    if name == "grad":
        return Gradient(Params((owner,)))
    if name == "param_groups":
        return Params((owner,))
    if name == "module" and owner.role in (Role.MODULE, Role.OPAQUE, Role.ENGINE):
        return owner
    if name == "optimizer" and owner.role is Role.OPTIMIZER:
        return owner  # a wrapper's inner optimizer holds the same parameters
    if name == "data" and owner.role in (Role.OPAQUE, Role.DATA):
        return owner
    if owner.cls is not None:
        declared = _declared(ctx, owner, name)
        if declared is not None:
            return declared
        found = find_method(owner.cls, name)
        if found is not None:
            function, is_property = found
            if is_property:
                if ctx.at is not None and ctx.at[0] is ctx.file:
                    return ctx.call(ctx, Bound(function, owner), ctx.at[1])
                with ctx.values_only():
                    return ctx.call(ctx, Bound(function, owner), function.node)
            return Bound(function, owner)
    return owner.child(name)


def _declared(ctx: Context, owner: Thing, name: str) -> Value | None:
    """The attribute `name` that a class statement gives to its instances."""
    assert owner.cls is not None
    for item in mro(owner.cls):
        if name in item.declared:
            expression = item.declared[name]
            value: Value = Thing(f"{owner.label}.{name}", parent=owner)
            if expression is not None:
                with ctx.values_only(), ctx.within(item.env, item.file):
                    value = ctx.evaluate(ctx, expression)
            if isinstance(value, Const):
                return value
            if isinstance(value, Thing) and not value.label:
                value.label = f"{owner.label}.{name}"
            owner.attrs[name] = value
            return value
    return None


def find_method(cls: Class, name: str) -> tuple[Function, bool] | None:
    """The method `name` of a class or of its bases in the project, and whether it is a property."""
    for item in mro(cls):
        node = item.methods.get(name)
        if node is not None:
            is_property = any(
                text_of(decorator.decorator).split(".")[-1] in ("property", "cached_property")
                for decorator in node.decorators
            )
            return Function(node, item.env, item.file, item), is_property
    return None


def mro(cls: Class) -> list[Class]:
    """The class and its bases in the project, nearest first."""
    found: list[Class] = []
    todo = [cls]
    while todo and len(found) < 20:
        item = todo.pop(0)
        if item in found:
            continue
        found.append(item)
        todo += [base for base in bases_of(item) if isinstance(base, Class)]
    return found


def bases_of(cls: Class) -> list[Value]:
    """What the bases of a class are; a base that nothing is known of is a plain thing."""
    if not cls.bases and cls.node.bases:
        for argument in cls.node.bases:
            value = _lookup_dotted(cls, argument.value)
            cls.bases.append(value if value is not None else Thing(text_of(argument.value)))
    return cls.bases


def _lookup_dotted(cls: Class, node: cst.BaseExpression) -> Value | None:
    if isinstance(node, cst.Name):
        found = cls.env.lookup(node.value)
        return found if found is not None else (Ref(node.value) if hasattr(builtins, node.value) else None)
    if isinstance(node, cst.Attribute):
        owner = _lookup_dotted(cls, node.value)
        if isinstance(owner, Ref):
            return Ref(f"{owner.dotted}.{node.attr.value}")
        if isinstance(owner, FileValue):
            return owner.file.env.lookup(node.attr.value)
    if isinstance(node, cst.Subscript):
        return _lookup_dotted(cls, node.value)
    return None


def derives_from(cls: Class, *endings: str) -> bool:
    """Whether a base of the class, at any depth that can be read, is called like one of `endings`."""
    for item in mro(cls):
        for base in bases_of(item):
            name = base.dotted if isinstance(base, Ref) else base.label if isinstance(base, Thing) else ""
            if name.rsplit(".", 1)[-1] in endings:
                return True
    return False


def is_abstract(node: cst.FunctionDef) -> bool:
    """Whether a method does nothing but wait to be overridden: what it really does cannot be read."""
    if is_concrete(node):
        return False
    for line in node.body.body:
        small = line.body[0] if isinstance(line, cst.SimpleStatementLine) else line
        if isinstance(small, cst.Raise) and small.exc is not None and "NotImplemented" in text_of(small.exc):
            return True
        documents = isinstance(small, cst.Expr) and isinstance(
            small.value, cst.SimpleString | cst.ConcatenatedString | cst.Ellipsis
        )
        if not (documents or isinstance(small, cst.Pass)):
            return False
    return True


def is_generator(file: File, node: cst.FunctionDef) -> bool:
    """Whether a function of a file yields."""
    return "yield" in file.tree.source(node) and _yields(node)


def _yields(node: cst.FunctionDef) -> bool:
    todo: list[cst.CSTNode] = [node.body]
    while todo:
        item = todo.pop()
        if isinstance(item, cst.Yield):
            return True
        if not isinstance(item, cst.FunctionDef | cst.Lambda | cst.ClassDef):
            todo += children_of(item)
    return False


def is_declared(cls: Class | None, name: str) -> bool:
    """Whether a class statement gives its instances an attribute `name`."""
    return cls is not None and any(name in item.declared for item in mro(cls))


def is_module(cls: Class) -> bool:
    """Whether objects of the class are modules."""
    for item in mro(cls):
        for base in bases_of(item):
            name = base.dotted if isinstance(base, Ref) else base.label if isinstance(base, Thing) else ""
            if name.startswith("torch.nn.") or name.rsplit(".", 1)[-1].endswith(("Module", "PreTrainedModel")):
                return True
    return False


_READ_BASES = ("object", "Module", "ABC", "Generic", "Protocol", "NamedTuple", "Optimizer")


def has_unread_base(cls: Class, known: Collection[str] = ()) -> bool:
    """Whether methods may be inherited from a class that cannot be read, and is none of some that are `known`."""
    for item in mro(cls):
        for base in bases_of(item):
            if isinstance(base, Class | Inert):
                continue
            name = base.dotted if isinstance(base, Ref) else base.label if isinstance(base, Thing) else "?"
            if name.rsplit(".", 1)[-1] not in (*_READ_BASES, *known):
                return True
    return False
