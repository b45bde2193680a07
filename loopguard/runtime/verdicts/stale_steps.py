"""Steps on gradients that are not theirs alone: stale ones, used ones, or those of somebody else's loss."""

from __future__ import annotations

import torch

from loopguard.case import Case
from loopguard.events import Relation
from loopguard.lifecycles import window
from loopguard.lifecycles.gradient import Mistake
from loopguard.runtime.program import Loop
from loopguard.runtime.verdicts.telling import Clearing, Telling, common_loop, innermost, window_of


def stale(telling: Telling) -> Case | None:
    """The case of a step that uses gradients of an earlier step again, with new ones on top."""
    account, at = telling.account, telling.at
    first = account.last_step
    added = [entry for entry in account.deposits if first is not None and entry.number > first.number]
    if first is None or not added:
        return None
    loop = common_loop([first.site, at.site, *(entry.site for entry in added)])
    if loop is None and at.site.visits == 1:
        return None  # two steps in straight-line code
    uncalled = telling.uncalled("zero_grad", loop)
    if uncalled is not None:
        return uncalled
    clearings = telling.clearings(loop)
    facts: dict[str, str] = {}
    inside = [item for item in clearings if item.relation is Relation.WHOLE and loop is not None and loop in item.loops]
    if inside:
        if first.iteration == at.iteration and first.site is not at.site:
            facts["path"] = "it is the second step of an iteration"
        else:
            ungated = next(
                (step for step in (at, first) if window_of(step.site.program, step.site.row, loop) is None), None
            )
            gates = [item.window for item in inside]
            if ungated is not None and all(gate is not None for gate in gates) and gates[0] is not None:
                facts = {"window": gates[0].text, "size": gates[0].size}
                return telling.case(window.Mistake.STEP_OUTSIDE, ungated, (), loop, facts)
            ways = sorted({way for item in inside for way in item.gates})
            facts["path"] = ", ".join(ways) or f"`{inside[0].event.text}` is passed over"
    else:
        wrong = _wrong_target(telling, clearings, loop)
        if wrong is not None:
            facts["wrong_target"] = wrong
    old = account.last_use[-1] if account.last_use else None
    trail = [
        *([telling.moment(old, "gradients computed")] if old is not None else []),
        telling.moment(first, "gradients used"),
        *(telling.moment(entry, "new gradients are added to the used ones") for entry in added[-2:]),
        telling.moment(at, "a step with the old gradients still in place"),
    ]
    return telling.case(
        Mistake.STALE_STEP,
        at,
        trail,
        loop,
        facts,
        telling.related(clearings, loop),
        account.deposits,
        [p for held in account.leftover or () if (p := held()) is not None],
    )


def _wrong_target(telling: Telling, clearings: list[Clearing], loop: Loop | None) -> str | None:
    """A clear in the loop that looks like the missing one, but clears something else: its text."""
    stepped = [
        account
        for account in telling.history.accounts.values()
        if any(loop is not None and loop in site.loops for site in account.step_sites)
    ]
    held = {
        id(p)
        for account in stepped
        if (o := account.optimizer()) is not None
        for g in o.param_groups
        for p in g["params"]
    }
    for item in clearings:
        if loop is None or loop not in item.loops:
            continue
        if item.relation is Relation.PART:
            return item.event.text
        if item.relation is Relation.OTHER:
            if any(item.owner is account.optimizer() for account in stepped):
                continue
            if isinstance(item.owner, torch.nn.Module) and any(id(p) in held for p in item.owner.parameters()):
                continue
            return item.event.text
    return None


def repeated(telling: Telling) -> Case | None:
    """The case of a second step on the gradients that a first one has used."""
    account, at = telling.account, telling.at
    first = account.last_step
    if first is None or first.site is at.site or first.iteration != at.iteration:
        return None  # a loop around steps alone is how steps are timed
    if not account.windows or account.windows[-1].step is not first or not account.windows[-1].fresh:
        return None
    if first.site.loops != at.site.loops:
        return None
    loop = innermost(at.site)
    trail = [
        *(telling.moment(entry, "gradients computed") for entry in account.last_use[-1:]),
        telling.moment(first, "gradients used"),
        telling.moment(at, "a step with the old gradients still in place"),
    ]
    related = telling.related((), loop)
    return telling.case(Mistake.REPEATED_STEP, at, trail, loop, {}, related, account.last_use)


def mixed(telling: Telling) -> Case | None:
    """The case of a step that also applies the gradients of another optimizer's loss."""
    account, at = telling.account, telling.at
    foreign = account.foreign
    if foreign is None or not account.deposits or account.deposits[-1].site is foreign.site:
        return None
    others = [
        other
        for other in telling.history.accounts.values()
        if other is not account and any(entry.number == foreign.number for entry in other.last_use)
    ]
    if not others:
        return None
    name = Telling(telling.history, others[0], at, telling.frames).subject
    trail = [
        telling.moment(foreign, "gradients computed"),
        telling.moment(account.deposits[-1], "new gradients are added to those of the other loss"),
        telling.moment(at, "a step with the gradients of both losses"),
    ]
    facts = {"foreign": foreign.site.text, "other": name}
    return telling.case(Mistake.MIXED_STEP, at, trail, innermost(at.site), facts, (), account.deposits)
