"""Proofs that a mistake was not made where somebody expects it.

An optimizer proves that if it went through all the events which are to make up the mistake, by the calls that are to
lead to them, and each time something came in between: a clear between two steps, a backward pass between a clear and a
step, a step between a backward pass and a clear. It has to happen within the loop that is meant: what happens around a
loop says nothing of its second iteration. And no other optimizer may have come there and have proved nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from enum import Enum

from loopguard.events import Event, Kind, Place
from loopguard.finding import Finding
from loopguard.lifecycles import window
from loopguard.lifecycles.gradient import Mistake
from loopguard.runtime.program import Loop
from loopguard.runtime.rounds import Round, Rounds
from loopguard.runtime.sites import Site
from loopguard.runtime.verdicts.telling import common_loop, innermost

_OFTEN = 4
"""How many times nothing must have been wrong: the first iterations may be special."""


class _Claim:
    """The events of a finding, by kind."""

    def __init__(self, finding: Finding) -> None:
        events = [moment.event for moment in finding.evidence]
        self.steps = [event for event in events if event.kind is Kind.STEP]
        self.last, self.former = self.steps[-1:], self.steps[:-1] or self.steps
        self.backwards = [event for event in events if event.kind is Kind.BACKWARD]
        self.clears = [event for event in events if event.kind is Kind.CLEAR]


def disproves(everybody: Iterable[Rounds], finding: Finding, mistakes: Collection[Enum]) -> bool:
    """Whether the rounds of all optimizers of a run prove that none of some mistakes was made, as a finding says."""
    claim = _Claim(finding)
    proofs = [_PROOFS[mistake] for mistake in mistakes if mistake in _PROOFS]
    involved = [rounds for rounds in everybody if _is_involved(rounds, claim)]
    if not involved or len(proofs) < len(mistakes):
        return False
    return all(rounds.is_whole and proof(rounds, claim) for rounds in involved for proof in proofs)


def may_be_at(site: Site, event: Event) -> bool:
    """Whether an event in the text, by the calls that lead to it there, may be what happens at a site, or behind it."""
    ways = [(program.path, row) for program, row in site.ways]
    if site.kind is not event.kind or not _passes(ways, event.place):
        return False
    return site.known <= len(event.calls) < len(site.calls) or _is_by(site, event)


def _is_at(site: Site, events: Collection[Event]) -> bool:
    """Whether one of some events in the text surely is what happens at a site."""
    at = (site.place.path, site.place.row, site.place.column)
    return any(
        site.kind is event.kind
        and at == (event.place.path, event.place.row, event.place.column)
        and _is_by(site, event)
        for event in events
    )


def _is_by(site: Site, event: Event) -> bool:
    """Whether the calls that lead to an event in the text are those that surely lead to a site."""
    ways = [(program.path, row) for program, row in site.ways[1 : site.known]]
    return all(_passes(ways, call) for call in event.calls)


def _passes(ways: Iterable[tuple[str, int]], place: Place) -> bool:
    """Whether some files and rows have one in common with a place."""
    return any(path == place.path and place.row <= row <= place.end_row for path, row in ways)


def _is_involved(rounds: Rounds, claim: _Claim) -> bool:
    """Whether an optimizer has been where a claim says that it is wrong."""
    if claim.steps:
        return any(_is_at(made.step, claim.steps) for made in rounds.steps)
    return any(_is_at(site, claim.clears) for site in rounds.clears)


def _is_within(loop: Loop | None, sites: Iterable[Site]) -> bool:
    return any(loop is None or loop in site.loops for site in sites)


def _count(rounds: Rounds, wanted: Callable[[Round], bool]) -> int:
    return sum(times for made, times in rounds.steps.items() if made.mistake is None and wanted(made))


def _is_clean(rounds: Rounds, claim: _Claim) -> bool:
    """Whether nothing was wrong with any step of a claim."""
    return all(made.mistake is None for made in rounds.steps if _is_at(made.step, claim.steps))


def _cleared_between_steps(rounds: Rounds, claim: _Claim) -> bool:
    def is_cleared(made: Round) -> bool:
        return (
            _is_at(made.step, claim.last)
            and made.before is not None
            and _is_at(made.before, claim.former)
            and any(_is_at(site, claim.backwards) for site in made.deposits)
            and made.clear is not None
            and _is_within(innermost(made.step), [made.clear])
        )

    return _is_clean(rounds, claim) and _count(rounds, is_cleared) >= _OFTEN


def _fed_behind_clear(rounds: Rounds, claim: _Claim) -> bool:
    def is_fed(made: Round) -> bool:
        return (
            _is_at(made.step, claim.last)
            and made.clear is not None
            and _is_at(made.clear, claim.clears)
            and _is_within(innermost(made.step), made.deposits)
        )

    return _is_clean(rounds, claim) and _count(rounds, is_fed) >= _OFTEN


def _fed_between_steps(rounds: Rounds, claim: _Claim) -> bool:
    def is_fed(made: Round) -> bool:
        return (
            _is_at(made.step, claim.last)
            and made.before is not None
            and made.before is not made.step
            and _is_at(made.before, claim.former)
            and _is_within(innermost(made.step), made.deposits)
        )

    return _is_clean(rounds, claim) and _count(rounds, is_fed) >= _OFTEN


def _applied_before_clear(rounds: Rounds, claim: _Claim) -> bool:
    clears = [site for site in rounds.clears if _is_at(site, claim.clears)]
    thrown = {site for _, lost in rounds.thrown for site in lost}
    if sum(rounds.clears[site] for site in clears) < _OFTEN or any(_is_at(site, claim.backwards) for site in thrown):
        return False

    def is_applied(made: Round) -> bool:
        fed = [site for site in made.deposits if _is_at(site, claim.backwards)]
        return bool(fed) and _is_within(common_loop([fed[0], clears[0]]), [made.step])

    return _count(rounds, is_applied) >= _OFTEN


_PROOFS: dict[Enum, Callable[[Rounds, _Claim], bool]] = {
    Mistake.STALE_STEP: _cleared_between_steps,
    Mistake.EMPTY_STEP: _fed_behind_clear,
    Mistake.REPEATED_STEP: _fed_between_steps,
    Mistake.UNUSED: _applied_before_clear,
    window.Mistake.CLEARED: _applied_before_clear,
}
"""How each mistake is disproved. The others never are."""
