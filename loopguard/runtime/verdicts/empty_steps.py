"""Steps that find no gradients: cleared too late, computed too late, or never computed."""

from __future__ import annotations

from collections.abc import Sequence

from loopguard.case import Case
from loopguard.events import Kind, Moment
from loopguard.lifecycles.gradient import Mistake
from loopguard.runtime.entries import Discard, Entry
from loopguard.runtime.program import Loop, Program
from loopguard.runtime.verdicts.by_hand import ClearByHand, clears_in, row_in, uses_gradients
from loopguard.runtime.verdicts.telling import Telling, innermost
from loopguard.runtime.verdicts.unused_gradients import applied_outside

_COMPUTED = "gradients computed"
_CLEARED = "gradients cleared"
_DISCARDED = "gradients discarded, unused"
_EMPTY = "a step without gradients"

_MANY = 8
"""How many steps of a run must have found nothing until that is no beginning of something else."""


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
    if thrown is not None and thrown.deposits:
        if thrown.clear is None:
            return _discarded_by_hand(telling, thrown, loop) if loop is not None else None
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
        case = _unfed(telling, cleared, loop)
        if case is None or case.mistake is not Mistake.EMPTY_STEP or not _others_are_fed(telling, loop):
            return case
        account.unfed = account.unfed or case  # it may be another one's turn; the end of the run will tell
        return None
    if all(site.loops == at.site.loops and site.number > at.site.number for site in feeding):
        facts = {"order": "step before backward", "backward": feeding[0].text}
        trail = [cleared, telling.moment(at, _EMPTY)]
        return telling.case(Mistake.EMPTY_STEP, at, trail, loop, facts, telling.related((), loop))
    return None


def never_fed(telling: Telling) -> Case | None:
    """The case of an optimizer that has stepped and stepped in a run, now over, and has never found any gradients.

    While it went on, others may have been trained first, or a backward pass behind a condition might have come.
    """
    account, at = telling.account, telling.at
    if account.is_fed:
        return None
    loop = innermost(at.site)
    if account.unfed is not None or loop is None or telling.history.backwards:
        return account.unfed
    cleared = _cleared(telling, loop)
    if cleared is None or sum(account.step_sites[at.site]) < _MANY:
        return None
    trail = [cleared, telling.moment(at, _EMPTY)]
    return telling.case(Mistake.EMPTY_STEP, at, trail, loop, {"order": "no backward"}, telling.related((), loop))


def _others_are_fed(telling: Telling, loop: Loop) -> bool:
    """Whether backward passes run in a loop, and bring gradients to somebody."""
    return any(
        fed_by and loop in site.loops
        for account in telling.history.accounts.values()
        for site, fed_by in account.fed_from.items()
    )


def _cleared(telling: Telling, loop: Loop) -> Moment | None:
    """The clear in a loop that is why a step there finds nothing, though it may have found nothing to clear."""
    clear = telling.account.last_clear
    if clear is not None and loop in clear.site.loops:
        return telling.moment(clear, _CLEARED)
    found = clears_in(telling.at.site, loop)
    return _moment(telling, found[0], _CLEARED) if found else None


def _moment(telling: Telling, clear: ClearByHand, note: str) -> Moment:
    return Moment(clear.event(telling.subject), note, telling.at.iteration)


def _discarded(telling: Telling, thrown: Discard, clear: Entry, loop: Loop | None) -> Case | None:
    """Gradients were there, and were cleared before the step."""
    at, backward = telling.at, thrown.deposits[-1]
    if clear.site.loops != at.site.loops or loop not in (None, *backward.site.loops):
        return None
    # An iteration begins at the site that was seen first.
    if backward.site.number < clear.site.number < at.site.number:
        if backward.site.loops != clear.site.loops or _may_pass(telling, clear.site.ways, loop):
            return None
        return _cleared_too_late(telling, thrown, telling.moment(clear, _DISCARDED), loop)
    if loop is not None and at.site.number < backward.site.number:
        return _computed_too_late(telling, thrown, telling.moment(clear, _DISCARDED), loop)
    return None


def _discarded_by_hand(telling: Telling, thrown: Discard, loop: Loop) -> Case | None:
    """Gradients were there, and were gone before the step, with no call that a hook has heard of."""
    at, backward = telling.at, thrown.deposits[-1]
    if backward.site.loops != at.site.loops:
        return None
    if any(uses_gradients(site, loop, beside_clears=True) for site in (backward.site, at.site)):
        return None
    found = clears_in(at.site, loop)
    if at.site.number < backward.site.number:
        return _computed_too_late(telling, thrown, _moment(telling, found[0], _DISCARDED), loop) if found else None
    first, last = (row_in(site, loop) for site in (backward.site, at.site))
    between = [item for item in found if first <= item.row <= last]
    if not found or (len(found) > 1 and len(between) != 1):
        return None
    clear = (between or found)[0]
    if _may_pass(telling, [(clear.program, clear.node.lineno), (clear.program, clear.row)], loop):
        return None
    return _cleared_too_late(telling, thrown, _moment(telling, clear, _DISCARDED), loop)


def _may_pass(telling: Telling, ways: Sequence[tuple[Program, int]], loop: Loop | None) -> bool:
    """Whether a clear may come to an end while the steps go on: it hangs on a condition, and there were few of them."""
    _, before = telling.account.step_sites.get(telling.at.site, (0, 0))
    gates = (text for program, row in ways for text in telling.missed_gates(program, row, loop))
    return before + 1 < _MANY and any(".grad" not in text for text in gates)


def _cleared_too_late(telling: Telling, thrown: Discard, clear: Moment, loop: Loop | None) -> Case | None:
    trail = [telling.moment(thrown.deposits[-1], _COMPUTED), clear, telling.moment(telling.at, _EMPTY)]
    facts, related = {"order": "cleared after backward"}, telling.related((), loop)
    return telling.case(Mistake.EMPTY_STEP, clear.event, trail, loop, facts, related, thrown.deposits)


def _computed_too_late(telling: Telling, thrown: Discard, clear: Moment, loop: Loop) -> Case | None:
    backward = thrown.deposits[-1]
    trail = [telling.moment(backward, _COMPUTED), clear, telling.moment(telling.at, _EMPTY)]
    facts = {"order": "step before backward", "backward": backward.site.text}
    related = telling.related((), loop)
    return telling.case(Mistake.EMPTY_STEP, telling.at, trail, loop, facts, related, thrown.deposits)


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
