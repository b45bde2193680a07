"""What a run says of the findings of a check: each is confirmed, refuted, or was not reached.

A finding is *confirmed* by one of the run that says the same, or is about the same mistake and has a place in common
with it: its own, or one of its evidence.

An error is wrong on every run that gets there. So it is *refuted* by a run that went through every clear, backward
pass, clip, step and the like of its evidence again and again, and made no such mistake. A warning or an advice is about
one path of several, and no number of visits proves that it was the one that was taken: it is confirmed or not reached.
So is a finding of a rule that only the text can break, and any finding when the guard was not there to the end.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from enum import Enum

from loopguard.catalogue import Catalogue
from loopguard.events import Kind, Place
from loopguard.finding import Finding


class Verdict(Enum):
    """What has become of a finding of the check in a run."""

    CONFIRMED = "confirmed"
    REFUTED = "refuted"
    NOT_REACHED = "not reached"


_HEARD = (Kind.CLEAR, Kind.BACKWARD, Kind.STEP, Kind.UNSCALE, Kind.CLIP, Kind.SCHEDULE)

_OFTEN = 4
"""How many times its evidence a run must have gone through to refute a finding: a guard does not judge at once."""

Visits = Callable[[Place], int]
"""How often a run had an event in the rows of a place."""


def verdict(finding: Finding, found: Sequence[Finding], visits: Visits | None, rules: Catalogue) -> Verdict:
    """What a run that has `found` something says of a finding. Without `visits`, nothing is refuted."""
    if any(_is_about(other, finding, rules) for other in found):
        return Verdict.CONFIRMED
    if visits is None or finding.level != "error" or not is_judged(finding, rules):
        return Verdict.NOT_REACHED
    if any(_have_common_place(other, finding) for other in found):
        return Verdict.NOT_REACHED  # something is wrong there, and it may be in the way of this
    wanted = Counter(moment.event.place for moment in finding.evidence if moment.event.kind in _HEARD)
    reached = all(visits(place) >= _OFTEN * times for place, times in (wanted or {finding.place: 2}).items())
    return Verdict.REFUTED if reached else Verdict.NOT_REACHED


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
