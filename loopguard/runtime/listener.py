"""The listener: what the hooks can tell, and who hears it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any

import torch
from torch.optim.optimizer import Optimizer


class Listener:
    """Who is told. This one takes nothing to heart: others hear what they need."""

    def fail(self, error: BaseException) -> None:
        """It has failed at what it was told, and will be told nothing more."""

    def made(self, optimizer: Optimizer) -> None:
        """An optimizer has been constructed."""

    def wrapped(self, module: torch.nn.Module) -> None:
        """A module has been wrapped for data-parallel training."""

    def leaves_group(self) -> None:
        """The default process group is about to be destroyed."""

    def backward_begins(self, roots: Sequence[Any]) -> None:
        """A backward pass that accumulates into leaves starts from these tensors."""

    def backward_ends(self, error: BaseException | None) -> None:
        """It is over, or has failed."""

    def cleared(self, owner: Optimizer | torch.nn.Module) -> None:
        """The gradients of an optimizer's or of a module's parameters have been cleared."""

    def step_begins(self, optimizer: Optimizer, closure: Callable[[], Any] | None) -> Callable[[], Any] | None:
        """An optimizer is about to step. May return a closure to be called in place of the given one."""
        return closure

    def step_ends(self, optimizer: Optimizer) -> None:
        """It has stepped."""

    def switched(self, module: torch.nn.Module, before: bool) -> bool:
        """A module has been switched to training or evaluation; `before` it was in training mode, or not.

        Returns whether the listener wants to be told of the forward passes that follow.
        """
        return False

    def recording_stops(self, frame: FrameType) -> bool:
        """A block has begun, in `frame`, in which autograd records nothing. Returns the same."""
        return False

    def forward_begins(self, module: torch.nn.Module) -> bool:
        """A module is about to compute something. Returns whether the listener wants to be told of the next one."""
        return False

    def scaled_step_begins(self, optimizer: Optimizer) -> None:
        """A GradScaler is about to step an optimizer, or to skip the step."""

    def scaled_step_ends(self, optimizer: Optimizer, error: BaseException | None) -> None:
        """It has, or has failed."""

    def scaler_made(self, scaler: Any) -> None:
        """A GradScaler has been constructed, and is not disabled."""

    def scaled(self, scaler: Any, losses: Any) -> None:
        """A GradScaler has multiplied losses, and gives these."""

    def unscales(self, scaler: Any, optimizer: Optimizer, *, stepping: bool) -> None:
        """A GradScaler is about to divide the gradients of an optimizer, by itself or for the step that it takes."""

    def updated(self, scaler: Any) -> None:
        """A GradScaler has changed its scale."""

    def clips(self, parameters: Sequence[torch.Tensor], bound: Any) -> None:
        """The gradients of some parameters are about to be bounded."""

    def schedule_made(self, schedule: Any) -> None:
        """A learning-rate schedule has been constructed."""

    def schedule_moves(self, schedule: Any, given: int) -> None:
        """A schedule is about to move, and is given so many arguments."""
