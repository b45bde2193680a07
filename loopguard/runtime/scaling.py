"""Loss scaling as it happens: which gradients are scaled, and how far each scaler is with each optimizer.

The lifecycle is `loopguard.lifecycles.scaling`. Whether a backward pass starts from a scaled loss is seen at a mark on
the loss's node of the graph, which goes when the graph goes; nothing is kept alive and no value is looked at.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from types import FrameType
from typing import Any

from torch import Tensor

from loopguard.lifecycles.scaling import SCALES, STAGES, Action, Mistake, Scale, Stage
from loopguard.runtime.courses import Course, Courses
from loopguard.runtime.ledger import Entry

_MARK = "loopguard.scaled"
_FAR = 64
"""How many nodes of a graph are looked at for a mark."""

_BY_HAND = re.compile(r"\.grad\.(?:data\.)?(?:mul_|div_)|\.grad\s*[*/]?=|inv_scale|get_scale\(\)|_foreach_(?:mul|div)_")
"""What a text shows that unscales gradients itself."""

_NOTES = {
    Action.BACKWARD: "gradients computed",
    Action.SCALED_BACKWARD: "gradients of the scaled loss",
}


class Scaling:
    """The scale of every optimizer's gradients, and the stage of every scaler with it."""

    def __init__(self, courses: Courses) -> None:
        self._courses = courses
        self._fresh = False  # losses were scaled, and no backward pass has come since

    def scaled(self, losses: Any) -> None:
        """Losses have been multiplied with a scale."""
        self._fresh = True
        for loss in losses if isinstance(losses, list | tuple) else [losses]:
            if isinstance(loss, Tensor) and loss.grad_fn is not None:
                _metadata(loss.grad_fn)[_MARK] = True

    def backward(self, roots: Sequence[Any], entry: Entry) -> None:
        """Gradients are about to be computed: which optimizers get them, nobody says."""
        action: Action | None = Action.BACKWARD
        if self._fresh or any(_is_marked(root) for root in roots):
            action = Action.SCALED_BACKWARD if any(_is_marked(root) for root in _near(roots)) else None
        self._fresh = False
        for course in self._courses.all:
            mixed = {(Scale.PLAIN, Action.SCALED_BACKWARD), (Scale.SCALED, Action.BACKWARD)}
            unsure = action is None or course.scale is None or (course.scale, action) in mixed
            course.scale = None if unsure or action is None else SCALES[course.scale or Scale.CLEAN, action][0]
            course.backward = entry

    def cleared(self, course: Course) -> None:
        """The gradients of an optimizer are gone."""
        course.scale = SCALES[course.scale or Scale.CLEAN, Action.CLEAR][0]
        course.scaled_clip = None

    def clipped(self, course: Course, entry: Entry) -> None:
        """Gradients of an optimizer are about to be clipped, which matters if it steps."""
        if self._apply(course, Action.CLIP) is Mistake.CLIPPED_SCALED and not self._by_hand(entry):
            course.scaled_clip = entry

    def unscales(self, scaler: Any, course: Course, entry: Entry, frame: FrameType) -> None:
        """A scaler is asked to divide the gradients of an optimizer."""
        before = course.stages.get(id(scaler), Stage.READY)
        after, mistake = STAGES[before, Action.UNSCALE]
        step, optimizer = course.last_step, course.optimizer()
        told: list[tuple[Entry | None, str]]
        if mistake is Mistake.UNSCALED_LATE and step is not None:
            if course.backward is not None and course.backward.number > step.number:
                # This is the next iteration: what comes too late is the update of the one before.
                self._not_updated(scaler, step, [(step, "the step"), (entry, "gradients unscaled")], frame)
            else:
                told = [(step, "the step, which unscales"), (entry, "unscaled again")]
                self._courses.tell(mistake, optimizer, entry, told, frame)
        elif mistake is Mistake.UNSCALED_TWICE:
            told = [(course.unscaled, "gradients unscaled"), (entry, "unscaled again")]
            self._courses.tell(mistake, optimizer, entry, told, frame)
        course.stages[id(scaler)] = after
        course.unscaled = entry
        self._apply(course, Action.UNSCALE)

    def scaler_steps(self, scaler: Any, course: Course, entry: Entry, frame: FrameType) -> None:
        """A scaler is asked to step an optimizer."""
        told: list[tuple[Entry | None, str]]
        before = course.stages.get(id(scaler), Stage.READY)
        course.stages[id(scaler)], mistake = STAGES[before, Action.SCALER_STEP]
        if mistake is Mistake.NO_UPDATE and course.last_step is not None:
            told = [(course.last_step, "the step"), (entry, "the next one, at the same scale")]
            self._not_updated(scaler, entry, told, frame)
        clip, course.scaled_clip = course.scaled_clip, None
        if clip is not None:
            told = [
                (course.backward, _NOTES[Action.SCALED_BACKWARD]),
                (clip, "clipped while scaled"),
                (entry, "unscaled, and used"),
            ]
            self._courses.tell(Mistake.CLIPPED_SCALED, course.optimizer(), clip, told, frame)
        if self._apply(course, Action.SCALER_STEP) is Mistake.UNSCALED_LOSS:
            told = [(course.backward, _NOTES[Action.BACKWARD]), (entry, "divided by a scale")]
            self._courses.tell(Mistake.UNSCALED_LOSS, course.optimizer(), entry, told, frame)

    def stepped(self, course: Course, entry: Entry, frame: FrameType) -> None:
        """An optimizer is about to step without a scaler."""
        course.scaled_clip = None
        if self._apply(course, Action.STEP) is Mistake.BYPASSED and not self._by_hand(entry):
            told = [(course.backward, _NOTES[Action.SCALED_BACKWARD]), (entry, "a step with scaled gradients")]
            self._courses.tell(Mistake.BYPASSED, course.optimizer(), entry, told, frame)

    def updated(self, scaler: Any) -> None:
        """A scaler has changed its scale."""
        for course in self._courses.all:
            before = course.stages.get(id(scaler))
            if before is not None:
                course.stages[id(scaler)] = STAGES[before, Action.UPDATE][0]

    def _apply(self, course: Course, action: Action) -> Mistake | None:
        if course.scale is None:
            return None
        course.scale, mistake = SCALES[course.scale, action]
        return mistake

    def _not_updated(self, scaler: Any, at: Entry, told: Sequence[tuple[Entry | None, str]], frame: FrameType) -> None:
        self._courses.tell(Mistake.NO_UPDATE, scaler, at, told, frame)

    def _by_hand(self, entry: Entry) -> bool:
        """Whether the text around an event does to gradients what a scaler does."""
        return _BY_HAND.search(self._courses.lines_of(entry)) is not None


def _metadata(node: Any) -> dict[Any, Any]:
    """What anybody may write at a node of the graph, for as long as it is there."""
    found: dict[Any, Any] = node.metadata
    return found


def _is_marked(node: Any) -> bool:
    function = getattr(node, "grad_fn", node)
    return function is not None and _MARK in _metadata(function)


def _near(roots: Sequence[Any]) -> Iterator[Any]:
    """The nodes of the graph that are nearest to some roots."""
    todo = [function for root in roots if (function := getattr(root, "grad_fn", None)) is not None]
    for count, function in enumerate(todo):
        if count == _FAR:
            return
        yield function
        todo += [following for following, _ in function.next_functions if following is not None]
