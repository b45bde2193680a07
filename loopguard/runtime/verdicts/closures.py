"""Closures as they were called: what each evaluation did, and what it returned."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch.optim.optimizer import Optimizer

from loopguard.case import Case
from loopguard.lifecycles.closure import USES_GRADIENTS, Mistake
from loopguard.runtime.entries import Entry
from loopguard.runtime.verdicts.telling import Telling, innermost


@dataclass(slots=True)
class Evaluations:
    """What the evaluations of one step's closure have done so far."""

    source: str
    count: int = 0
    backwards: int = 0
    clears: int = 0
    returned_nothing: bool = False


def recording(
    closure: Callable[[], Any], check: Callable[[Evaluations], None]
) -> tuple[Callable[[], Any], Evaluations]:
    """A closure that does the same and keeps count; `check` is called after each evaluation."""
    seen = Evaluations(_source(closure))

    def evaluate(*args: Any, **kwargs: Any) -> Any:
        seen.count += 1
        result = closure(*args, **kwargs)
        seen.returned_nothing = result is None
        check(seen)
        return result

    return evaluate, seen


def needs_closure(optimizer: Optimizer) -> bool:
    """Whether an optimizer's `step` cannot do without: LBFGS."""
    try:
        parameter = inspect.signature(type(optimizer).step).parameters.get("closure")
    except (TypeError, ValueError):
        return False
    return parameter is not None and parameter.default is inspect.Parameter.empty


def absent(telling: Telling) -> Case:
    """The case of an optimizer that needs a closure and gets none."""
    return _case(telling, Mistake.ABSENT, telling.at)


def lacking(telling: Telling, seen: Evaluations, needed: bool) -> Case | None:
    """The case of a closure that does not do its part."""
    if not seen.count:
        return None
    if not seen.backwards:
        return None if USES_GRADIENTS.search(seen.source) else _case(telling, Mistake.NO_BACKWARD, telling.at)
    if needed and not seen.clears and not USES_GRADIENTS.search(seen.source):
        return _case(telling, Mistake.NO_CLEAR, telling.at)
    if needed and seen.returned_nothing:
        return _case(telling, Mistake.NO_RETURN, telling.at)
    return None


def _case(telling: Telling, mistake: Mistake, at: Entry) -> Case:
    return telling.case(mistake, at, (telling.moment(at, "the step"),), innermost(at.site), {})


def _source(closure: Callable[[], Any]) -> str:
    try:
        return inspect.getsource(inspect.unwrap(closure))
    except (OSError, TypeError):
        return ".grad"  # it cannot be read: who knows what it does
