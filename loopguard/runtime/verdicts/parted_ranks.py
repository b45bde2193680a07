"""Ranks that have parted: the case of a divergence, at the step after which it was seen."""

from __future__ import annotations

from dataclasses import replace

from loopguard.case import Case
from loopguard.lifecycles.ranks import Mistake
from loopguard.runtime.distributed import Divergence
from loopguard.runtime.verdicts.telling import Telling, innermost


def parted(telling: Telling, divergence: Divergence) -> Case:
    """The case of ranks that do not train the same model any more."""
    *others, last = map(str, divergence.ranks)
    facts = {"ranks": f"{', '.join(others)} and {last}"}
    times = f"{divergence.step} step{'s' if divergence.step > 1 else ''}"
    if divergence.mistake is Mistake.PARAMETERS_DIFFER:
        facts |= {"first": divergence.parameters[0], "count": str(len(divergence.parameters))}
        note = f"after {times} the ranks differ"
    else:
        note = f"the last of {times} on this rank"
    trail = (telling.moment(telling.at, note),)
    case = telling.case(divergence.mistake, telling.at, trail, innermost(telling.at.site), facts)
    return replace(case, parameters=divergence.parameters)
