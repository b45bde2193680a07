"""Modes as they were: training that went on in evaluation mode, validation in training mode or with a graph."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import FrameType
from weakref import ref

import torch
from torch import nn
from torch.utils.data import DataLoader

from loopguard.case import Case
from loopguard.events import Moment
from loopguard.lifecycles.mode import Mistake, State
from loopguard.runtime.entries import Entry
from loopguard.runtime.layers import sensitive
from loopguard.runtime.names import name_of, resolve
from loopguard.runtime.program import Loop, inside, span_of
from loopguard.runtime.sites import Site
from loopguard.runtime.verdicts.telling import History, common_loop, innermost

_CALLED = re.compile(r"(?P<module>[\w.\[\]'\"]+?)(?:\.(?:eval|train|forward))?\(")
_DATA = re.compile(r"loader|batches|iterator|_dl\b|^dl$|data_iter|_iter\b", re.IGNORECASE)
_DERIVES = re.compile(r"(?<!zero_)(?<!no_)(?<!enable_)\bgrad\(")

_Comprehension = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp


@dataclass(slots=True, eq=False)
class Evaluation:
    """A module that was switched to evaluation after it had been trained by some accounts in training mode.

    `unrecorded`: autograd recorded nothing at the switch, or when the module was called after it. `learned`: the
    backward passes since.
    """

    module: ref[nn.Module]
    switch: Entry
    trained: frozenset[int]
    unrecorded: bool
    state: State = State.EVAL
    learned: list[Entry] = field(default_factory=list)


def not_restored(
    seen: Evaluation, module: nn.Module, step: Entry, history: History, frames: Sequence[FrameType]
) -> Case | None:
    """The case of training that goes on in the mode that an evaluation has left behind."""
    site = seen.switch.site
    loop = common_loop([site, step.site])
    if loop is None or any(part.training for part in module.modules()) or not any(sensitive(module)):
        return None  # what is in training mode was switched by somebody who knows the rest is not
    learns = seen.learned[-1]
    if not (seen.unrecorded or _goes_over_data(site, history, frames) or _comes_last(site, learns.site, loop)):
        return None  # at the start of an iteration, to train in this mode from now on
    name = _name(module, site, frames)
    at = site.event(name)
    trail = (
        Moment(at, "switched to evaluation", seen.switch.iteration),
        Moment(learns.site.event(name), "training goes on in evaluation mode", learns.iteration),
    )
    facts = {"loop": loop.text, "learn": learns.site.text}
    return Case(Mistake.NOT_RESTORED, name, at, trail, (), facts)


def over_data(
    evaluation: Evaluation | None,
    module: nn.Module,
    forward: Entry,
    chosen: bool,
    switched_back: Site | None,
    history: History,
    frames: Sequence[FrameType],
) -> Case | None:
    """The case of a pass over data from which nothing is learned: in training mode, or in `evaluation` with a graph.

    Training mode may have been `chosen` for it, unless that has `switched_back` within the pass what was right.
    """
    loop = innermost(forward.site)
    if loop is None or not _walks_over_batches(loop, frames) or _learns(loop, history):
        return None
    name = _name(module, forward.site, frames)
    at = forward.site.event(name)
    if evaluation is not None:
        if any(_DERIVES.search(line) for program, _ in forward.site.ways for line in program.lines):
            return None
        trail = (
            Moment(evaluation.switch.site.event(name), "switched to evaluation", evaluation.switch.iteration),
            Moment(at, "a graph is recorded for nobody", forward.iteration),
        )
        return Case(Mistake.BUILDS_GRAPH, name, at, trail, (), {"loop": loop.text})
    if chosen and (switched_back is None or loop not in switched_back.loops):
        return None
    if not any(part.training for part in sensitive(module)) or _is_dropped(forward.site):
        return None  # nothing depends on the mode, or the running statistics are all that is wanted
    trained = max(
        (entry for entry in history.backwards.values() if entry.site.loops),
        key=lambda entry: entry.number,
        default=None,
    )
    if trained is None:
        return None
    moments = (
        Moment(trained.site.event(name), "trained, in training mode", trained.iteration),
        Moment(at, "validation, still in training mode", forward.iteration),
    )
    return Case(Mistake.NOT_EVAL, name, at, moments, (), {"loop": loop.text})


def _is_dropped(site: Site) -> bool:
    """Whether nobody takes what a call returns."""
    program, row = site.ways[0]
    return any(
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Call)
        and program.place(span_of(node.value)) == site.place
        for node in inside(program.scope(row))
    )


def _name(module: nn.Module, site: Site, frames: Sequence[FrameType]) -> str:
    """What the user calls a module where it is switched or called."""
    match = _CALLED.match(site.text)
    found = name_of(module, frames)
    if match is not None and (found is None or module is not _called(match["module"], frames)):
        return found or match["module"]
    return match["module"] if match is not None else found or type(module).__name__


def _called(text: str, frames: Sequence[FrameType]) -> object:
    try:
        return resolve(ast.parse(text, mode="eval").body, frames)
    except SyntaxError:
        return None


def _learns(loop: Loop, history: History) -> bool:
    """Whether there is a backward pass or a step in a loop."""
    sites = [*history.backwards, *(site for account in history.accounts.values() for site in account.step_sites)]
    return any(loop in site.loops for site in sites)


def _goes_over_data(site: Site, history: History, frames: Sequence[FrameType]) -> bool:
    """Whether a loop over batches that learns nothing follows a switch in its function."""
    program, row = site.ways[0]
    learning = [at for backward in history.backwards for other, at in backward.ways if other is program]
    for node in inside(program.scope(row)):
        parts = node.generators if isinstance(node, _Comprehension) else [node]
        for part in parts:
            if not isinstance(part, ast.For | ast.AsyncFor | ast.comprehension) or part.iter.lineno < row:
                continue
            last = getattr(part, "end_lineno", None) or part.iter.lineno
            if _is_data(part.iter, frames) and not any(part.iter.lineno <= at <= last for at in learning):
                return True
    return False


def _comes_last(switch: Site, learns: Site, loop: Loop) -> bool:
    """Whether a switch stands behind the backward pass in an iteration of a loop."""
    rows = [next(row for program, row in site.ways if loop in program.loops(row)) for site in (switch, learns)]
    return rows[0] > rows[1]


def _walks_over_batches(loop: Loop, frames: Sequence[FrameType]) -> bool:
    return not isinstance(loop.node, ast.While) and _is_data(loop.node.iter, frames)


def _is_data(expression: ast.expr, frames: Sequence[FrameType]) -> bool:
    """Whether an expression stands for batches of data."""
    text = ast.unparse(expression)
    if isinstance(expression, ast.Call):
        if isinstance(expression.func, ast.Name) and expression.func.id == "range":
            return False
        return _DATA.search(text) is not None or any(_is_data(item, frames) for item in expression.args)
    value = resolve(expression, frames)
    if isinstance(value, DataLoader):
        return True
    if isinstance(value, list | tuple) and value and isinstance(value[0], tuple | list | dict):
        items = value[0].values() if isinstance(value[0], dict) else value[0]
        return any(isinstance(item, torch.Tensor) and item.ndim > 0 for item in items)
    return not isinstance(value, torch.Tensor) and _DATA.search(text) is not None
