"""Courses: how far each optimizer has got in the lifecycles of scaling and clipping, and the events that led there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from types import FrameType
from typing import Any
from weakref import ref

import torch
from torch import Tensor
from torch.optim.optimizer import Optimizer

from loopguard.case import Case
from loopguard.events import Kind, Moment
from loopguard.lifecycles import clipping, scaling
from loopguard.runtime.docket import Docket
from loopguard.runtime.gradients import parameters_of
from loopguard.runtime.ledger import Entry
from loopguard.runtime.names import name_of
from loopguard.runtime.progress import Progress
from loopguard.runtime.sites import Sites
from loopguard.runtime.verdicts.telling import common_loop


@dataclass(slots=True, eq=False)
class Course:
    """One optimizer: the scale of its gradients, and whether a step has used them. None is what nobody knows.

    `stages` is how far each scaler has got with it. `scaled_by` is the scaler that is stepping it now, `asked` where.
    The clips are those of which it has to be seen yet what comes of them.
    """

    optimizer: ref[Optimizer]
    number: int
    scale: scaling.Scale | None
    gradients: clipping.State | None
    stages: dict[int, scaling.Stage] = field(default_factory=dict)
    scaled_by: ref[Any] | None = None
    asked: Entry | None = None
    backward: Entry | None = None
    last_step: Entry | None = None
    unscaled: Entry | None = None
    scaled_clip: Entry | None = None
    late_clip: Entry | None = None
    early_clip: Entry | None = None

    def forget(self) -> None:
        """Know nothing any more of the gradients."""
        self.scale = self.gradients = None
        self.scaled_clip = self.late_clip = self.early_clip = None


class Courses:
    """The courses of all optimizers, and how to tell of them."""

    def __init__(self, docket: Docket, sites: Sites, progress: Progress) -> None:
        self._docket = docket
        self._sites = sites
        self._now = progress
        self._courses: dict[int, Course] = {}
        self._count = 0
        self._touched: dict[tuple[int, int], tuple[ref[torch.nn.Module], list[Course]]] = {}

    @property
    def all(self) -> list[Course]:
        """Every course of an optimizer that is still there."""
        gone = [key for key, course in self._courses.items() if course.optimizer() is None]
        for key in gone:
            del self._courses[key]
        return list(self._courses.values())

    def of(self, optimizer: Optimizer) -> Course:
        """The course of an optimizer, which begins when it is first heard of."""
        course = self._courses.get(id(optimizer))
        if course is None or course.optimizer() is not optimizer:
            self._count += 1
            clean = all(p.grad is None for p in parameters_of(optimizer))
            scale = scaling.Scale.CLEAN if clean else None
            gradients = clipping.State.CLEAN if clean else None
            course = self._courses[id(optimizer)] = Course(ref(optimizer), self._count, scale, gradients)
            self._touched.clear()
        return course

    def touched_by(self, owner: Optimizer | torch.nn.Module) -> list[Course]:
        """The courses whose gradients are all cleared where those of `owner` are."""
        if isinstance(owner, Optimizer):
            course = self._courses.get(id(owner))
            return [course] if course is not None and course.optimizer() is owner else []
        key = (id(owner), self._count)
        known = self._touched.get(key)
        if known is None or known[0]() is not owner:
            cleared = {id(p) for p in owner.parameters()}
            found = [course for course in self.all if _held(course) <= cleared]
            known = self._touched[key] = (ref(owner), found)
        return known[1]

    def holding(self, parameters: Sequence[Tensor]) -> list[Course]:
        """The courses of the optimizers that hold some of these parameters."""
        given = {id(p) for p in parameters}
        return [course for course in self.all if not given.isdisjoint(_held(course))]

    def enter(self, kind: Kind, subject: int, frame: FrameType) -> Entry:
        """An event: where it is, and in which iteration."""
        return self._now.enter(self._sites.at(kind, frame), subject)

    def name(self, thing: object, frame: FrameType) -> str:
        """What the user calls something."""
        return name_of(thing, self._sites.user_frames(frame)) or type(thing).__name__

    def lines_of(self, entry: Entry) -> str:
        """The text of the file in which an event is written."""
        program, _ = entry.site.ways[0]
        return "".join(program.lines)

    def tell(
        self,
        mistake: Enum,
        thing: object,
        at: Entry,
        told: Sequence[tuple[Entry | None, str]],
        frame: FrameType | None,
        facts: Mapping[str, str] | None = None,
        *,
        in_loop: bool = True,
        name: str = "",
    ) -> None:
        """Let the rules name a mistake about `thing`, with the events that led to it as evidence."""

        def verdict() -> Case | None:
            entries = [entry for entry, _ in told if entry is not None]
            loop = common_loop([entry.site for entry in entries]) if entries else None
            if in_loop and loop is None:
                return None
            subject = name or (self.name(thing, frame) if frame is not None else type(thing).__name__)
            trail = tuple(
                Moment(entry.site.event(subject), note, entry.iteration) for entry, note in told if entry is not None
            )
            around = {"loop": loop.text} if loop is not None else {}
            return Case(mistake, subject, at.site.event(subject), trail, (), {**around, **(facts or {})})

        if frame is None:
            self._docket.file(verdict(), None)
        else:
            self._docket.ask((-1, mistake, at.site), verdict, frame)


def _held(course: Course) -> set[int]:
    optimizer = course.optimizer()
    return set() if optimizer is None else {id(p) for p in parameters_of(optimizer) if p.requires_grad}
