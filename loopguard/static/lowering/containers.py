"""Lists and dicts whose elements are known: what their own methods do to them."""

from __future__ import annotations

import libcst as cst

from loopguard.static.collected import add
from loopguard.static.lowering import recognise
from loopguard.static.lowering.arguments import Arguments
from loopguard.static.lowering.context import Context
from loopguard.static.values import Const, Group, Table, Thing, Value


def container_method(ctx: Context, node: cst.Call, owner: Group | Table, name: str, arguments: Arguments) -> Value:
    """Lower `owner.name(...)`."""
    values = arguments.positional
    if isinstance(owner, Group):
        if name == "append" and values:
            add(owner, [values[0]])
            if ctx.loops:
                owner.open = True
            recognise.appended(ctx, node, owner, values[0])
            return Const(None)
        if name == "extend" and values:
            add(owner, list(values[0].items) if isinstance(values[0], Group) else [values[0]])
            return Const(None)
        if name in ("copy",):
            return owner
        if name == "pop":
            return owner.items[-1] if owner.items else Thing("")
    else:
        if name in ("values", "items"):
            return Group(list(owner.items.values()), owner.open)
        if name == "get" and values and isinstance(values[0], Const):
            return owner.items.get(str(values[0].value), Thing(""))
        if name == "update" and values and isinstance(values[0], Table):
            owner.items.update(values[0].items)
            return Const(None)
    return Thing("")
