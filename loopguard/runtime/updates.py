"""Updates: what belongs to an optimizer's step beside its gradients: loss scaling, clips, learning-rate schedules.

A listener of its own. It sleeps until the first scaler, clip or schedule is heard of, so that a training without any
pays nothing. Awake, it leads each optimizer through the lifecycles of scaling, clipping and schedules, whose tables
the static engine uses, too. Where an optimizer's state is not known for certain, it is None, and nothing is told.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any
from weakref import ref

import torch
from torch.optim.optimizer import Optimizer

from loopguard.events import Kind
from loopguard.runtime.clips import Clips
from loopguard.runtime.courses import Course, Courses
from loopguard.runtime.docket import Docket
from loopguard.runtime.listener import Listener
from loopguard.runtime.names import optimizers_alive
from loopguard.runtime.progress import Progress
from loopguard.runtime.scaling import Scaling
from loopguard.runtime.schedules import Schedules
from loopguard.runtime.sites import Sites


class Updates(Listener):
    """Hears of updates. `failed` is called with what has gone wrong, once. With `only`, other optimizers are none."""

    def __init__(
        self, docket: Docket, failed: Callable[[BaseException], None], only: Sequence[Optimizer] | None = None
    ) -> None:
        self.sites = Sites()
        self._failed = failed
        self._only = None if only is None else [ref(optimizer) for optimizer in only]
        self._courses = Courses(docket, self.sites, Progress())
        self._scaling = Scaling(self._courses)
        self._clips = Clips(self._courses)
        self._schedules = Schedules(self._courses)
        self._is_awake = False
        self._nested = 0

    def fail(self, error: BaseException) -> None:
        """A bug of the guard ends the guard, not the training."""
        self._is_awake = False
        self._failed(error)

    def conclude(self, error: BaseException | None) -> None:
        """The verdicts that only the end can give."""
        if self._is_awake:
            self._schedules.conclude(error)

    # The gradients' own events.

    def made(self, optimizer: Optimizer) -> None:
        """An optimizer is there."""
        if self._is_awake:
            self._course(optimizer)

    def backward_begins(self, roots: Sequence[Any]) -> None:
        """Gradients are about to be computed."""
        if not self._is_awake:
            return
        self._nested += 1
        if self._nested == 1:
            entry = self._courses.enter(Kind.BACKWARD, 0, sys._getframe(1))
            self._scaling.backward(roots, entry)
            self._clips.backward(entry)

    def backward_ends(self, error: BaseException | None) -> None:
        """Gradients have been computed, or could not be."""
        self._nested = max(0, self._nested - 1)

    def cleared(self, owner: Optimizer | torch.nn.Module) -> None:
        """Gradients have been cleared."""
        if not self._is_awake:
            return
        frame = sys._getframe(1)
        for course in self._courses.touched_by(owner):
            entry = self._courses.enter(Kind.CLEAR, course.number, frame)
            self._scaling.cleared(course)
            self._clips.cleared(course, entry, frame)

    def step_begins(self, optimizer: Optimizer, closure: Callable[[], Any] | None) -> Callable[[], Any] | None:
        """An optimizer is about to step, by itself or through a scaler, which has been told then."""
        if self._is_awake and (course := self._course(optimizer)) is not None and closure is None:
            self._step(course, sys._getframe(1))
        elif self._is_awake and course is not None:
            course.forget()  # what a closure does is its own affair
        return closure

    def scaled_step_ends(self, optimizer: Optimizer, error: BaseException | None) -> None:
        """A scaler has stepped an optimizer, or skipped the step: it has used up the gradients all the same."""
        if self._is_awake and (course := self._course(optimizer)) is not None:
            if course.scaled_by is not None and error is None:
                self._step(course, sys._getframe(1))
            course.scaled_by = None

    def _step(self, course: Course, frame: FrameType) -> None:
        through_scaler = course.scaled_by is not None
        entry = course.asked if through_scaler else self._courses.enter(Kind.STEP, course.number, frame)
        if entry is None:
            return
        if not through_scaler:
            self._scaling.stepped(course, entry, frame)
        course.scaled_by = course.asked = None
        self._clips.stepped(course, entry, frame)
        self._schedules.optimizer_stepped(course, entry, frame)
        course.last_step = entry

    # Those of scalers, clips and schedules.

    def scaler_made(self, scaler: Any) -> None:
        """Losses will be multiplied."""
        self._wake()

    def scaled(self, scaler: Any, losses: Any) -> None:
        """Losses have been multiplied."""
        self._wake()
        self._scaling.scaled(losses)

    def unscales(self, scaler: Any, optimizer: Optimizer, *, stepping: bool) -> None:
        """Gradients are about to be divided, by themselves or for a step."""
        self._wake()
        course = self._course(optimizer)
        if course is None:
            return
        frame = sys._getframe(1)
        entry = self._courses.enter(Kind.STEP if stepping else Kind.UNSCALE, course.number, frame)
        if stepping:
            course.scaled_by, course.asked = ref(scaler), entry
            self._scaling.scaler_steps(scaler, course, entry, frame)
        else:
            self._scaling.unscales(scaler, course, entry, frame)

    def updated(self, scaler: Any) -> None:
        """A scale has been changed."""
        self._wake()
        self._scaling.updated(scaler)

    def clips(self, parameters: Sequence[torch.Tensor], bound: Any) -> None:
        """Gradients are about to be bounded."""
        self._wake()
        frame = sys._getframe(1)
        if self._clips.is_a_measure(bound):
            return
        touched = self._courses.holding(parameters)
        entry = self._courses.enter(Kind.CLIP, touched[0].number if touched else 0, frame)
        for course in touched:
            self._scaling.clipped(course, entry)
            self._clips.clipped(course, entry)
        if not touched and parameters:
            self._clips.clipped_nothing(entry)

    def schedule_made(self, schedule: Any) -> None:
        """A schedule is there."""
        self._wake()
        course = self._course(getattr(schedule, "optimizer", None))
        if course is not None:
            self._schedules.made(schedule, course, sys._getframe(1))

    def schedule_moves(self, schedule: Any, given: int) -> None:
        """A schedule is about to move."""
        self._wake()
        course = self._course(getattr(schedule, "optimizer", None))
        if course is not None:
            self._schedules.moves(schedule, course, given, sys._getframe(1))

    def _wake(self) -> None:
        if not self._is_awake:
            self._is_awake = True
            for optimizer in optimizers_alive():
                self._course(optimizer)

    def _course(self, optimizer: object) -> Course | None:
        if not isinstance(optimizer, Optimizer):
            return None
        if self._only is not None and not any(wanted() is optimizer for wanted in self._only):
            return None
        return self._courses.of(optimizer)
