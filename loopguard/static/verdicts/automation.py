"""Backward passes and steps by hand in a method of which a framework does the rest by itself."""

from __future__ import annotations

from collections.abc import Iterator

import libcst as cst

from loopguard.case import Case
from loopguard.events import Kind
from loopguard.lifecycles.automation import Mistake
from loopguard.static.collected import leaves
from loopguard.static.frameworks import Driven
from loopguard.static.library import OPTIMIZER_NAME
from loopguard.static.lowering.context import Context
from loopguard.static.lowering.tensors import provenance
from loopguard.static.paths.graph import Happening
from loopguard.static.scope import File
from loopguard.static.syntax import text_of
from loopguard.static.values import Attachment, Tensor, things_in
from loopguard.static.verdicts.courses import case_of


def automation_cases(file: File, ctx: Context) -> Iterator[Case]:
    """The case that a driven method makes of what it does by hand, if it does anything."""
    driving = ctx.driving
    if driving is None or not driving.automatic:
        return
    driven = driving.driven
    events = ctx.graph.events()
    steps = [event for event in events if event.kind is Kind.STEP and _is_own(event, driven)]
    returned = [provenance(value) for value in leaves(ctx.result)]
    backwards = [
        event
        for event in events
        if driven.backs and event.kind is Kind.BACKWARD and (_is_manual(event) or _is_returned(event, returned))
    ]
    if not steps and not backwards:
        return
    clears = [event for event in events if event.kind is Kind.CLEAR and _is_own(event, driven)]
    told = sorted([*steps, *backwards, *clears], key=lambda event: event.number)
    at = (steps or backwards)[0]
    notes = {Kind.STEP: "a step by hand", Kind.BACKWARD: "a backward pass by hand", Kind.CLEAR: "a clear by hand"}
    facts = {"framework": driven.framework, "method": driven.method}
    case = case_of(file, Mistake.BY_HAND, _subject(at), at, told, notes=notes, facts=facts)
    if case is not None:
        yield case


def _subject(event: Happening) -> str:
    return next((thing.label for thing in things_in(event.target)), "loss")


def _is_own(event: Happening, driven: Driven) -> bool:
    """Whether an event is about an optimizer that the framework steps."""
    things = [other for thing in things_in(event.target) for other in (thing, *thing.owners(), *thing.captured)]
    return any(driven.own.search(thing.label) for thing in things)


def _is_manual(event: Happening) -> bool:
    """Whether a backward pass is `self.manual_backward(loss)`. Lightning before 1.2 took the optimizer, too."""
    node = event.site.node
    return (
        isinstance(node, cst.Call)
        and text_of(node.func) == "self.manual_backward"
        and not any(OPTIMIZER_NAME.search(text_of(argument.value)) for argument in node.args[1:])
    )


def _is_returned(event: Happening, returned: list[Tensor]) -> bool:
    """Whether the loss of a backward pass is what the method returns, so that the framework takes it once more."""
    if event.loss is None or not event.loss.ancestors:
        return False
    # Tensors count up from 1; things that may be tensors, down from -1.
    newest = max(event.loss.ancestors)
    number = newest if newest > 0 else min(event.loss.ancestors)
    return any(number in tensor.ancestors and tensor.graph is not Attachment.NO for tensor in returned)
