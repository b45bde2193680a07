"""Learning-rate schedulers and distributed samplers: made, moved on, told the epoch.

https://docs.pytorch.org/docs/stable/optim.html#how-to-adjust-learning-rate
"""

from __future__ import annotations

import libcst as cst

from loopguard.events import Kind
from loopguard.static.lowering.arguments import Arguments
from loopguard.static.lowering.context import Context
from loopguard.static.values import Const, Role, Thing, Value, things_in


def scheduler(ctx: Context, node: cst.Call, dotted: str, arguments: Arguments) -> Thing:
    """A new scheduler of the class `dotted`."""
    things = tuple(dict.fromkeys(thing for value in arguments.values for thing in things_in(value)))
    made = Thing("", Role.SCHEDULER, dotted=dotted, captured=things, known=True)
    made.call = node
    ctx.emit(Kind.BUILD, node, made)
    return made


def sampler(ctx: Context, node: cst.Call, dotted: str) -> Thing:
    """A new distributed sampler."""
    made = Thing("", Role.DATA, dotted=dotted, known=True)
    made.call = node
    ctx.emit(Kind.BUILD, node, made)
    return made


def loader(arguments: Arguments) -> Thing:
    """A new loader, which draws from the samplers that it is given."""
    samplers = (arguments.keywords.get("sampler"), arguments.keywords.get("batch_sampler"))
    return Thing("", Role.DATA, captured=tuple(thing for given in samplers for thing in things_in(given)), known=True)


def set_epoch(ctx: Context, node: cst.Call, owner: Value, arguments: Arguments) -> Value | None:
    """Lower `sampler.set_epoch(epoch)`, whatever it is called on."""
    ctx.emit(Kind.EPOCH, node, owner if isinstance(owner, Thing) else None)
    return Const(None)
