"""Replicas as they exchanged gradients: after each backward pass of a window, although its step needs the last."""

from __future__ import annotations

from collections import deque
from weakref import ref

from torch.nn.parallel import DistributedDataParallel

from loopguard.case import Case
from loopguard.lifecycles.sampling import Mistake
from loopguard.runtime.entries import Entry
from loopguard.runtime.names import name_of
from loopguard.runtime.verdicts.telling import Telling
from loopguard.runtime.verdicts.windows import gate_of

_KEPT = 64
"""How many backward passes are remembered."""


class Exchanges:
    """In which of the last backward passes each wrapper has exchanged gradients."""

    def __init__(self) -> None:
        self._wrappers: list[tuple[ref[DistributedDataParallel], deque[int]]] = []

    def wrapped(self, module: object) -> None:
        """A module is trained by several processes from now on."""
        if isinstance(module, DistributedDataParallel):
            self._wrappers.append((ref(module), deque(maxlen=_KEPT)))

    def begins(self, backward: Entry) -> None:
        """A backward pass is about to begin. Whether it exchanges gradients was decided by the forward pass."""
        for known, exchanged in self._wrappers:
            wrapper = known()
            if wrapper is not None and wrapper.require_forward_param_sync:
                exchanged.append(backward.number)

    def by(self, held: frozenset[int]) -> tuple[DistributedDataParallel, deque[int]] | None:
        """The wrapper of some parameters, by their ids, and the backward passes in which it has exchanged gradients."""
        for known, exchanged in self._wrappers:
            wrapper = known()
            if wrapper is not None and any(id(p) in held for p in wrapper.parameters()):
                return wrapper, exchanged
        return None


def unneeded(telling: Telling, exchanges: Exchanges) -> Case | None:
    """The case of a window in which gradients were exchanged after each backward pass."""
    account = telling.account
    found, gate = exchanges.by(account.held), gate_of(telling)
    deposits = account.windows[-1].deposits if account.windows else ()
    if found is None or gate is None or len({entry.iteration for entry in deposits}) < 2:
        return None
    wrapper, exchanged = found
    if not all(entry.number in exchanged and entry.site is deposits[0].site for entry in deposits):
        return None
    name = name_of(wrapper, telling.frames) or type(wrapper).__name__
    trail = (
        *(telling.moment(entry, "gradients exchanged") for entry in deposits[:2]),
        telling.moment(telling.at, "used once per window"),
    )
    at = deposits[0].site.event(name)
    return Case(Mistake.NO_SYNC, name, at, trail, (), {"loop": gate[1].text, "window": gate[0].text})
