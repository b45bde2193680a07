"""Parameters and optimizers that miss each other: frozen, forgotten, or replaced after the optimizer took them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from weakref import ref

import torch
from torch import Tensor

from loopguard.case import Case
from loopguard.lifecycles import construction
from loopguard.lifecycles.coverage import Mistake
from loopguard.runtime.ledger import Account
from loopguard.runtime.names import modules_alive
from loopguard.runtime.verdicts.telling import Telling, innermost

_STEPS = 3
"""How many steps an optimizer gets until what it misses is missing."""


@dataclass(slots=True)
class Reached:
    """The parameters that a backward pass was seen to reach, with the versions that they had."""

    parameters: list[tuple[ref[Tensor], int]] = field(default_factory=list)

    def look(self, leaves: Sequence[Tensor]) -> None:
        """Remember the parameters among the leaves of a graph."""
        known = {id(p) for held, _ in self.parameters if (p := held()) is not None}
        self.parameters += [
            (ref(leaf), leaf._version)
            for leaf in leaves
            if isinstance(leaf, torch.nn.Parameter) and id(leaf) not in known
        ]


def uncovered(telling: Telling, reached: Reached) -> list[Tensor]:
    """The parameters that have gradients, that no optimizer holds, and that nobody has updated by hand."""
    held = {id(p) for account in telling.history.accounts.values() for p in _held(account)}
    return [
        p
        for weak, version in reached.parameters
        if (p := weak()) is not None
        and id(p) not in held
        and p.requires_grad
        and p.grad is not None
        and p._version == version
    ]


def missed(telling: Telling, reached: Reached, backwards: int) -> Case | None:
    """The case of an optimizer and parameters that miss each other, once it has stepped a few times."""
    account = telling.account
    if account.steps + 1 != _STEPS or backwards < _STEPS - 1 or account.inner:
        return None
    held = telling.parameters
    fed = [p for p in held if p.grad is not None or id(p) in account.contents]
    free = [p for p in uncovered(telling, reached) if not fed or _together(p, fed)]
    unfed = account.fed == 0
    loop = innermost(telling.at.site)
    if loop is None:
        return None
    trail = (telling.moment(telling.at, "a step" if fed else "a step without gradients"),)

    def case(mistake: Enum, parameters: Sequence[Tensor]) -> Case:
        facts = {"first": telling.names(parameters[:1])[0], "count": str(len(parameters))}
        return telling.case(mistake, telling.at, trail, loop, facts, (), (), parameters)

    if unfed and not any(p.requires_grad for p in held):
        return case(Mistake.UNFED, held) if held else None
    if unfed and any(p.grad is not None for p in held):
        return None  # given by hand, as from a copy of the model in each thread or process
    if free:
        orphans = [p for p in held if p.grad is None]
        if _are_replaced(orphans, free):
            return case(construction.Mistake.REPLACED, free)
        if not unfed:
            return case(Mistake.UNCOVERED, free)
        return case(Mistake.UNFED, held)
    if (
        unfed
        and held
        and reached.parameters
        and not any(other.fed for other in telling.history.accounts.values() if other is not account)
    ):
        successors = _successors(telling, held)
        return case(construction.Mistake.REPLACED, successors) if successors else case(Mistake.UNFED, held)
    return None


def _held(account: Account) -> list[Tensor]:
    optimizer = account.optimizer()
    return [] if optimizer is None else [p for group in optimizer.param_groups for p in group["params"]]


def _successors(telling: Telling, held: Sequence[Tensor]) -> list[Tensor]:
    """The parameters with gradients that have come in the place of some that no module has any more, all of them.

    Those of a sharded module are not the leaves of its graph.
    """
    taken = {id(p) for account in telling.history.accounts.values() for p in _held(account)}
    found: list[Tensor] = [
        p
        for module in modules_alive()
        for p in module._parameters.values()
        if p is not None and p.grad is not None and id(p) not in taken
    ]
    alike = {p.shape for p in held} <= {p.shape for p in found}
    return found if alike and _are_replaced(held, found) else []


def _together(free: Tensor, fed: Sequence[Tensor]) -> bool:
    """Whether a module in training holds both a free parameter and one that the optimizer feeds."""
    wanted = {id(p) for p in fed}
    for module in modules_alive():
        ids = {id(p) for p in module.parameters()}
        if id(free) in ids and ids & wanted and _is_training(module, free):
            return True
    return False


def _is_training(module: torch.nn.Module, parameter: Tensor) -> bool:
    """Whether the part of a module that owns a parameter is in training mode."""
    owners = [part for part in module.modules() if any(p is parameter for p in part._parameters.values())]
    return all(owner.training for owner in owners)


def _are_replaced(old: Sequence[Tensor], new: Sequence[Tensor]) -> bool:
    """Whether some parameters were those of modules, and modules have others now."""
    made = [p for p in old if isinstance(p, torch.nn.Parameter)]
    owned = {id(p) for module in modules_alive() for p in module._parameters.values()} if made else set()
    return any(id(p) not in owned for p in made) and any(id(p) in owned for p in new)
