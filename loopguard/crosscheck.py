"""What a run says of the findings of a check: it confirms or refutes each, has not reached it, or does not judge it.

A finding is *confirmed* by one of the run that says the same, or is about the same mistake and has a place in common
with it: its own, or one of its evidence.

An error is wrong on every run that gets there. So it is *refuted* by a run that proves that it got there, and that the
mistake was not made: one optimizer went through the events of the evidence again and again, by the same calls, and what
the check had not expected happened each time within the loop. A run that merely saw nothing proves nothing.

A finding is *not reached* if some of its evidence has not happened in the run. Everything else is *not judged*: what
only the text can break, a warning or an advice, which is about one path of several, what happened too rarely, what
another finding is in the way of, and anything when the guard was not there to the end.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from enum import Enum
from typing import Protocol

from loopguard.catalogue import Catalogue
from loopguard.events import Event, Kind, Place
from loopguard.finding import Finding


class Verdict(Enum):
    """What has become of a finding of the check in a run."""

    CONFIRMED = "confirmed"
    REFUTED = "refuted"
    NOT_REACHED = "not reached"
    NOT_JUDGED = "not judged"


_HEARD = (Kind.BACKWARD, Kind.STEP, Kind.UNSCALE, Kind.CLIP, Kind.SCHEDULE)
"""Events that a run hears of wherever they happen. Of clears it hears if a call makes them."""


class Witness(Protocol):
    """A run that was watched from its start to its end."""

    def visits(self, event: Event) -> int:
        """How often an event in the text may have happened."""

    def disproves(self, finding: Finding, mistakes: Collection[Enum]) -> bool:
        """Whether what has happened at the places of a finding proves that none of some mistakes was made there."""


class Nobody:
    """The witness of a run in which nothing can have happened."""

    def visits(self, event: Event) -> int:
        """Nothing has happened."""
        return 0

    def disproves(self, finding: Finding, mistakes: Collection[Enum]) -> bool:
        """And so nothing is proved."""
        return False


def verdict(finding: Finding, found: Sequence[Finding], witness: Witness | None, rules: Catalogue) -> Verdict:
    """What a run that has `found` something says of a finding. Without a witness of all of it, it refutes nothing."""
    if any(_is_about(other, finding, rules) for other in found):
        return Verdict.CONFIRMED
    if witness is None or not is_judged(finding, rules):
        return Verdict.NOT_JUDGED
    heard = [moment.event for moment in finding.evidence if _is_heard(moment.event)]
    if not all(map(witness.visits, heard)):
        return Verdict.NOT_REACHED
    if finding.level != "error" or any(_have_common_place(other, finding) for other in found):
        return Verdict.NOT_JUDGED
    entry = rules.get(finding.code)
    disproved = entry is not None and witness.disproves(finding, entry.rule.mistakes)
    return Verdict.REFUTED if disproved else Verdict.NOT_JUDGED


def _is_heard(event: Event) -> bool:
    return event.kind in _HEARD or (event.kind is Kind.CLEAR and "zero_grad" in event.text)


def is_judged(finding: Finding, rules: Catalogue) -> bool:
    """Whether a run can see what a finding is about."""
    entry = rules.get(finding.code)
    return entry is not None and "R" in entry.rule.engines


def _is_about(other: Finding, finding: Finding, rules: Catalogue) -> bool:
    one, two = rules.get(other.code), rules.get(finding.code)
    related = one is not None and two is not None and not one.rule.mistakes.isdisjoint(two.rule.mistakes)
    says_the_same = other.message == finding.message and other.place.path == finding.place.path
    return related and (says_the_same or _have_common_place(other, finding))


def _have_common_place(other: Finding, finding: Finding) -> bool:
    return any(_overlap(here, there) for here in _places(other) for there in _places(finding))


def _places(finding: Finding) -> list[Place]:
    return [finding.place, *(moment.event.place for moment in finding.evidence)]


def _overlap(one: Place, two: Place) -> bool:
    """Whether two places share a row."""
    return one.path == two.path and one.row <= two.end_row and two.row <= one.end_row
