"""Loss scaling as it was: steps past the scaler, clips of scaled gradients, scales that are never updated."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from torch.amp import GradScaler

from loopguard.case import Case
from loopguard.events import Moment
from loopguard.lifecycles.scaling import Action, Mistake
from loopguard.runtime.entries import Entry
from loopguard.runtime.names import name_of
from loopguard.runtime.sites import Site
from loopguard.runtime.verdicts.by_hand import uses_gradients
from loopguard.runtime.verdicts.telling import Telling, common_loop, window_of

_BY_HAND = re.compile(r"\bget_scale\(|\._scale\b|\binv_scale\b")
"""Somebody reckons with the scale."""

_RECEIVER = re.compile(r"(?P<scaler>[\w.\[\]'\"]+)\.\w+\(")


def no_update(telling: Telling, scaler: GradScaler | None) -> Case | None:
    """The case of a scaler that steps again and again, and is not updated."""
    at = telling.at
    before = telling.account.use.last.get(Action.SCALER_STEP)
    match = _RECEIVER.match(at.site.text)
    name = name_of(scaler, telling.frames) or (match["scaler"] if match is not None else "scaler")
    told = [entry for entry in (before, at) if entry is not None and entry.number <= at.number]
    trail = tuple(Moment(entry.site.event(name), "stepped through the scaler", entry.iteration) for entry in told)
    loop = common_loop([at.site])
    return Case(Mistake.NO_UPDATE, name, at.site.event(name), trail, (), {"loop": loop.text} if loop else {})


def bypassed(telling: Telling, scaler: GradScaler | None) -> Case | None:
    """The case of a step on scaled gradients that the scaler knows nothing of."""
    if _is_by_hand(telling):
        return None
    return _case(telling, Mistake.BYPASSED, Action.SCALED_BACKWARD, "gradients of the scaled loss", "stepped as it is")


def unscaled_loss(telling: Telling, scaler: GradScaler | None) -> Case | None:
    """The case of a step through the scaler with gradients that were never scaled."""
    if _is_by_hand(telling):
        return None
    return _case(telling, Mistake.UNSCALED_LOSS, Action.BACKWARD, "gradients computed", "divided by the scale")


def clipped_scaled(telling: Telling, scaler: GradScaler | None) -> Case | None:
    """The case of a clip of gradients that are still scaled."""
    if _is_by_hand(telling):
        return None
    return _case(telling, Mistake.CLIPPED_SCALED, Action.SCALED_BACKWARD, "gradients of the scaled loss", "clipped")


def unscaled_twice(telling: Telling, scaler: GradScaler | None) -> Case | None:
    """The case of gradients that are divided by the scale twice."""
    window = _window(telling)
    facts = {"window": window} if window else {}
    return _case(telling, Mistake.UNSCALED_TWICE, Action.UNSCALE, "unscaled", "unscaled again", facts)


def unscaled_late(telling: Telling, scaler: GradScaler | None) -> Case | None:
    """The case of gradients that are unscaled after their step."""
    return _case(telling, Mistake.UNSCALED_LATE, Action.SCALER_STEP, "unscaled and stepped", "unscaled again")


VERDICTS: dict[Mistake, Callable[[Telling, GradScaler | None], Case | None]] = {
    Mistake.NO_UPDATE: no_update,
    Mistake.BYPASSED: bypassed,
    Mistake.UNSCALED_LOSS: unscaled_loss,
    Mistake.CLIPPED_SCALED: clipped_scaled,
    Mistake.UNSCALED_TWICE: unscaled_twice,
    Mistake.UNSCALED_LATE: unscaled_late,
}
"""What looks at each mistake."""


def _case(
    telling: Telling, mistake: Mistake, began: Action, first: str, second: str, facts: dict[str, str] | None = None
) -> Case:
    begins = telling.account.use.last.get(began)
    told: Sequence[tuple[Entry, str]] = [(begins, first)] if begins is not None else []
    trail = [telling.moment(entry, note) for entry, note in [*told, (telling.at, second)]]
    sites: list[Site] = [telling.at.site, *(entry.site for entry, _ in told)]
    return telling.case(mistake, telling.at, trail, common_loop(sites), facts or {})


def _is_by_hand(telling: Telling) -> bool:
    """Whether the author may divide by the scale, or multiply with it, without the scaler."""
    backwards = [site for site in telling.history.backwards if site.loops]
    for site in (telling.at.site, *backwards):
        if any(_BY_HAND.search(line) for program, _ in site.ways for line in program.lines):
            return True
    loop = common_loop([telling.at.site])
    return loop is not None and uses_gradients(telling.at.site, loop)


def _window(telling: Telling) -> str:
    """The gate of the window, as written, in each of whose batches is unscaled; empty if there is none."""
    loop = common_loop([telling.at.site])
    for program, row in telling.at.site.ways if loop is not None else ():
        if loop is None or loop not in program.loops(row) or window_of(program, row, loop) is not None:
            continue
        for call, _ in program.calls("step", loop.node):
            gate = window_of(program, call.lineno, loop)
            if gate is not None:
                return gate.text
    return ""
