"""Movement: whether a step moves the parameters whose gradients it uses.

A step that was compiled or captured for other tensors, or that writes into copies, returns as any other does and
leaves the parameters as they are. Steps are looked at now and then, by the checksums of the parameters before and
after; parameters that should have moved and have not are looked at in the steps that follow, too.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from weakref import ref

import torch
from torch import Tensor
from torch.optim.optimizer import Optimizer

from loopguard.runtime.gradients import UNREADABLE
from loopguard.runtime.replicas import checksums, is_comparable

_PROOF = 16
"""In how many steps in a row a parameter stays where it is until that is how it will be. Some steps only collect."""

_MARGIN = 16
"""How many times the smallest change that its type can express a step should have moved a parameter."""


class Movement:
    """Watches the parameters of one optimizer around its steps."""

    def __init__(self) -> None:
        self._still: dict[int, tuple[ref[Tensor], int]] = {}
        self._looked: list[tuple[Tensor, float, int]] = []

    def before(self, optimizer: Optimizer, step: int) -> bool:
        """Look at the parameters before a step, counted from 1, if it is one to look at. Whether it is."""
        is_sparse = step & (step - 1) == 0
        if is_sparse or self._still:
            try:
                chosen = [(p, rate) for p, rate in _fed(optimizer) if is_sparse or id(p) in self._still]
                sums = checksums([p for p, _ in chosen])
            except UNREADABLE:
                chosen, sums = [], []
            self._looked = [(p, rate, total) for (p, rate), total in zip(chosen, sums, strict=True)]
        return is_sparse or bool(self._still)

    def after(self) -> list[Tensor]:
        """The parameters that steps with gradients leave as they are, beyond doubt. Each is told once."""
        if not self._looked:
            return []
        looked, self._looked = self._looked, []
        before, self._still = self._still, {}
        try:
            sums = checksums([p for p, _, _ in looked])
            still = [p for (p, rate, total), now in zip(looked, sums, strict=True) if now == total and _moves(p, rate)]
        except UNREADABLE:
            return []
        for p in still:
            known, times = before.get(id(p), (None, 0))
            is_known = known is not None and known() is p
            self._still[id(p)] = (ref(p), times + 1 if is_known else 1)
        proved = (weak() for weak, times in self._still.values() if times == _PROOF)
        return [parameter for parameter in proved if parameter is not None]


def _fed(optimizer: Optimizer) -> Iterator[tuple[Tensor, float]]:
    """The parameters that have gradients, with their learning rates, where these are not zero."""
    for group in optimizer.param_groups:
        rate: Any = group.get("lr", 0.0)
        if float(rate) != 0.0:
            for p in group["params"]:
                if p.grad is not None and is_comparable(p):
                    yield p, float(rate)


def _moves(parameter: Tensor, rate: float) -> bool:
    """Whether a step of any kind has to change at least one bit of a parameter.

    Some move by the gradient times the learning rate, some by the learning rate whatever the gradient. Gradients that
    are not finite are thrown away by those who scale them.
    """
    grad = parameter.grad
    if grad is None or parameter.numel() == 0 or not parameter.is_floating_point():
        return False
    with torch.no_grad(), torch._C.DisableTorchFunction():
        p, g = (getattr(values, "_local_tensor", values).detach() for values in (parameter, grad))
        if p.numel() == 0 or p.element_size() == 1:
            return False
        largest = float(g.abs().max())
        smallest_change = torch.finfo(p.dtype).eps * max(float(p.abs().max()), torch.finfo(p.dtype).tiny)
    return largest < float("inf") and min(rate, rate * largest) > _MARGIN * smallest_change
