"""Tiny stand-ins for the wrappers that examples import, so that they run where only torch is installed.

They keep what an example is about, the promise of each wrapper, and nothing else:
https://huggingface.co/docs/accelerate/usage_guides/gradient_accumulation and
https://deepspeed.readthedocs.io/en/latest/training.html
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pytest


class PreparedOptimizer:
    """An optimizer whose `step` and `zero_grad` wait until the accelerator's window is full."""

    def __init__(self, accelerator: Accelerator, optimizer: Any) -> None:
        self._accelerator = accelerator
        self._optimizer = optimizer

    def step(self) -> None:
        if self._accelerator.sync_gradients:
            self._optimizer.step()

    def zero_grad(self, set_to_none: bool = True) -> None:
        if self._accelerator.sync_gradients:
            self._optimizer.zero_grad(set_to_none=set_to_none)


class Accelerator:
    """Accelerate's windows, on one device."""

    def __init__(self, gradient_accumulation_steps: int = 1) -> None:
        self._steps = gradient_accumulation_steps
        self._batches = 0
        self.sync_gradients = True

    def prepare(self, *objects: Any) -> tuple[Any, ...]:
        return tuple(
            PreparedOptimizer(self, o) if hasattr(o, "zero_grad") and hasattr(o, "step") else o for o in objects
        )

    @contextmanager
    def accumulate(self, *models: Any) -> Iterator[None]:
        self._batches += 1
        self.sync_gradients = self._batches % self._steps == 0
        yield

    def backward(self, loss: Any) -> None:
        (loss / self._steps).backward()

    def clip_grad_norm_(self, parameters: Any, max_norm: float) -> Any:
        from torch.nn.utils import clip_grad_norm_

        return clip_grad_norm_(parameters, max_norm)


class Engine:
    """DeepSpeed's engine: its `step` waits for the window, steps and clears."""

    def __init__(self, model: Any, optimizer: Any, steps: int) -> None:
        self._model, self._optimizer, self._steps, self._batches = model, optimizer, steps, 0

    def __call__(self, *inputs: Any) -> Any:
        return self._model(*inputs)

    def backward(self, loss: Any) -> None:
        (loss / self._steps).backward()

    def step(self) -> None:
        self._batches += 1
        if self._batches % self._steps == 0:
            self._optimizer.step()
            self._optimizer.zero_grad()


def initialize(model: Any, optimizer: Any, config: Mapping[str, Any]) -> tuple[Engine, Any, None, None]:
    """DeepSpeed's `initialize`."""
    return Engine(model, optimizer, config["gradient_accumulation_steps"]), optimizer, None, None


class Trainer:
    """The base of the Trainer's own subclasses. The examples define what it would call, and train nothing."""


def modules() -> dict[str, ModuleType | SimpleNamespace]:
    """What to put into `sys.modules` while an example runs."""
    from torch import nn

    lightning = SimpleNamespace(LightningModule=nn.Module)
    return {
        "lightning": lightning,
        "pytorch_lightning": lightning,
        "transformers": SimpleNamespace(Trainer=Trainer),
        "accelerate": SimpleNamespace(Accelerator=Accelerator),
        "deepspeed": SimpleNamespace(initialize=initialize),
    }


def install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let programs import the stand-ins, and the guard take them for the libraries that they stand in for."""
    from loopguard.runtime import sites

    for name, module in modules().items():
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr(sites, "_LIBRARY_FOLDERS", (*sites._LIBRARY_FOLDERS, __file__))
