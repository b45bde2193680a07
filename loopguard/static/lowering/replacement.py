"""What becomes of parameters that an optimizer may hold: frozen, thawed, replaced, sharded.

https://docs.pytorch.org/docs/stable/optim.html#constructing-it
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import libcst as cst

from loopguard.events import Kind, Relation
from loopguard.static.lowering.context import Context
from loopguard.static.paths.relations import covers
from loopguard.static.syntax import text_of
from loopguard.static.values import Const, Params, Role, Thing, Value, things_in

REBOUND = "the name is another module's"
"""How the replacement of a module by another one of its name is marked: the old one may live on elsewhere."""

_WITH_PARAMETERS = re.compile(
    r"\bnn\.(?:Linear|Bilinear|Conv|LazyLinear|LazyConv|Embedding|LSTM|GRU|RNN|Multihead|Transformer)"
)


def part(ctx: Context, target: cst.BaseExpression, owner: Thing, value: Value, *, old: Value | None) -> None:
    """Note that a part of `owner`, up to here `old`, is going to be the module `value`."""
    if value is old or not isinstance(value, Thing) or value.role is not Role.MODULE:
        return
    thaw([owner])
    # What the optimizer was given beforehand, or has no parameters, is no loss.
    if value.call is not None and _WITH_PARAMETERS.search(text_of(value.call)) and not _takers(ctx, value):
        whole(ctx, target, owner)


def rebound(ctx: Context, node: cst.CSTNode, old: Value | None, value: Value) -> None:
    """Note that the name of the module `old`, which an optimizer may hold, goes over to another module."""
    if not isinstance(old, Thing) or not isinstance(value, Thing) or value is old or not value.known:
        return
    if old.role is value.role is Role.MODULE and _takers(ctx, old) and not _takers(ctx, value):
        ctx.emit(Kind.REPLACE, node, old, via=REBOUND)


def whole(ctx: Context, node: cst.CSTNode, owner: Thing) -> None:
    """Note that parameters of `owner` are others from here on, if an optimizer has taken the old ones."""
    if _takers(ctx, owner):
        ctx.emit(Kind.REPLACE, node, owner)


def _takers(ctx: Context, owner: Thing) -> bool:
    """Whether an optimizer has been built over all the parameters of `owner`."""
    return any(
        isinstance(event.target, Thing)
        and any(covers(held, owner) is Relation.WHOLE for held in event.target.holds or ())
        for event in ctx.graph.events(Kind.BUILD)
    )


def freeze(ctx: Context, owner: Value, value: Value) -> None:
    """Note `requires_grad = value` for parameters: certain only if it is done to all of them, whatever happens."""
    things = owner.of if isinstance(owner, Params) else (owner,) if isinstance(owner, Thing) else ()
    off = isinstance(value, Const) and value.value is False
    entire = not (isinstance(owner, Params) and (owner.partial or not owner.complete))
    if off and entire and not ctx.guards and not ctx.silent:
        for thing in things:
            thing.frozen = True
    elif not off:
        thaw(things)


def thaw(things: Iterable[Thing]) -> None:
    """Note that some parameters of these things may be trained."""
    for thing in things:
        for other in (thing, *thing.owners(), *thing.parts()):
            other.frozen = False


def handed_over(values: Iterable[Value]) -> None:
    """Note that code which is not read gets these values: it may add parameters to what is frozen, or thaw some."""
    thaw(thing for value in values for thing in things_in(value) if is_frozen(thing))


def is_frozen(held: Thing) -> bool:
    """Whether all parameters of a module are frozen."""
    thing: Thing | None = held
    while thing is not None:
        if thing.frozen:
            return True
        thing = thing.parent
    return False
