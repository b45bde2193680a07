"""Letting a known cycle of events go by changes nothing that the guard finds, counts or knows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest
import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.optim import SGD

from loopguard.runtime.cruise import Cruise
from loopguard.runtime.watch import Record, Watch

REFUSED = (RuntimeError, AssertionError)
"""What a scaler raises where it is called out of turn."""


class Trainer:
    """Two models and their optimizers, and what a training does with them, each from a line of its own."""

    def __init__(self) -> None:
        self.first, self.second = nn.Linear(2, 1), nn.Linear(2, 1)
        self.one = SGD(self.first.parameters(), lr=1e-4)
        self.two = SGD(self.second.parameters(), lr=1e-4)
        self.scaler = torch.amp.GradScaler("cpu", init_scale=2.0)
        self.slower = torch.optim.lr_scheduler.ExponentialLR(self.one, gamma=0.999)
        self.inputs = torch.randn(3, 2)

    def clear(self) -> None:
        self.one.zero_grad()

    def clear_module(self) -> None:
        self.first.zero_grad()

    def clear_by_hand(self) -> None:
        for p in self.first.parameters():
            p.grad = None

    def backward(self) -> None:
        self.first(self.inputs).sum().backward()

    def backward_of_both(self) -> None:
        (self.first(self.inputs) + self.second(self.inputs)).sum().backward()

    def step(self) -> None:
        self.one.step()

    def clear_other(self) -> None:
        self.two.zero_grad()

    def step_other(self) -> None:
        self.two.step()

    def step_scaled(self) -> None:
        self.scaler.scale(torch.zeros(()))
        if not any(p.grad is not None for p in self.first.parameters()):
            self.backward()  # the scaler itself refuses to step without gradients
        self.step_through()
        self.update()

    def step_skipped(self) -> None:
        for p in self.first.parameters():
            p.grad = torch.full_like(p, float("inf"))
        self.scaler.scale(torch.zeros(()))
        self.step_through()
        self.update()

    def backward_scaled(self) -> None:
        self.scaler.scale(self.first(self.inputs).sum()).backward()

    def unscale(self) -> None:
        with suppress(*REFUSED):
            self.scaler.unscale_(self.one)

    def clip(self) -> None:
        nn.utils.clip_grad_norm_(self.first.parameters(), 100.0)

    def step_through(self) -> None:
        with suppress(*REFUSED):
            self.scaler.step(self.one)

    def update(self) -> None:
        with suppress(*REFUSED):
            self.scaler.update()

    def schedule(self) -> None:
        self.slower.step()

    def step_twice_within_backward(self) -> None:
        handle = self.first.weight.register_post_accumulate_grad_hook(lambda p: self.one.step())
        self.backward()
        handle.remove()

    def raise_in_backward(self) -> None:
        def fail(grad: Tensor) -> None:
            raise ArithmeticError

        outputs = self.first(self.inputs)
        outputs.register_hook(fail)
        with pytest.raises(ArithmeticError):
            outputs.sum().backward()


ACTS = tuple(name for name in vars(Trainer) if not name.startswith("_"))
PLAIN = ("clear", "backward", "step")

Training = list[tuple[int, list[str]]]
"""Phases: how often which acts are done."""


def told(training: Training, *, cruises: bool) -> tuple[object, ...]:
    """Everything that a watch knows at the end of a training."""
    torch.manual_seed(0)
    watch = Watch(lambda record, frame: None)
    monitor = watch.monitors()[0]
    monitor._enabled = cruises
    watch.start()
    trainer = Trainer()
    for times, acts in training:
        for _ in range(times):
            for act in acts:
                getattr(trainer, act)()
    ledger = watch.ledger_text()
    visits = Counter()
    for site in monitor._bookkeeper.sites.all:
        visits[site.kind, site.row] += site.visits
    steps = [account.steps for account in monitor.history.accounts.values()]
    watch.stop()
    assert watch.failed is None, repr(watch.failed)
    return ledger, visits, steps, monitor._bookkeeper._now.iteration, [evidence(record) for record in watch.records]


def evidence(record: Record) -> tuple[object, ...]:
    found = record.finding
    moments = [(moment.event.place.row, moment.note, moment.iteration) for moment in found.evidence]
    return found.code, found.place.row, found.message, moments, found.iterations, record.count


@contextmanager
def counted_cruises() -> Iterator[list[int]]:
    """Counts how many events go by unseen, cruise by cruise."""
    seen: list[int] = []
    leave = Cruise._leave

    def counting(self: Cruise, error: BaseException | None) -> None:
        if self._cycle:
            seen.append((self._cycles - self._left) * len(self._cycle) + self._due.at)
        leave(self, error)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Cruise, "_leave", counting)
        yield seen


ENDINGS: list[list[str]] = [
    ["backward", "step"],
    ["backward"],
    ["clear", "step"],
    ["clear", "backward"],
    ["clear", "backward", "backward", "step"],
    ["clear", "backward", "step", "step"],
    ["clear_by_hand", "backward", "step"],
    ["clear_module", "backward", "step"],
    ["clear", "step_twice_within_backward"],
    ["raise_in_backward", *PLAIN],
    ["clear", "raise_in_backward", "step"],
    ["clear", "backward", "step_scaled"],
    ["clear", "step_skipped"],
    ["clear", "backward_of_both", "step", "clear_other", "step_other"],
    ["clear", "backward_scaled", "step"],
    ["clear", "backward_scaled", "clip", "step_through", "update"],
    ["clear", "backward_scaled", "unscale", "unscale", "step_through", "unscale", "update"],
    ["clear", "backward", "unscale", "clip", "step_through", "schedule"],
    ["clear", "backward", "step", "clip"],
    ["clear", "clip", "backward", "step"],
]

CYCLES: list[list[str]] = [
    [*PLAIN],
    ["clear", *["backward"] * 4, "step"],
    ["backward", "step", "clear_module"],
    ["clear", "backward", "step_scaled"],
    ["clear", "clear_other", "backward_of_both", "step", "step_other"],
    [*PLAIN * 5, "clear_other", "backward_of_both", "step_other"],
    ["clear", "backward_scaled", "unscale", "clip", "step_through", "update", "schedule"],
    ["clear", "backward", "clip", "step", "schedule"],
]


@pytest.mark.parametrize("cycle", CYCLES, ids=" ".join)
def test_a_cycle_goes_by_unseen(cycle: list[str]) -> None:
    with counted_cruises() as seen:
        told([(600, cycle)], cruises=True)
    assert sum(seen) > 300 * len(cycle)


@pytest.mark.parametrize("ending", ENDINGS, ids=" ".join)
@pytest.mark.parametrize("cycle", CYCLES, ids=" ".join)
def test_what_follows_a_cruise_is_judged_as_without_one(cycle: list[str], ending: list[str]) -> None:
    training = [(100, cycle), (3, ending)]
    assert told(training, cruises=True) == told(training, cruises=False)


@pytest.mark.parametrize("length", range(6))
def test_a_cruise_that_ends_within_its_cycle_is_entered_to_its_last_event(length: int) -> None:
    cycle = ["clear", "backward", "backward", "step", "clear_other", "backward_of_both"]
    training = [(100, cycle), (1, cycle[:length]), (2, ["backward_of_both", "step_other", "step"])]
    assert told(training, cruises=True) == told(training, cruises=False)


@pytest.mark.filterwarnings("ignore:Detected call of")
@settings(max_examples=60, deadline=None, derandomize=True, phases=[Phase.generate])
@given(
    st.lists(
        st.tuples(st.integers(1, 90), st.one_of(st.sampled_from(CYCLES), st.lists(st.sampled_from(ACTS), max_size=6))),
        max_size=4,
    )
)
def test_any_training_is_judged_as_without_cruises(training: Training) -> None:
    assert told(training, cruises=True) == told(training, cruises=False)


def test_a_cruise_does_not_keep_an_optimizer_alive() -> None:
    from weakref import ref

    watch = Watch(lambda record, frame: None)
    watch.start()
    trainer = Trainer()
    held = ref(trainer.one)
    for _ in range(50):
        for act in PLAIN:
            getattr(trainer, act)()
    assert watch.monitors()[0]._cycle
    del trainer
    assert held() is None
    watch.stop()


def test_gradients_are_looked_at_again_now_and_then() -> None:
    """A model that is frozen in the middle of a run gives no event."""
    model, inputs = nn.Linear(2, 1), torch.randn(3, 2, requires_grad=True)
    optimizer = SGD(model.parameters(), lr=1e-4)
    watch = Watch(lambda record, frame: None)
    watch.start()
    for iteration in range(1200):
        optimizer.zero_grad()
        if iteration == 100:
            model.requires_grad_(False)
        model(inputs).sum().backward()
        optimizer.step()
    assert "nothing since the last clear" in watch.ledger_text()
    watch.stop()
