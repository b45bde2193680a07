"""The making of optimizers as it was: one after the other for the same parameters."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from types import FrameType

from torch.optim.optimizer import Optimizer

from loopguard.case import Case
from loopguard.events import Moment
from loopguard.lifecycles.construction import Mistake
from loopguard.runtime.entries import Entry
from loopguard.runtime.names import name_of
from loopguard.runtime.program import Loop, Program
from loopguard.runtime.verdicts.telling import History, common_loop

_RESETS = re.compile(r"load_state_dict|reset_|\.apply\(|init_|_init\b|deepcopy|clone\(|requires_grad")
"""What is done to a model that begins again from where it was, or of which another part is to be trained."""


def rebuilt(
    history: History, optimizer: Optimizer, made: Entry, before: Entry, step: Entry, frames: Sequence[FrameType]
) -> Case | None:
    """The case of an optimizer that is made in every epoch or for every batch, and forgets what the last one knew."""
    loop = common_loop([made.site, step.site])
    if loop is None:
        return None
    within = [item for item in step.site.loops if item not in made.site.loops]
    if len(within) > 1 or (within and "epoch" not in loop.text.lower()):
        return None  # for a stage, which lasts some epochs, or for a task of its own
    for program, row in made.site.ways:
        if program.gates(row, loop if loop in program.loops(row) else None) or _RESETS.search(_around(program, row)):
            return None
        if loop in program.loops(row):
            break
    name = name_of(optimizer, frames) or type(optimizer).__name__
    at = made.site.event(name)
    trail = (
        Moment(before.site.event(name), "an optimizer over the same parameters", before.iteration),
        Moment(at, "a new optimizer, which remembers nothing", made.iteration),
        Moment(step.site.event(name), "its step", step.iteration),
    )
    return Case(Mistake.REBUILT, name, at, trail, (), {"loop": loop.text, "class": type(optimizer).__name__})


def _around(program: Program, row: int) -> str:
    """The text of the outermost loop around a row in its function, or of the function."""
    loops: list[Loop] = program.loops(row)
    node: ast.AST = loops[0].node if loops else program.scope(row)
    first, last = getattr(node, "lineno", 1), getattr(node, "end_lineno", len(program.lines))
    return "".join(program.lines[first - 1 : last])
