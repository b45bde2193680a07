"""Looking at gradients: whether one is there, whether it is the one that was there, whether it holds anything.

Identity needs a weak reference: the id of a tensor that is gone is given to the next one. An accumulation raises the
version of the tensor in place, or puts a new one there (`create_graph=True`); `zero_()` and clipping raise the
version, too, and `.data.zero_()` does not. So a stamp that has not changed says that nothing was added, and only a
look at the values says that something was cleared.

Not every tensor has values to look at: on the device `meta` and in a mode that only traces there are none, and a
subclass may refuse. Nothing is known of those.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from weakref import ref

import torch
from torch import Tensor
from torch.optim.optimizer import Optimizer

UNREADABLE = (RuntimeError, TypeError)
"""What torch and subclasses of tensors raise where there are no values to look at."""

Stamp = tuple["ref[Tensor]", int] | None
"""The gradient that a parameter has at a moment: itself, weakly, and its version. None: it has none."""


def version_of(grad: Tensor) -> int:
    """How often a gradient was written in place; of a DTensor, how often its local shard was."""
    local = getattr(grad, "_local_tensor", None)
    try:
        version: int = grad._version if local is None else local._version
    except RuntimeError:  # made in inference mode: nobody counts
        return -1
    return version


def stamp(parameter: Tensor) -> Stamp:
    """The stamp of a parameter's gradient now."""
    grad = parameter.grad
    return None if grad is None else (ref(grad), version_of(grad))


def is_same(parameter: Tensor, before: Stamp) -> bool:
    """Whether nothing has been written to a parameter's gradient since `before`."""
    grad = parameter.grad
    if grad is None or before is None:
        return grad is None and before is None
    return before[0]() is grad and before[1] == version_of(grad)


def is_zero(grad: Tensor) -> bool | None:
    """Whether a gradient holds nothing but zeros; None where that cannot be seen. Synchronises an accelerator."""
    try:
        with torch.no_grad(), torch._C.DisableTorchFunction():
            values: Any = grad.detach()
            values = getattr(values, "_local_tensor", values)
            if values.layout is not torch.strided:
                values = values.coalesce().values() if values.layout is torch.sparse_coo else values.values()
            if values.is_floating_point() and values.element_size() == 1:
                values = values.float()  # eight-bit floats have no comparisons
            return not bool(values.any())
    except UNREADABLE:
        return None


def is_filled(parameter: Tensor) -> bool:
    """Whether a parameter has a gradient with values, of which some are not zero. Synchronises an accelerator."""
    grad = parameter.grad
    return grad is not None and not grad.is_meta and not is_zero(grad)


def parameters_of(optimizer: Optimizer) -> Iterator[Tensor]:
    """The parameters that an optimizer holds now, in its own order."""
    for group in optimizer.param_groups:
        yield from group["params"]


class Holding:
    """The ids of the parameters that an optimizer holds, worked out anew when its groups do not look the same."""

    __slots__ = ("_ids", "_looks")

    def __init__(self) -> None:
        self._looks: list[tuple[int, ...]] = []
        self._ids: frozenset[int] = frozenset()

    def of(self, optimizer: Optimizer) -> frozenset[int]:
        """The ids now."""
        groups = [group["params"] for group in optimizer.param_groups]
        looks = [(id(group), len(group), *(id(p) for p in (*group[:1], *group[-1:]))) for group in groups]
        if looks != self._looks:
            self._looks, self._ids = looks, frozenset(id(p) for group in groups for p in group)
        return self._ids


def leaves_of(roots: Any) -> list[Tensor]:
    """The leaves of the graph of some tensors: what a backward pass from them would deposit into."""
    found: list[Tensor] = []
    nodes = (getattr(root, "grad_fn", None) or getattr(root, "node", None) for root in roots)
    todo = [node for node in nodes if node is not None]
    seen = set(todo)
    while todo:
        node = todo.pop()
        variable = getattr(node, "variable", None)
        if isinstance(variable, Tensor):
            found.append(variable)
        for follower, _ in node.next_functions:
            if follower is not None and follower not in seen:
                seen.add(follower)
                todo.append(follower)
    return found
