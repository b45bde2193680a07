"""Steps that leave parameters with gradients as they are."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from loopguard.case import Case
from loopguard.lifecycles.coverage import Mistake
from loopguard.runtime.verdicts.telling import Telling, innermost


def unmoved(telling: Telling, parameters: Sequence[Tensor]) -> Case | None:
    """The case of parameters that the steps of an optimizer have not moved, one after the other."""
    loop = innermost(telling.at.site)
    if loop is None or not parameters:
        return None
    facts = {"first": telling.names(parameters[:1])[0], "count": str(len(parameters))}
    trail = (telling.moment(telling.at, "a step after which the parameters are what they were before"),)
    return telling.case(Mistake.UNMOVED, telling.at, trail, loop, facts, parameters=parameters)
