"""Gradients that are thrown away: never applied, applied too rarely, or cleared inside their window."""

from __future__ import annotations

from loopguard.case import Case
from loopguard.events import Relation
from loopguard.lifecycles import window
from loopguard.lifecycles.gradient import Mistake
from loopguard.runtime.entries import Discard, Entry
from loopguard.runtime.program import Loop
from loopguard.runtime.verdicts.by_hand import uses_gradients
from loopguard.runtime.verdicts.telling import Telling, common_loop
from loopguard.runtime.verdicts.written import is_step_written

_PATIENCE = (64, 1024)
"""After how many discards a run is asked whether a step is still to come."""


def not_yet_applied(telling: Telling) -> Case | None:
    """The case of gradients that are thrown away unused, while the run goes on."""
    return never_applied(telling, over=False)


def never_applied(telling: Telling, over: bool) -> Case | None:
    """The case of gradients that are computed and cleared, and never applied; asked now and then, and at the end."""
    account = telling.account
    if account.steps or account.discarded < 2 or not (over or account.discarded in _PATIENCE):
        return None
    thrown = account.discards[-1]
    if any(entry.site in account.applied for entry in thrown.deposits):
        # Another optimizer that holds the same parameters applies some of them, or all.
        thrown = Discard(tuple(entry for entry in thrown.deposits if entry.site not in account.applied), thrown.clear)
        if not thrown.deposits:
            return None
    loop = _loop_of(thrown)
    if loop is None or thrown.clear is None or thrown.clear.site not in account.clear_sites:
        return None  # a module's gradients may be wanted for something else than a step
    uncalled = telling.uncalled("step", loop)
    if uncalled is not None:
        return uncalled
    if is_step_written(telling.subject.rsplit(".", 1)[-1], list(account.clear_sites), over):
        return None
    return _case(telling, thrown, loop)


def applied_outside(telling: Telling) -> Case | None:
    """The case of a step behind the loop whose gradients it should have applied one by one, with the last or none."""
    account, at = telling.account, telling.at
    if account.discarded < 2 or not account.discards:
        return None
    thrown = account.discards[-1]
    loop = _loop_of(thrown)
    if loop is None or thrown.clear is None or loop in at.site.loops:
        return None
    if account.deposits and account.deposits[-1].site is not thrown.deposits[-1].site:
        return None  # the step has a backward pass of its own
    if any(loop in site.loops for site in account.step_sites):
        return None
    return _case(telling, thrown, loop)


def cleared_in_window(telling: Telling) -> Case | None:
    """The case of a step behind a window's gate, with a clear in front of it on every batch."""
    account, at = telling.account, telling.at
    if not account.discarded or not account.deposits:
        return None
    thrown = account.discards[-1]
    # Other losses may have come on top of the one that is accumulated.
    lost = next((entry for entry in reversed(thrown.deposits) if _is_same_loss(entry, account.deposits[-1])), None)
    if thrown.clear is None or lost is None:
        return None
    loop = common_loop([lost.site, thrown.clear.site, at.site])
    if loop is None or thrown.clear.site.loops != at.site.loops:
        return None
    clear = thrown.clear.site
    gates = [gate for program, row in at.site.ways for gate in program.gates(row) if gate.truth and gate.counts(loop)]
    backward = lost.site
    open_to_all = {
        gate.text for site in (clear, backward) for p, row in site.ways for gate in p.gates(row) if gate.truth
    }
    extra = set(clear.program.gates(clear.row, loop)) - set(backward.program.gates(backward.row, loop))
    if gates and not extra and gates[0].text not in open_to_all:
        facts = {"window": gates[0].text, "size": gates[0].size}
    else:
        wrappers = [text for text in at.site.program.contexts(at.site.row, loop) if ".accumulate(" in text]
        if gates or not wrappers:
            return None
        facts = {"window": wrappers[0].partition("(")[0], "size": ""}
    trail = [
        telling.moment(lost, "gradients computed"),
        telling.moment(thrown.clear, "gradients discarded, unused"),
        telling.moment(at, "gradients used"),
    ]
    related = telling.related((), loop)
    return telling.case(window.Mistake.CLEARED, thrown.clear, trail, loop, facts, related, thrown.deposits)


def _is_same_loss(one: Entry, other: Entry) -> bool:
    """Whether two backward passes are of one loss: the same call, or written the same way in the branches of a gate."""
    return one.site is other.site or (one.site.text, one.site.loops) == (other.site.text, other.site.loops)


def _case(telling: Telling, thrown: Discard, loop: Loop) -> Case | None:
    backward, clear = thrown.deposits[-1], thrown.clear
    if clear is None or uses_gradients(backward.site, loop):
        return None
    trail = [
        telling.moment(backward, "gradients computed"),
        telling.moment(clear, "gradients discarded, unused"),
    ]
    related = tuple(item for item in telling.related(telling.clearings(loop), loop) if item.relation is Relation.WHOLE)
    return telling.case(Mistake.UNUSED, backward, trail, loop, {}, related, thrown.deposits)


def _loop_of(thrown: Discard) -> Loop | None:
    if thrown.clear is None or not thrown.deposits:
        return None
    return common_loop([thrown.deposits[-1].site, thrown.clear.site])
