"""Optimizers made on a graph: anew in every epoch, or over parameters that are replaced later, or frozen."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from loopguard.case import Case
from loopguard.events import Kind, Relation
from loopguard.lifecycles import construction, coverage
from loopguard.static.caches import remembered
from loopguard.static.lowering.replacement import REBOUND
from loopguard.static.paths.graph import FlowGraph, Happening, Loop, text_around
from loopguard.static.paths.guards import behind, guard_keys, innermost
from loopguard.static.paths.relations import covers, feeds
from loopguard.static.scope import File
from loopguard.static.steps import spend
from loopguard.static.values import Role, Thing
from loopguard.static.verdicts import evidence
from loopguard.static.verdicts.courses import case_of
from loopguard.static.wording import OF_TEXTS, Wording

_RESETS = re.compile(
    r"load_state_dict|reset|\.apply\(|init_|_init\b|deepcopy|clone\(|requires_grad|freeze|thaw|grow|expand|prune"
    r"|add_(?:module|layer|block|adapter|neuron|head)|replace_|append\(nn"
)
"""What is done to a model that begins again from where it was, or of which another part is to be trained."""

_TAKES_NEW = Wording(r"""add_param_group|\[['"]params['"]\]\s*=""", size=OF_TEXTS)
"""How an optimizer is given other parameters than it was made with."""

_THAWS = Wording(
    r"requires_grad\s*=(?!\s*False|=)|requires_grad_\((?!\s*(?:requires_grad\s*=\s*)?False)|unfreeze|thaw",
    size=OF_TEXTS,
)


def construction_cases(file: File, graph: FlowGraph) -> Iterator[Case]:
    """The cases about the making of the optimizers on `graph`."""
    if not graph.kinds >= {Kind.BUILD, Kind.STEP}:
        return
    for built in graph.events(Kind.BUILD):
        optimizer = built.target
        if not isinstance(optimizer, Thing) or optimizer.role is not Role.OPTIMIZER:
            continue
        if not optimizer.dotted.startswith("torch.optim.") or optimizer.holds is None:
            continue
        steps = graph.events(Kind.STEP, where=optimizer)
        case = (
            _rebuilt(file, built, optimizer, steps)
            or _replaced(file, graph, built, optimizer, steps)
            or _frozen(file, built, optimizer, steps)
        )
        if case is not None:
            yield case


def _rebuilt(file: File, built: Happening, optimizer: Thing, steps: Sequence[Happening]) -> Case | None:
    """An optimizer made in a loop over parameters that are there longer than an iteration."""
    name = optimizer.dotted.rsplit(".", 1)[-1]
    if name in construction.STATELESS and "momentum" not in built.text:
        return None
    for loop in built.loops:
        inside = [event for event in steps if loop in event.loops and event.number > built.number]
        # A loop over loaders, each with a loop of its own over batches, goes from task to task.
        repeats = "epoch" in loop.text.lower() or (loop.batches and any(innermost(step) is loop for step in inside))
        if not inside or not repeats or guard_keys(built, loop) or _begins_again(loop):
            continue
        if all(_outlives(part, loop) for part in optimizer.holds or ()):
            return case_of(
                file,
                construction.Mistake.REBUILT,
                optimizer.label,
                built,
                [built, inside[0]],
                loop=loop,
                notes={Kind.BUILD: "a new optimizer, which remembers nothing", Kind.STEP: "its step"},
                facts={"class": name},
            )
    return None


@remembered
def _begins_again(loop: Loop) -> bool:
    """Whether the text of a loop resets a model, or goes on with another part of it."""
    return _RESETS.search(text_around(loop)) is not None


def _outlives(part: Thing, loop: Loop) -> bool:
    """Whether a module is surely the same in every iteration of a loop."""
    if not part.label or not part.label.replace(".", "").replace("_", "").isalnum():
        return False
    names = {thing.label for thing in (part, *part.owners())} | {part.label.split(".")[0]}
    ends = tuple(f":{name}" for name in names) + tuple(f".{name.rsplit('.', 1)[-1]}" for name in names)
    spend(len(loop.assigned))
    return not any(storage.endswith(ends) for storage in loop.assigned)


def _replaced(
    file: File, graph: FlowGraph, built: Happening, optimizer: Thing, steps: Sequence[Happening]
) -> Case | None:
    """A part of the model that is replaced when the optimizer has taken its parameters."""
    if _TAKES_NEW.search(file.source.text):
        return None
    for event in behind(graph.events(Kind.REPLACE), built.number):
        owner = event.target
        if not isinstance(owner, Thing):
            continue
        later = [step for step in behind(steps, event.number) if step.loops]
        if not later or event.loops or guard_keys(event, None) - guard_keys(later[0], None):
            continue
        if event.via == REBOUND and any(_is_fed(graph, owner)):
            continue
        if any(covers(part, owner) is Relation.WHOLE for part in optimizer.holds or ()):
            return case_of(
                file,
                construction.Mistake.REPLACED,
                optimizer.label,
                later[0],
                [built, event, later[0]],
                loop=innermost(later[0]),
                notes={Kind.BUILD: "the optimizer takes the parameters", Kind.STEP: "the old ones are stepped"},
                facts={"replaced": evidence.short(event.text)},
            )
    return None


def _is_fed(graph: FlowGraph, module: Thing) -> Iterator[bool]:
    """For each backward pass, whether it may deposit into a module."""
    for event in graph.events(Kind.BACKWARD):
        yield event.loss is None or feeds(event.loss, module) is not Relation.OTHER


def _frozen(file: File, built: Happening, optimizer: Thing, steps: Sequence[Happening]) -> Case | None:
    """An optimizer that is made over parameters of which every one is frozen, for good."""
    inside = [event for event in steps if event.loops]
    if not optimizer.frozen or not inside or _THAWS.search(file.source.text):
        return None
    return case_of(
        file,
        coverage.Mistake.FROZEN,
        optimizer.label,
        inside[0],
        [built, inside[0]],
        loop=innermost(inside[0]),
        notes={Kind.BUILD: "made over frozen parameters", Kind.STEP: "a step that changes nothing"},
    )
