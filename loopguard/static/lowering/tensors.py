"""Where a tensor's gradient goes: which modules its graph passes through, and whether it has a graph at all."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from loopguard.static.collected import leaves
from loopguard.static.lowering.context import Context
from loopguard.static.steps import spend
from loopguard.static.values import (
    Attachment,
    Const,
    Counter,
    FileValue,
    Group,
    Params,
    Partial,
    Ref,
    Role,
    Table,
    Tensor,
    Thing,
    Value,
    things_in,
)

_ANCESTORS = 64


def provenance(value: Value | None) -> Tensor:
    """What is known of the graph behind any value, as a tensor."""
    if isinstance(value, Tensor):
        return value
    if isinstance(value, Const | Counter):
        return Tensor(complete=True, graph=Attachment.NO)
    if isinstance(value, Thing):
        if value.role is Role.DATA:
            return Tensor(complete=True)
        if value.role in (Role.MODULE, Role.CRITERION):
            return Tensor(frozenset({value}), complete=True)
        sources = frozenset(
            part for thing in (value, *value.captured) if thing.role is not Role.OPTIMIZER for part in (thing,)
        )
        ancestors = frozenset(-thing.number for thing in (value, *value.captured))
        return Tensor(sources, complete=False, ancestors=ancestors)
    if isinstance(value, Group | Table):
        merged = _merge([provenance(item) for item in leaves(value)])
        number = frozenset({-value.number}) if isinstance(value, Group) else frozenset()
        return replace(merged, ancestors=merged.ancestors | number, complete=merged.complete and not value.open)
    if isinstance(value, Params):
        return Tensor(frozenset(value.of), complete=value.complete)
    return Tensor()


def _merge(tensors: Iterable[Tensor]) -> Tensor:
    items = list(tensors)
    graphs = {item.graph for item in items}
    if Attachment.YES in graphs:
        graph = Attachment.YES
    elif graphs == {Attachment.NO}:
        graph = Attachment.NO
    else:
        graph = Attachment.MAYBE
    return Tensor(
        sources=frozenset().union(*(item.sources for item in items)),
        complete=all(item.complete for item in items),
        graph=graph,
        cut=next((item.cut for item in items if item.cut), "") if graph is Attachment.NO else "",
        ancestors=frozenset().union(*(item.ancestors for item in items)),
        divided=any(item.divided for item in items),
        divisor=next((item.divisor for item in items if item.divisor), ""),
        carried=any(item.carried for item in items),
        scaled=any(item.scaled for item in items),
    )


def computed(
    ctx: Context,
    inputs: Iterable[Value | None],
    *,
    through: Thing | None = None,
    known: bool = True,
    mean: bool = False,
    divided: bool = False,
    divisor: str = "",
    attaches: bool = False,
) -> Tensor:
    """The tensor that an operation makes of its inputs.

    `through` is the module that it goes through; `known` says that the operation cannot bring in other modules;
    `mean` and `divided` as in `Tensor`; `attaches` says that the result has a graph whatever the inputs are.
    """
    given = [provenance(item) for item in inputs if not isinstance(item, Const)]
    merged = given[0] if len(given) == 1 else _merge(given)
    graph, cut = merged.graph, merged.cut
    if through is not None or not known:
        graph = Attachment.MAYBE if graph is Attachment.NO else graph
    if attaches:
        graph = Attachment.YES
    elif ctx.grad_off:
        graph, cut = Attachment.NO, ctx.grad_off
    elif graph is not Attachment.NO:
        cut = ""
    # Unknown code may have cut the graph: what it returns is nobody's descendant.
    ancestors = merged.ancestors if known and len(merged.ancestors) < _ANCESTORS else frozenset()
    return Tensor(
        sources=merged.sources | ({through} if through is not None else frozenset()),
        complete=merged.complete and known,
        graph=graph,
        cut=cut,
        ancestors=ancestors | {ctx.new_tensor()},
        born=tuple(ctx.loops),
        mean=mean,
        divided=merged.divided or divided,
        divisor=divisor or merged.divisor,
        carried=merged.carried,
        scaled=merged.scaled,
    )


def detached(ctx: Context, value: Value, how: str) -> Tensor:
    """`value` cut off from its graph: `how` is the expression that cut it, as written."""
    return Tensor(complete=True, graph=Attachment.NO, cut=how, ancestors=frozenset({ctx.new_tensor()}))


_Pairs = dict[tuple[int, int], Value]


def join(first: Value, second: Value, known: _Pairs | None = None) -> Value:
    """What a name stands for where two branches that bound it meet. `known` are pairs of groups that did already."""
    if first is second:
        return first
    if isinstance(first, Ref) and isinstance(second, Ref) and first.dotted == second.dotted:
        return first
    if isinstance(first, FileValue) and isinstance(second, FileValue) and first.file is second.file:
        return first
    if isinstance(first, Const) and isinstance(second, Const):
        return Const(...) if first.value != second.value else first
    # `scaler = GradScaler() if amp else None`: what is used later is the object.
    if isinstance(first, Const) and first.value is None:
        return second
    if isinstance(second, Const) and second.value is None:
        return first
    if isinstance(first, Thing) and isinstance(second, Thing):
        return _join_things(first, second)
    if isinstance(first, Partial) or isinstance(second, Partial):
        either = Thing("", captured=(*things_in(first), *things_in(second)))
        either.runs = True
        return either
    if isinstance(first, Tensor) or isinstance(second, Tensor):
        one, two = provenance(first), provenance(second)
        merged = _merge([one, two])
        if one.graph is not two.graph:
            merged = replace(merged, graph=Attachment.MAYBE, cut="")
        return replace(
            merged,
            born=one.born if one.born == two.born else (),
            mean=one.mean and two.mean,
            divided=one.divided or two.divided,
        )
    if isinstance(first, Params) and isinstance(second, Params):
        of = tuple(dict.fromkeys((*first.of, *second.of)))
        return Params(of, True, first.complete and second.complete)
    if isinstance(first, Group) and isinstance(second, Group) and len(first.items) == len(second.items):
        return _join_groups(first, second, known if known is not None else {})
    if type(first) is type(second) and not isinstance(first, Thing):
        return first if isinstance(first, Table) else Thing("")
    return first if isinstance(first, Thing) and isinstance(second, Const) else Thing("")


def _join_groups(first: Group, second: Group, known: _Pairs) -> Value:
    """The groups element by element: those that are in them more than once meet once."""
    pair = first.number, second.number
    spend(len(first.items) + 1)
    if pair not in known:
        items = [join(a, b, known) for a, b in zip(first.items, second.items, strict=True)]
        known[pair] = Group(items, first.open or second.open)
    return known[pair]


def _join_things(first: Thing, second: Thing) -> Thing:
    """One thing for two that a name stands for in turn: they are used alike from here on."""
    if first.role is second.role or Role.OPAQUE in (first.role, second.role):
        role = first.role if first.role is not Role.OPAQUE else second.role
    else:
        role = Role.OPAQUE
    holds = None
    if first.holds is not None and second.holds is not None:
        holds = tuple(dict.fromkeys((*first.holds, *second.holds)))
    joined = Thing(
        first.label or second.label,
        role,
        parent=first.parent if first.parent is second.parent else None,
        dotted=first.dotted if first.dotted == second.dotted else "",
        holds=holds,
        captured=(first, second),
        cls=first.cls if first.cls is second.cls else None,
    )
    joined.wrapped = first.wrapped or second.wrapped
    joined.clears_itself = first.clears_itself or second.clears_itself
    joined.toggled = first.toggled or second.toggled
    joined.runs = first.runs or second.runs
    return joined
