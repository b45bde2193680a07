"""Steps that find no gradients: cleared too late, computed too late, or never computed."""

from __future__ import annotations

from loopguard.case import Case
from loopguard.events import Kind
from loopguard.lifecycles.gradient import Mistake
from loopguard.runtime.ledger import Discard, Entry
from loopguard.runtime.program import Loop
from loopguard.runtime.verdicts.telling import Telling, innermost


def empty(telling: Telling, raises: bool = False) -> Case | None:
    """The case of a step that finds no gradients, if it never finds any.

    In a loop it has to happen twice: the first iteration may be special. With `raises` torch itself stops here.
    """
    account, at = telling.account, telling.at
    fed, empty_before = account.step_sites.get(at.site, (0, 0))
    loop = innermost(at.site)
    often = empty_before + 1
    if fed or (often < 2 and loop is not None and not raises):
        return None
    thrown = account.discards[-1] if account.discards else None
    if thrown is not None and thrown.clear is not None and thrown.deposits:
        return _discarded(telling, thrown, thrown.clear, loop)
    if loop is None or account.last_clear is None or loop not in account.last_clear.site.loops:
        return None
    if account.fed or (often < 3 and not raises):
        return None
    return _unfed(telling, account.last_clear, loop)


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
            telling.moment(at, "a step without gradients"),
        ]
        facts = {"order": "cleared after backward"}
        return telling.case(Mistake.EMPTY_STEP, clear, trail, loop, facts, related, thrown.deposits)
    if loop is not None and at.site.number < backward.site.number:
        trail = [
            telling.moment(backward, "gradients computed"),
            telling.moment(clear, "gradients discarded, unused"),
            telling.moment(at, "a step without gradients"),
        ]
        facts = {"order": "step before backward", "backward": backward.site.text}
        return telling.case(Mistake.EMPTY_STEP, at, trail, loop, facts, related, thrown.deposits)
    return None


def _unfed(telling: Telling, clear: Entry, loop: Loop) -> Case | None:
    """Nothing has ever brought gradients: what is written says whether something would, later."""
    at = telling.at
    uncalled = telling.uncalled("backward", loop)
    if uncalled is not None:
        return uncalled
    trail = [telling.moment(clear, "gradients cleared"), telling.moment(at, "a step without gradients")]
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
