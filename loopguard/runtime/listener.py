"""Who is told by the hooks, and of what."""

from __future__ import annotations

from bdb import BdbQuit
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.amp import GradScaler
from torch.optim.lr_scheduler import LRScheduler
from torch.optim.optimizer import Optimizer

from loopguard.errors import TrainingLoopError

MEANT = (TrainingLoopError, BdbQuit)
"""What a listener may raise into the training; all else is a bug of ours, which ends the listening."""


class Listener(Protocol):
    """Who is told."""

    def fail(self, error: BaseException) -> None:
        """It has failed at what it was told, and will be told nothing more."""

    def interrupted(self) -> None:
        """What it was told, or was about to be told, was cut off by something that is for the user, such as Ctrl-C."""

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

    def step_ends(self, optimizer: Optimizer) -> None:
        """It has stepped."""

    def switched(self, module: torch.nn.Module, before: bool) -> bool:
        """A module has been switched to training or evaluation; `before` it was in training mode, or not.

        Returns whether the listener wants to be told of the forward passes that follow.
        """

    def recording_stops(self, frame: FrameType) -> bool:
        """A block has begun, in `frame`, in which autograd records nothing. Returns the same."""

    def forward_begins(self, module: torch.nn.Module) -> bool:
        """A module is about to compute something. Returns whether the listener wants to be told of the next one."""

    def scaled_step_begins(self, optimizer: Optimizer, scaler: GradScaler) -> None:
        """A GradScaler is about to step an optimizer, or to skip the step."""

    def scaled_step_ends(self, optimizer: Optimizer, error: BaseException | None) -> None:
        """It has, or has failed."""

    def scaled(self, scaler: GradScaler, losses: object) -> None:
        """A GradScaler has scaled a loss or several; these are the scaled ones."""

    def unscale_begins(self, scaler: GradScaler, optimizer: Optimizer) -> None:
        """A GradScaler has been asked to unscale the gradients of an optimizer."""

    def updated(self, scaler: GradScaler) -> None:
        """A GradScaler has updated its scale."""

    def clip_begins(self, parameters: Sequence[Tensor], gradients: Sequence[Tensor]) -> None:
        """Gradients are about to be clipped: these, or those of these parameters, where they are known."""

    def scheduled(self, schedule: LRScheduler) -> None:
        """A learning-rate schedule has been constructed."""

    def schedule_begins(self, schedule: LRScheduler, is_told: bool, is_part: bool) -> None:
        """A schedule is about to move on: told where to or how it goes, or not; by itself, or as part of another."""
