"""Guards that are interrupted again and again, at moments that nobody has chosen, and what is left of torch then.

Run as a script with `auto` or `full`, it prints after how many interrupts torch was not as before, or a guard was blind.
"""

from __future__ import annotations

import json
import random
import signal
import sys
import threading
from types import FrameType, ModuleType
from typing import Any

import torch
from torch.nn.modules import module as modules
from torch.nn.utils import clip_grad
from torch.optim import lr_scheduler
from torch.optim import optimizer as optimizers

import loopguard

ROUNDS = 2000

_PLACES = (
    *(torch.autograd, torch.optim.Optimizer, torch.nn.Module, torch.nn.parallel.DistributedDataParallel),
    *(torch.no_grad, torch.inference_mode, torch.set_grad_enabled, torch.amp.GradScaler),
    *(torch.distributed, torch.distributed.distributed_c10d, clip_grad, lr_scheduler, lr_scheduler.LRScheduler),
)


def state_of_torch() -> list[dict[str, Any]]:
    """What there is in all places of torch that a guard patches, without the modules that torch imports when it likes."""
    hooks = (
        optimizers._global_optimizer_pre_hooks,
        optimizers._global_optimizer_post_hooks,
        modules._global_forward_pre_hooks,
    )
    places = [
        {name: value for name, value in vars(place).items() if not issubclass(type(value), ModuleType)}
        for place in _PLACES
    ]
    return places + [dict(enumerate(table.values())) for table in hooks]


MODEL = torch.nn.Linear(3, 1)


def uncleared(steps: int) -> None:
    optimizer = torch.optim.SGD(MODEL.parameters(), lr=1e-6)
    for _ in range(steps):
        MODEL(torch.ones(2, 3)).sum().backward()
        optimizer.step()


def is_seen(ledger: Any) -> bool:
    """Whether a guard that begins now sees a mistake."""
    with loopguard.guard(on_finding="collect", ledger=ledger) as watch:
        uncleared(3)
    return [finding.code for finding in watch.findings] == ["LG101"] and watch.steps == 3 and watch.failed is None


def is_seen_elsewhere(ledger: Any) -> bool:
    """Whether a guard in another thread sees a mistake: it would wait forever for a lock that is still taken."""
    seen: list[bool] = []
    thread = threading.Thread(target=lambda: seen.append(is_seen(ledger)), daemon=True)
    thread.start()
    thread.join(60)
    return seen == [True]


_heard: list[int] = []


def _stop(number: int, frame: FrameType | None) -> None:
    _heard.append(number)
    raise KeyboardInterrupt


def main(ledger: Any) -> None:
    signal.signal(signal.SIGALRM, _stop)
    is_seen(ledger)
    before, chance = state_of_torch(), random.Random(0)
    torn, blind = [], []
    for number in range(ROUNDS):
        try:
            signal.setitimer(signal.ITIMER_REAL, chance.uniform(1e-4, 6e-3))
            while len(_heard) == number:  # Python itself drops an interrupt that comes in a finalizer
                with loopguard.guard(on_finding="collect", ledger=ledger):
                    pass
                with loopguard.guard(on_finding="collect", ledger=ledger):
                    uncleared(2)
        except KeyboardInterrupt:
            torch.set_grad_enabled(True)  # a step of torch itself, cut off, may leave it off
        if state_of_torch() != before:
            torn.append(number)
        if number % 20 == 0 and not is_seen(ledger):
            blind.append(number)
    told = {"interrupts": len(_heard), "torn": torn, "blind": blind, "seen": is_seen(ledger)}
    print(json.dumps({**told, "elsewhere": is_seen_elsewhere(ledger)}))


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(sys.argv[1])
