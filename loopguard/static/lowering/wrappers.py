"""What frameworks make: accelerators and what they wrap, engines, optimizers that a module gets from its trainer."""

from __future__ import annotations

import libcst as cst

from loopguard.static.frameworks import (
    ACCELERATOR_NAME,
    ACCELERATORS,
    ENGINES,
    INITIALIZES,
    OWN_OPTIMIZERS,
    OWN_SCHEDULERS,
    PREPARES,
    PROCESSES,
    SCALES_LOSS,
    TOGGLES,
    WINDOW_SIZE,
)
from loopguard.static.lowering.arguments import Arguments
from loopguard.static.lowering.context import Context
from loopguard.static.syntax import text_of
from loopguard.static.values import Bound, Const, Function, Group, Role, Thing, Value, things_in


def made_by_method(owner: Thing, name: str, arguments: Arguments) -> Value | None:
    """What the method `name` of an accelerator or of a module makes, or None if it is nothing that is known here."""
    if name == SCALES_LOSS and arguments.positional:
        return arguments.positional[0]
    if name in PREPARES and (owner.role is Role.ACCELERATOR or ACCELERATOR_NAME.search(owner.label)):
        return _prepared(arguments)
    if owner.role not in (Role.INSTANCE, Role.MODULE):
        return None
    if name in (OWN_OPTIMIZERS, OWN_SCHEDULERS) and not arguments.values:
        made = owner.child(f"{name}()")
        if isinstance(made, Thing):
            made.role = Role.OPTIMIZER if name == OWN_OPTIMIZERS else Role.SCHEDULER
        return made
    return Const(None) if name in TOGGLES and arguments.values else None


def _prepared(arguments: Arguments) -> Value:
    for value in arguments.values:
        for thing in things_in(value):
            thing.wrapped = True
    return (
        arguments.positional[0] if len(arguments.positional) == 1 else Group(list(arguments.positional), arguments.open)
    )


def made_by_framework(ctx: Context, node: cst.Call, dotted: str, arguments: Arguments) -> Value | None:
    """What a framework's function or class `dotted` makes, or None if it is nothing that is known here."""
    if dotted in ACCELERATORS or dotted.rsplit(".", 1)[-1] == "Fabric":
        for argument in node.args:
            if argument.keyword is not None and argument.keyword.value == WINDOW_SIZE:
                ctx.graph.window_sizes.add(text_of(argument.value))
        return Thing("", Role.ACCELERATOR, known=True)
    if dotted in ENGINES:
        things = tuple(dict.fromkeys(thing for value in arguments.values for thing in things_in(value)))
        engine = Thing("", Role.ENGINE, known=True, captured=things)
        engine.clears_itself = True
        optimizer = Thing("", captured=(engine,))
        optimizer.clears_itself = True  # that of ZeRO's third stage does
        return Group([engine, optimizer, Thing("", Role.DATA), Thing("", Role.SCHEDULER)])
    if dotted in INITIALIZES:
        given = arguments.positional
        return Group(list(given)) if len(given) > 1 else given[0] if given else None
    if dotted.rsplit(".", 1)[-1] == SCALES_LOSS and arguments.positional:
        return arguments.positional[0]
    if dotted in PROCESSES:
        process = arguments.get(0, "process_function")
        if isinstance(process, Function | Bound):
            ctx.processes.append(process)
    return None
