"""The rest of an update: loss scaling, clips of gradients, learning-rate schedules.

Each scenario is short where it can be: what is wrong has to be found in the first iterations that can show it.
"""

# ruff: noqa: B023 - each closure is called in the iteration that defines it

import math
from contextlib import nullcontext, suppress

import torch
from tiny import batches, loss_of, network
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_
from torch.optim import LBFGS, SGD, Adam
from torch.optim.lr_scheduler import (
    ChainedScheduler,
    CosineAnnealingWarmRestarts,
    ExponentialLR,
    LambdaLR,
    LinearLR,
    LRScheduler,
    OneCycleLR,
    ReduceLROnPlateau,
    SequentialLR,
    StepLR,
)

import loopguard

FEW = 4
"""Batches: enough to come round to everything once more."""


def scaler_of(scale: float = 8.0) -> torch.amp.GradScaler:
    return torch.amp.GradScaler("cpu", init_scale=scale)


class Halving(LRScheduler):
    """A schedule of the user's own."""

    def get_lr(self) -> list[float]:
        return [base * 0.5**self.last_epoch for base in self.base_lrs]


# Scalers.


def broken_no_update() -> None:
    model, scaler = network(), scaler_of()
    optimizer = SGD(model.parameters(), lr=0.01)
    for batch in batches(FEW):
        optimizer.zero_grad()
        scaler.scale(loss_of(model, batch)).backward()
        with suppress(RuntimeError):
            scaler.step(optimizer)  # expect: LG501


def healthy_two_optimizers_and_one_update() -> None:
    first, second, scaler = network(), network(), scaler_of()
    one, two = SGD(first.parameters(), lr=0.01), Adam(second.parameters())
    for batch in batches():
        one.zero_grad()
        two.zero_grad()
        (scaler.scale(loss_of(first, batch)) + scaler.scale(loss_of(second, batch))).backward()
        scaler.unscale_(one)
        scaler.step(one)
        scaler.step(two)
        scaler.update()


def healthy_two_losses_in_turn() -> None:
    first, second, scaler = network(), network(), scaler_of()
    one, two = SGD(first.parameters(), lr=0.01), Adam(second.parameters())
    for batch in batches():
        one.zero_grad()
        scaler.scale(loss_of(first, batch)).backward()
        scaler.step(one)
        two.zero_grad()
        scaler.scale(loss_of(second, batch)).backward()
        scaler.step(two)
        scaler.update()


def healthy_one_with_a_scaler_and_one_without() -> None:
    first, second, scaler = network(), network(), scaler_of()
    one, two = SGD(first.parameters(), lr=0.01), Adam(second.parameters())
    for batch in batches():
        one.zero_grad()
        scaler.scale(loss_of(first, batch)).backward()
        scaler.step(one)
        scaler.update()
        two.zero_grad()
        loss_of(second, batch).backward()
        two.step()


def healthy_a_scaler_that_is_disabled() -> None:
    model, scaler = network(), torch.amp.GradScaler("cpu", enabled=False)
    optimizer = SGD(model.parameters(), lr=0.01)
    for batch in batches():
        optimizer.zero_grad()
        scaler.scale(loss_of(model, batch)).backward()
        clip_grad_norm_(model.parameters(), 1.0)
        scaler.step(optimizer)


def healthy_steps_that_are_skipped() -> None:
    model, scaler = network(), scaler_of(2.0**127)
    optimizer = SGD(model.parameters(), lr=0.01)
    for batch in batches():
        optimizer.zero_grad()
        scaler.scale(loss_of(model, batch) * 1e4).backward()
        scaler.unscale_(optimizer)
        clip_grad_norm_(model.parameters(), 1.0)
        scaler.step(optimizer)
        scaler.update()


def healthy_a_window() -> None:
    model, scaler = network(), scaler_of()
    optimizer = SGD(model.parameters(), lr=0.01)
    for number, batch in enumerate(batches(), 1):
        scaler.scale(loss_of(model, batch) / 4).backward()
        if number % 4 == 0:
            scaler.unscale_(optimizer)
            clip_grad_norm_(model.parameters(), 1.0)
            scaler.step(optimizer)
            scaler.update()
            optimizer.zero_grad()


def healthy_divided_after_scaling() -> None:
    model, scaler = network(), scaler_of()
    optimizer = SGD(model.parameters(), lr=0.01)
    for batch in batches():
        optimizer.zero_grad()
        (scaler.scale(loss_of(model, batch)) / 2).backward()
        (scaler.scale(loss_of(model, batch)) / 2).backward()
        scaler.step(optimizer)
        scaler.update()


def healthy_a_list_of_losses() -> None:
    model, scaler = network(), scaler_of()
    optimizer = SGD(model.parameters(), lr=0.01)
    for batch in batches():
        optimizer.zero_grad()
        losses = scaler.scale([loss_of(model, batch), loss_of(model, batch)])
        torch.autograd.backward(losses)
        scaler.step(optimizer)
        scaler.update()


def healthy_unscaled_and_stepped_plainly() -> None:
    model, scaler = network(), scaler_of()
    optimizer = SGD(model.parameters(), lr=0.01)
    for batch in batches():
        optimizer.zero_grad()
        scaler.scale(loss_of(model, batch)).backward()
        scaler.unscale_(optimizer)
        optimizer.step()
        scaler.update()


def broken_bypassed() -> None:
    model, scaler = network(), scaler_of()
    optimizer = SGD(model.parameters(), lr=0.01)
    for batch in batches(FEW):
        optimizer.zero_grad()
        scaler.scale(loss_of(model, batch)).backward()
        optimizer.step()  # expect: LG502
        with suppress(AssertionError):
            scaler.update()


def broken_never_scaled() -> None:
    model, scaler = network(), scaler_of()
    optimizer = SGD(model.parameters(), lr=0.01)
    for batch in batches(FEW):
        optimizer.zero_grad()
        loss_of(model, batch).backward()
        with suppress(AssertionError):
            scaler.step(optimizer)  # expect: LG501, LG502 (which it never comes to)
            scaler.update()


def broken_clipped_while_scaled() -> None:
    model, scaler = network(), scaler_of()
    optimizer = SGD(model.parameters(), lr=0.01)
    for batch in batches(FEW):
        optimizer.zero_grad()
        scaler.scale(loss_of(model, batch)).backward()
        nn.utils.clip_grad_value_(clip_value=0.1, parameters=model.parameters())  # expect: LG503
        scaler.step(optimizer)
        scaler.update()


def broken_unscaled_twice() -> None:
    # torch refuses to, in the same iteration.
    model, scaler = network(), scaler_of()
    optimizer = SGD(model.parameters(), lr=0.01)
    for batch in batches(FEW):
        optimizer.zero_grad()
        scaler.scale(loss_of(model, batch)).backward()
        scaler.unscale_(optimizer)
        try:
            scaler.unscale_(optimizer)  # expect: LG505
        except RuntimeError:
            scaler.step(optimizer)
        scaler.update()


# Clips.


def healthy_a_generator() -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.01)
    for batch in batches():
        optimizer.zero_grad()
        loss_of(model, batch).backward()
        norm = nn.utils.clip_grad_norm_((p for p in model.parameters()), 1e-3)
        assert norm > 0
        value = max(float(p.grad.abs().max()) for p in model.parameters())
        nn.utils.clip_grad_value_((p for p in model.parameters()), value / 2)
        assert max(float(p.grad.abs().max()) for p in model.parameters()) <= value / 2 + 1e-9
        optimizer.step()


def healthy_one_network_of_several() -> None:
    first, second = network(), network()
    one, two = SGD(first.parameters(), lr=0.01), Adam(second.parameters())
    for batch in batches():
        one.zero_grad()
        two.zero_grad()
        (loss_of(first, batch) + loss_of(second, batch)).backward()
        clip_grad_norm_(first.parameters(), 1.0)
        one.step()
        two.step()


def healthy_a_measure() -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.01)
    for batch in batches():
        optimizer.zero_grad()
        loss_of(model, batch).backward()
        optimizer.step()
        clip_grad_norm_(model.parameters(), max_norm=math.inf)


def healthy_between_two_steps() -> None:
    first, second = network(), network()
    one, two = SGD(first.parameters(), lr=0.01), Adam(second.parameters())
    for batch in batches():
        one.zero_grad()
        two.zero_grad()
        (loss_of(first, batch) + loss_of(second, batch)).backward()
        one.step()
        clip_grad_norm_(second.parameters(), 1.0)
        two.step()


def healthy_within_a_closure() -> None:
    model = network()
    optimizer = LBFGS(model.parameters(), lr=0.1, max_iter=3)
    for batch in batches(8):

        def closure() -> Tensor:
            optimizer.zero_grad()
            loss = loss_of(model, batch)
            loss.backward()
            clip_grad_norm_(model.parameters(), 1.0)
            return loss

        optimizer.step(closure)


def broken_after_the_step() -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.01)
    for batch in batches(FEW):
        optimizer.zero_grad()
        loss_of(model, batch).backward()
        optimizer.step()
        clip_grad_norm_(model.parameters(), 1.0)  # expect: LG504


def broken_before_the_backward_pass() -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.01)
    for batch in batches(FEW):
        optimizer.zero_grad()
        clip_grad_norm_(model.parameters(), 1.0)  # expect: LG504
        loss_of(model, batch).backward()
        optimizer.step()


def broken_clipped_another() -> None:
    model, other = network(), network()
    optimizer = SGD(model.parameters(), lr=0.01)
    for batch in batches(FEW):
        optimizer.zero_grad()
        loss_of(model, batch).backward()
        clip_grad_norm_(other.parameters(), 1.0)  # expect: LG506
        optimizer.step()


# Schedules.


def train(model: nn.Module, optimizer: torch.optim.Optimizer, count: int = FEW) -> None:
    for batch in batches(count):
        optimizer.zero_grad()
        loss_of(model, batch).backward()
        optimizer.step()


def healthy_schedules_of_schedules() -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.01)
    sequence = SequentialLR(optimizer, [LinearLR(optimizer), ExponentialLR(optimizer, 0.9)], milestones=[2])
    chain = ChainedScheduler([StepLR(optimizer, 3), ExponentialLR(optimizer, 0.9)])
    for _ in range(6):
        train(model, optimizer)
        sequence.step()
        chain.step()


def healthy_one_cycle_and_restarts() -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.01, momentum=0.9)
    cycle = OneCycleLR(optimizer, max_lr=0.1, total_steps=40)
    for batch in batches():
        optimizer.zero_grad()
        loss_of(model, batch).backward()
        optimizer.step()
        cycle.step()
    restarts = CosineAnnealingWarmRestarts(SGD(model.parameters(), lr=0.01), T_0=2)
    for number, batch in enumerate(batches(8)):
        restarts.step(number / 8)
        restarts.optimizer.zero_grad()
        loss_of(model, batch).backward()
        restarts.optimizer.step()


def healthy_a_plateau_after_epochs() -> None:
    model = network()
    optimizer = Adam(model.parameters())
    plateau, rate = ReduceLROnPlateau(optimizer), LambdaLR(optimizer, lambda epoch: 0.9**epoch)
    for epoch in range(4):
        train(model, optimizer)
        plateau.step(metrics=1.0 / (epoch + 1))
        rate.step()


def healthy_a_schedule_of_the_users() -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.01)
    schedule = Halving(optimizer)
    for _ in range(4):
        train(model, optimizer)
        schedule.step()


def healthy_a_first_step_that_is_skipped() -> None:
    model, scaler = network(), scaler_of(2.0**127)
    optimizer = SGD(model.parameters(), lr=0.01)
    schedule = StepLR(optimizer, 10)
    for batch in batches():
        optimizer.zero_grad()
        scaler.scale(loss_of(model, batch) * 1e4).backward()
        scaler.step(optimizer)
        scaler.update()
        schedule.step()


def healthy_resumed() -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.01)
    train(model, optimizer)
    state = StepLR(optimizer, 2).state_dict()
    schedule = StepLR(optimizer, 2)
    schedule.load_state_dict(state)
    for _ in range(4):
        train(model, optimizer)
        schedule.step()


def healthy_handed_on() -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.01)
    parts = {"schedule": StepLR(optimizer, 2)}

    def finish(schedule: LRScheduler) -> None:
        schedule.step()

    for _ in range(4):
        train(model, optimizer)
        finish(parts["schedule"])


def broken_too_early() -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.01)
    schedule = StepLR(optimizer, 2)
    for batch in batches(FEW):
        schedule.step()  # expect: LG601
        optimizer.zero_grad()
        loss_of(model, batch).backward()
        optimizer.step()


def broken_no_metric() -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.01)
    schedule = ReduceLROnPlateau(optimizer)
    for _ in range(2):
        train(model, optimizer)
        try:
            schedule.step()  # expect: LG604
        except TypeError:
            continue


# Guards.


def healthy_begun_in_the_middle() -> None:
    model, scaler = network(), scaler_of()
    optimizer = SGD(model.parameters(), lr=0.01)
    schedule = StepLR(optimizer, 5)
    for number, batch in enumerate(batches()):
        with loopguard.guard(on_finding="collect") if number == 9 else nullcontext():
            scaler.scale(loss_of(model, batch)).backward()
            scaler.unscale_(optimizer)
            clip_grad_norm_(model.parameters(), 1.0)
        scaler.step(optimizer)
        scaler.update()
        schedule.step()
        optimizer.zero_grad()


def healthy_wrapped_beside_another() -> None:
    first, second, scaler = network(), network(), scaler_of()
    one, two = loopguard.wrap(SGD(first.parameters(), lr=0.01)), SGD(second.parameters(), lr=0.01)
    schedule = StepLR(one, 5)
    for batch in batches():
        one.zero_grad()
        two.zero_grad()
        scaler.scale(loss_of(first, batch) + loss_of(second, batch)).backward()
        scaler.unscale_(one)
        clip_grad_norm_(first.parameters(), 1.0)
        scaler.step(one)
        scaler.step(two)
        scaler.update()
        schedule.step()


def healthy_nested() -> None:
    with loopguard.guard(on_finding="collect") as inner:
        healthy_a_window()
        healthy_schedules_of_schedules()
    assert inner.findings == []
