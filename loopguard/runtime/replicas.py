"""Replicas: the parameters that several ranks should hold with the same bits, and what they hold.

A module that is wrapped in `DistributedDataParallel` starts equal on all ranks of its process group, because the
wrapper broadcasts it, and stays equal as long as every gradient goes through the wrapper. Buffers may differ, and so
may what a wrapper is told to ignore, or how it trains when a hook of somebody else's replaces the averaging.
"""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from weakref import ref

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.optimizer import Optimizer

from loopguard.runtime.gradients import parameters_of
from loopguard.runtime.names import modules_alive

_HOOKS = "torch.distributed.algorithms.ddp_comm_hooks."
_UNEQUAL = ("post_localSGD_hook", "ddp_zero_hook")
"""Communication hooks of torch's own that leave the replicas unequal for a while."""


@dataclass(slots=True)
class Replica:
    """One module that is the same on some ranks. `key` is what all of them call it."""

    key: str
    module: ref[nn.Module]
    ranks: tuple[int, ...]
    ignored: frozenset[str]
    wrappers: list[ref[DistributedDataParallel]] = field(default_factory=list)
    optimizers: list[ref[Optimizer]] = field(default_factory=list)

    def shared(self, optimizer: Optimizer) -> dict[str, Tensor]:
        """The parameters of an optimizer that should be equal on all ranks, by name."""
        module = self.module()
        if module is None or self._is_free():
            return {}
        held = {id(p) for p in parameters_of(optimizer)}
        return {
            name: p
            for name, p in module.named_parameters()
            if id(p) in held and p.requires_grad and name not in self.ignored and is_comparable(p)
        }

    def number(self, optimizer: Optimizer) -> int:
        """The place of an optimizer among those that have trained this module, the same on all ranks."""
        for number, known in enumerate(self.optimizers):
            if known() is optimizer:
                return number
        self.optimizers.append(ref(optimizer))
        return len(self.optimizers) - 1

    def is_uneven(self) -> bool:
        """Whether ranks may step a different number of times, because the wrapper joins uneven inputs."""
        return any(wrapper._join_config.enable for wrapper in self._alive())

    def _is_free(self) -> bool:
        """Whether the ranks are allowed to differ: gradients are not averaged, but somebody's hook is called."""
        hooks = (hook for wrapper in self._alive() for hook, _ in wrapper._comm_hooks)
        modules = (getattr(hook, "__module__", None) or "" for hook in hooks)
        return any(not module.startswith(_HOOKS) or module.endswith(_UNEQUAL) for module in modules)

    def _alive(self) -> Iterator[DistributedDataParallel]:
        return (wrapper for weak in self.wrappers if (wrapper := weak()) is not None)


class Replicas:
    """All replicas of this rank."""

    def __init__(self) -> None:
        self._known: list[Replica] = []
        self._has_looked = False

    def __iter__(self) -> Iterator[Replica]:
        if not self._known and not self._has_looked:
            self._look()
        return iter(self._known)

    def add(self, key: str, module: nn.Module, ranks: Sequence[int], ignored: Iterable[str] = ()) -> Replica:
        """A module that should be equal on some ranks, which all call it `key`."""
        replica = Replica(key, ref(module), tuple(ranks), frozenset(ignored))
        self._known.append(replica)
        return replica

    def wrapped(self, wrapper: DistributedDataParallel) -> None:
        """A module has been wrapped. All ranks do this together, and so in the same order."""
        for replica in self._known:
            if replica.module() is wrapper.module:
                replica.wrappers.append(ref(wrapper))
                return
        self._add_wrapped(str(len(self._known)), wrapper)

    def _look(self) -> None:
        """Find the modules that were wrapped before anybody listened. Those that look the same stay unknown."""
        self._has_looked = True
        found: dict[str, list[DistributedDataParallel]] = {}
        for wrapper in modules_alive():
            if isinstance(wrapper, DistributedDataParallel):
                looks = "".join(f"{name} {tuple(p.shape)}" for name, p in wrapper.module.named_parameters())
                found.setdefault(digest(looks), []).append(wrapper)
        for key, wrappers in found.items():
            if len(wrappers) == 1:
                self._add_wrapped(key, wrappers[0])

    def _add_wrapped(self, key: str, wrapper: DistributedDataParallel) -> None:
        ranks = dist.get_process_group_ranks(wrapper.process_group)
        self.add(key, wrapper.module, ranks, wrapper.parameters_to_ignore).wrappers.append(ref(wrapper))


def digest(text: str) -> str:
    """A short name of a text."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def checksums(parameters: Sequence[Tensor]) -> list[int]:
    """For each parameter a checksum of its bits. Synchronises an accelerator.

    Small ones are summed together: a call of torch for each part of each sum takes longer than the sums.
    """
    with torch.no_grad(), torch._C.DisableTorchFunction():
        sums: dict[torch.device, list[tuple[Sequence[int], Tensor]]] = {}
        small: dict[tuple[torch.device, torch.dtype], list[tuple[int, Tensor]]] = {}
        for number, bits in enumerate(map(_bits, parameters)):
            if bits.numel() > _SMALL:
                sums.setdefault(bits.device, []).append(([number], _checksum(bits).view(1)))
            else:
                small.setdefault((bits.device, bits.dtype), []).append((number, bits))
        for (device, _), those in small.items():
            weights = _weights(device)
            for start in range(0, len(those), _TOGETHER):
                numbers, parts = zip(*those[start : start + _TOGETHER], strict=True)
                sums.setdefault(device, []).append((numbers, _checksums(parts, weights)))
        values = [0] * len(parameters)
        for found in sums.values():
            every = torch.cat([part for _, part in found]).tolist()
            for number, value in zip((number for numbers, _ in found for number in numbers), every, strict=True):
                values[number] = value
        return values


def hardware(parameters: Sequence[Tensor]) -> str:
    """What the last bit of a result may depend on. Ranks on different hardware round differently, and rightly."""
    device = parameters[0].device
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device.type} {platform.machine()} {torch.backends.cpu.get_cpu_capability()} {torch.get_num_threads()}"


_PERIODS = (61, 64)

_MIX = 31
"""By what the sums of the two periods are told apart."""

_SMALL = 1024
"""How many elements a parameter may have to be summed with others."""

_TOGETHER = 256
"""How many of those are summed at a time. What that takes for a moment does not grow with their number."""

_INTEGERS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


def _bits(parameter: Tensor) -> Tensor:
    values = parameter.detach()
    values = getattr(values, "_local_tensor", values)
    values = torch.view_as_real(values) if values.is_complex() else values
    return values.flatten().view(_INTEGERS[values.element_size()])


def _checksum(bits: Tensor) -> Tensor:
    first, second = (_folded(bits, period) for period in _PERIODS)
    return first + _MIX * second


def _folded(bits: Tensor, period: int) -> Tensor:
    """The sum of some numbers, each with the weight of its place modulo a period.

    In a plain sum, what one element has lost and another has won is not seen: the biases behind a softmax do that.
    """
    whole = len(bits) // period * period
    sums = bits[:whole].view(-1, period).sum(0, dtype=torch.int64)
    sums[: len(bits) - whole] += bits[whole:]
    return (sums * torch.arange(1, 2 * period, 2, device=sums.device)).sum()


def _checksums(parts: Sequence[Tensor], weights: Tensor) -> Tensor:
    """The checksum of each of several small tensors, all at once: the differences of one running sum."""
    lengths = [part.numel() for part in parts]
    summands = torch.cat([*parts]) * torch.cat([weights[:length] for length in lengths])
    ends = torch.tensor([0, *accumulate(lengths)], device=weights.device)
    return torch.cat([weights.new_zeros(1), summands.cumsum(0)])[ends].diff()


def _weights(device: torch.device) -> Tensor:
    """By what the elements of a small tensor are multiplied, in both periods."""
    place = torch.arange(_SMALL, device=device)
    first, second = (2 * (place % period) + 1 for period in _PERIODS)
    return first + _MIX * second


def is_comparable(parameter: Tensor) -> bool:
    """Whether a parameter has bits of its own. What a sparse gradient adds up to depends on the order of addition."""
    grad = parameter.grad
    return (
        parameter.layout is torch.strided
        and parameter.device.type != "meta"
        and not nn.parameter.is_lazy(parameter)
        and (grad is None or grad.layout is torch.strided)
    )
