"""Steps that find no gradients: cleared too late, computed too late, or never computed."""

from __future__ import annotations

from loopguard.case import Case
from loopguard.events import Event, Kind, Moment
from loopguard.lifecycles.gradient import Mistake
from loopguard.runtime.ledger import Discard, Entry
from loopguard.runtime.program import Loop, span_of
from loopguard.runtime.verdicts.telling import Telling, clears_by_hand, innermost
from loopguard.runtime.verdicts.unused_gradients import applied_outside

_CLEARED = "gradients cleared"
_EMPTY = "a step without gradients"


def empty(telling: Telling, raises: bool = False) -> Case | None:
    """The case of a step that finds no gradients, if it never finds any.

    In a loop it has to happen twice: the first iteration may be special. With `raises` torch itself stops here.
    """
    account, at = telling.account, telling.at
    fed, empty_before = account.step_sites.get(at.site, (0, 0))
    loop = innermost(at.site)
    often = empty_before + 1
    outside = None if fed else applied_outside(telling)
    if outside is not None:
        return outside
    if fed or (often < 2 and loop is not None and not raises):
        return None
    thrown = account.discards[-1] if account.discards else None
    if thrown is not None and thrown.clear is not None and thrown.deposits:
        if loop is None or loop in thrown.deposits[-1].site.loops:
            return _discarded(telling, thrown, thrown.clear, loop)
        # What was computed before the loop is not what the loop lacks.
    if loop is None or (often < 3 and not raises):
        return None
    cleared = _cleared(telling, loop)
    if cleared is None:
        return None
    feeding = [site for site, fed_by in account.fed_from.items() if fed_by and loop in site.loops]
    if not feeding:
        return _unfed(telling, cleared, loop)
    if all(site.loops == at.site.loops and site.number > at.site.number for site in feeding):
        facts = {"order": "step before backward", "backward": feeding[0].text}
        trail = [cleared, telling.moment(at, _EMPTY)]
        return telling.case(Mistake.EMPTY_STEP, at, trail, loop, facts, telling.related((), loop))
    return None


def _cleared(telling: Telling, loop: Loop) -> Moment | None:
    """The clear in a loop that is why a step there finds nothing, though it may have found nothing to clear."""
    clear = telling.account.last_clear
    if clear is not None and loop in clear.site.loops:
        return telling.moment(clear, _CLEARED)
    for program, row in telling.at.site.ways:
        for node in clears_by_hand(loop.node) if loop in program.loops(row) else ():
            event = Event(Kind.CLEAR, telling.subject, program.place(span_of(node)), program.node_text(node))
            return Moment(event, _CLEARED, telling.at.iteration)
    return None


def _discarded(telling: Telling, thrown: Discard, clear: Entry, loop: Loop | None) -> Case | None:
    """Gradients were there, and were cleared before the step."""
    at, backward = telling.at, thrown.deposits[-1]
    if clear.site.loops != at.site.loops or loop not in (None, *backward.site.loops):
        return None
    related = telling.related((), loop)
    # An iteration begins at the site that was seen first.
    if backward.site.number < clear.site.number < at.site.number:
        if backward.site.loops != clear.site.loops:
            return None
        trail = [
            telling.moment(backward, "gradients computed"),
            telling.moment(clear, "gradients discarded, unused"),
            telling.moment(at, _EMPTY),
        ]
        facts = {"order": "cleared after backward"}
        return telling.case(Mistake.EMPTY_STEP, clear, trail, loop, facts, related, thrown.deposits)
    if loop is not None and at.site.number < backward.site.number:
        trail = [
            telling.moment(backward, "gradients computed"),
            telling.moment(clear, "gradients discarded, unused"),
            telling.moment(at, _EMPTY),
        ]
        facts = {"order": "step before backward", "backward": backward.site.text}
        return telling.case(Mistake.EMPTY_STEP, at, trail, loop, facts, related, thrown.deposits)
    return None


def _unfed(telling: Telling, cleared: Moment, loop: Loop) -> Case | None:
    """Nothing has ever brought gradients: what is written says whether something would, later."""
    at = telling.at
    uncalled = telling.uncalled("backward", loop)
    if uncalled is not None:
        return uncalled
    trail = [cleared, telling.moment(at, _EMPTY)]
    visited = {(site.place.path, site.row) for site in telling.history.backwards}
    for program, row in at.site.ways:
        around = loop in program.loops(row)
        scope = program.scope(row)
        written = [
            call
            for call, _ in program.calls("backward", loop.node if around else scope)
            if (program.path, call.lineno) not in visited
        ]
        if written and around:
            if all(call.lineno > row for call in written):
                facts = {"order": "step before backward", "backward": program.node_text(written[0])}
                return telling.case(Mistake.EMPTY_STEP, at, trail, loop, facts, telling.related((), loop))
            return None
        if written:
            return None  # a helper that holds the loop's body
        if around:
            end = loop.node.end_lineno or 0
            behind = [call for call, _ in program.calls("backward", scope) if call.lineno > end]
            if behind:
                facts = {"order": "backward after loop", "backward": program.node_text(behind[0])}
                return telling.case(Mistake.EMPTY_STEP, at, trail, loop, facts, telling.related((), loop))
            break
    if any(site.kind is Kind.BACKWARD and loop in site.loops for site in telling.history.backwards) and _is_odd(
        telling
    ):
        return None
    return telling.case(Mistake.EMPTY_STEP, at, trail, loop, {"order": "no backward"}, telling.related((), loop))


def _is_odd(telling: Telling) -> bool:
    """Whether backward passes run that reach no optimizer at all: then this is about coverage."""
    return not any(account.fed for account in telling.history.accounts.values())
