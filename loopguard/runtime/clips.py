"""Clips as they happen: whether what is bounded is what a step uses (`loopguard.lifecycles.clipping`)."""

from __future__ import annotations

from types import FrameType
from typing import Any

from loopguard.lifecycles.clipping import TRANSITIONS, Action, Mistake, State
from loopguard.runtime.courses import Course, Courses
from loopguard.runtime.ledger import Entry
from loopguard.runtime.sites import Site

_EXCEEDED_BY_NOTHING = 1e5
"""A bound from which on a clip is called for the norm that it returns."""

_TWICE = 2


class Clips:
    """What each clip comes to. A clip that looks misplaced is one if the events that follow bear it out."""

    def __init__(self, courses: Courses) -> None:
        self._courses = courses
        self._of_nothing: Entry | None = None
        self._seen: dict[tuple[Mistake, Site], int] = {}

    def is_a_measure(self, bound: Any) -> bool:
        """Whether a bound bounds nothing."""
        return not isinstance(bound, int | float) or bound >= _EXCEEDED_BY_NOTHING

    def backward(self, entry: Entry) -> None:
        """Gradients are about to be computed, for whatever optimizer."""
        for course in self._courses.all:
            self._apply(course, Action.BACKWARD)

    def clipped(self, course: Course, entry: Entry) -> None:
        """Gradients of an optimizer are about to be clipped."""
        self._of_nothing = None
        mistake = self._apply(course, Action.CLIP)
        if mistake is Mistake.BEFORE_BACKWARD:
            course.early_clip = entry  # to no effect, even if there is another clip, in its place
        course.late_clip = entry if mistake is Mistake.AFTER_STEP else None

    def clipped_nothing(self, entry: Entry) -> None:
        """Parameters are clipped that no optimizer holds."""
        self._of_nothing = entry

    def cleared(self, course: Course, entry: Entry, frame: FrameType) -> None:
        """The gradients of an optimizer are gone: what was clipped after their step was clipped for nothing."""
        late, course.late_clip = course.late_clip, None
        if late is not None:
            told = [(course.last_step, "gradients used"), (late, "clipped, to no effect"), (entry, "gradients cleared")]
            self._courses.tell(Mistake.AFTER_STEP, course.optimizer(), late, told, frame)
        self._apply(course, Action.CLEAR)

    def stepped(self, course: Course, entry: Entry, frame: FrameType) -> None:
        """An optimizer is about to step."""
        early, course.early_clip, course.late_clip = course.early_clip, None, None
        nothing, self._of_nothing = self._of_nothing, None
        if course.gradients is State.FRESH:
            if early is not None and self._again(Mistake.BEFORE_BACKWARD, early):
                told = [
                    (early, "clipped, to no effect"),
                    (course.backward, "gradients computed"),
                    (entry, "gradients used"),
                ]
                self._courses.tell(Mistake.BEFORE_BACKWARD, course.optimizer(), early, told, frame)
            if nothing is not None and self._again(Mistake.WRONG_PARAMETERS, nothing):
                told = [(nothing, "these are clipped"), (entry, "others are stepped")]
                self._courses.tell(Mistake.WRONG_PARAMETERS, course.optimizer(), nothing, told, frame)
        self._apply(course, Action.STEP)

    def _again(self, mistake: Mistake, entry: Entry) -> bool:
        """Whether it has happened before: the first time may be the way in."""
        key = (mistake, entry.site)
        self._seen[key] = self._seen.get(key, 0) + 1
        return self._seen[key] >= _TWICE

    def _apply(self, course: Course, action: Action) -> Mistake | None:
        if course.gradients is None:
            if action is Action.CLEAR:
                course.gradients = State.CLEAN
            return None
        course.gradients, mistake = TRANSITIONS[course.gradients, action]
        return mistake
