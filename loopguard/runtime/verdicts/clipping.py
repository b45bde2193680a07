"""Clips as they were: of gradients that were used already, that were not there yet, or that nobody steps."""

from __future__ import annotations

from loopguard.case import Case
from loopguard.lifecycles.clipping import Mistake
from loopguard.lifecycles.scaling import Action
from loopguard.runtime.entries import Entry
from loopguard.runtime.uses import Vain
from loopguard.runtime.verdicts.by_hand import uses_gradients
from loopguard.runtime.verdicts.telling import Telling, common_loop


def misplaced(telling: Telling, vain: Vain) -> Case | None:
    """The case of a clip that has bounded nothing which a step has used."""
    last = telling.account.use.last
    if vain.mistake is Mistake.AFTER_STEP:
        other, note = vain.step, "gradients used"
    else:
        other, note = last.get(Action.SCALED_BACKWARD) or last.get(Action.BACKWARD), "gradients computed"
    if other is None:
        return None
    loop = common_loop([vain.clip.site, other.site])
    if loop is None or uses_gradients(vain.clip.site, loop):
        return None
    told = sorted([(other, note), (vain.clip, "clipped, to no effect")], key=lambda item: item[0].number)
    trail = [telling.moment(entry, text) for entry, text in told]
    step = other.site.text if vain.mistake is Mistake.AFTER_STEP else ""
    return telling.case(vain.mistake, vain.clip, trail, loop, {"step": step})


def astray(telling: Telling, step: Entry) -> Case | None:
    """The case of a clip of parameters that no optimizer holds."""
    loop = common_loop([telling.at.site, step.site])
    if loop is None or uses_gradients(telling.at.site, loop):
        return None
    trail = [telling.moment(telling.at, "these are clipped"), telling.moment(step, "others are stepped")]
    return telling.case(Mistake.WRONG_PARAMETERS, telling.at, trail, loop, {})
