"""Ranks compare themselves over a store: here two of them live in one process, and each has a module of its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import torch
import torch.distributed as dist
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from loopguard.lifecycles.ranks import Mistake
from loopguard.runtime import distributed, replicas
from loopguard.runtime.distributed import Divergence, Ranks, is_moment, rank_of_process
from loopguard.runtime.replicas import Replica, checksums

FLOATS = [torch.float64, torch.float32, torch.bfloat16, torch.float16, torch.complex64, torch.float8_e4m3fn]


@dataclass
class Rank:
    """A rank, the module that it shares with the others, and the optimizer of it."""

    ranks: Ranks
    module: nn.Module
    optimizer: torch.optim.Optimizer
    replica: Replica

    def after(self, step: int) -> Divergence | None:
        return self.ranks.after_step(self.optimizer, step)

    def end(self, steps: int) -> list[Divergence]:
        return [divergence for _, divergence in self.ranks.at_end([(self.optimizer, steps)])]

    def move(self, name: str = "weight") -> None:
        """Change one element of a parameter a little."""
        with torch.no_grad():
            self.module.get_parameter(name).view(-1)[0].mul_(1.000001)


@pytest.fixture(autouse=True)
def little_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distributed, "_AT_THE_END", 0.1)


def make(number: int, store: Any, group: tuple[int, ...] = (0, 1), guard: int = 0) -> Rank:
    torch.manual_seed(0)
    module = nn.Linear(3, 2)
    ranks = Ranks(store, number, len(group), guard)
    replica = ranks.replicas.add("0", module, group)
    return Rank(ranks, module, torch.optim.SGD(module.parameters(), lr=0.1), replica)


@pytest.fixture
def pair() -> tuple[Rank, Rank]:
    store = dist.HashStore()
    return make(0, store), make(1, store)


def ends(pair: tuple[Rank, Rank], *steps: int) -> list[list[Divergence]]:
    """What two ranks find when they come to their ends at the same time."""
    found: dict[int, list[Divergence]] = {}
    threads = [
        threading.Thread(target=lambda rank=rank, count=count: found.update({rank.ranks.rank: rank.end(count)}))
        for rank, count in zip(pair, steps, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [found[0], found[1]]


def test_moments_are_sparse_and_of_both_parities() -> None:
    assert [step for step in range(40) if is_moment(step)] == [2, 3, 4, 5, 8, 9, 16, 17, 32, 33]


def test_equal_ranks_are_silent(pair: tuple[Rank, Rank]) -> None:
    assert [rank.after(step) for step in (2, 3, 4) for rank in pair] == [None] * 6
    assert ends(pair, 5, 5) == [[], []]


def test_the_later_rank_sees_a_difference_at_once_and_the_earlier_at_its_next_moment(pair: tuple[Rank, Rank]) -> None:
    first, second = pair
    second.move("bias")
    expected = Divergence(Mistake.PARAMETERS_DIFFER, (0, 1), 2, ("bias",))
    assert first.after(2) is None
    assert second.after(2) == expected
    assert first.after(3) == expected


def test_what_was_not_seen_at_a_step_is_seen_at_the_end(pair: tuple[Rank, Rank]) -> None:
    first, second = pair
    second.move()
    first.after(2)
    second.after(2)
    assert first.end(2) == [Divergence(Mistake.PARAMETERS_DIFFER, (0, 1), 2, ("weight",))]


def test_a_difference_is_told_once(pair: tuple[Rank, Rank]) -> None:
    first, second = pair
    second.move()
    first.after(2)
    assert second.after(2) is not None
    assert second.after(3) is None
    assert second.end(3) == []


def test_ranks_that_are_at_different_steps_are_not_compared(pair: tuple[Rank, Rank]) -> None:
    first, second = pair
    second.move()
    assert first.after(2) is None
    assert second.after(4) is None


def test_all_ranks_that_differ_from_the_first_are_named() -> None:
    store, group = dist.HashStore(), (0, 1, 2, 3)
    first, *others = (make(number, store, group) for number in group)
    for rank in others[1:]:
        rank.move()
    for rank in others:
        rank.after(2)
    found = first.after(2)
    assert found is not None
    assert found.ranks == (0, 2, 3)


@pytest.mark.parametrize("change", ["buffer", "frozen", "ignored", "held by nobody"])
def test_what_need_not_be_equal_is_not_compared(pair: tuple[Rank, Rank], change: str) -> None:
    for number, rank in enumerate(pair):
        if change == "buffer":
            rank.module.register_buffer("mean", torch.full((2,), float(number)))
            continue
        rank.move("bias") if number else None
        if change == "frozen":
            rank.module.get_parameter("bias").requires_grad_(False)
        elif change == "ignored":
            rank.replica.ignored = frozenset(["bias"])
        else:
            rank.optimizer = torch.optim.SGD([rank.module.get_parameter("weight")], lr=0.1)
    assert [rank.after(2) for rank in pair] == [None, None]


def test_ranks_on_different_hardware_are_not_compared(pair: tuple[Rank, Rank]) -> None:
    first, second = pair
    threads = torch.get_num_threads()
    second.move()
    try:
        torch.set_num_threads(1)
        first.after(2)
        torch.set_num_threads(2)
        assert second.after(2) is None
    finally:
        torch.set_num_threads(threads)


def test_guards_that_follow_each_other_are_not_mixed_up() -> None:
    store = dist.HashStore()
    first, second = make(0, store, guard=0), make(1, store, guard=1)
    second.move()
    first.after(2)
    assert second.after(2) is None


def test_two_optimizers_of_one_module_are_not_mixed_up(pair: tuple[Rank, Rank]) -> None:
    for rank in pair:
        assert rank.after(2) is None
        rank.move()
        rank.optimizer = torch.optim.SGD(rank.module.parameters(), lr=0.1)
        assert rank.after(2) is None


def test_numbers_of_steps_that_differ_are_found_at_the_end(pair: tuple[Rank, Rank]) -> None:
    assert ends(pair, 7, 0) == [
        [Divergence(Mistake.STEPS_DIFFER, (0, 1), 7)],
        [Divergence(Mistake.STEPS_DIFFER, (0, 1), 0)],
    ]


def test_a_rank_that_has_not_come_to_its_end_is_not_waited_for_long(pair: tuple[Rank, Rank]) -> None:
    began = time.monotonic()
    assert pair[0].end(7) == []
    assert time.monotonic() - began < 1.0


class Silent(dist.Store):  # type: ignore[misc]
    """A store whose host does not answer."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()

    def set(self, key: str, value: str) -> None:
        self.gate.wait(20)

    def clone(self) -> Silent:
        return self


@pytest.fixture
def silent() -> Iterator[Silent]:
    store = Silent()
    yield store
    store.gate.set()


def test_a_store_that_does_not_answer_holds_up_a_step_only_once_and_briefly(silent: Silent) -> None:
    rank = make(0, silent)
    began = time.monotonic()
    assert [rank.after(step) for step in (2, 3, 4, 5)] == [None] * 4
    assert time.monotonic() - began < 2 * distributed._AT_A_STEP


class Gone(dist.Store):  # type: ignore[misc]
    """A store whose host is gone."""

    def set(self, key: str, value: str) -> None:
        raise RuntimeError("connection reset by peer")

    def clone(self) -> Gone:
        return self


def test_a_store_that_is_gone_ends_the_comparison_and_nothing_else() -> None:
    rank = make(1, Gone())
    assert [rank.after(step) for step in (2, 3, 4)] == [None] * 3
    assert rank.end(4) == []
    assert rank.ranks.untold({"LG101 train.py:3:1"}) == {"LG101 train.py:3:1"}


def test_ranks_above_the_first_tell_what_the_first_has_not(pair: tuple[Rank, Rank]) -> None:
    first, second = pair
    told: dict[int, set[str]] = {}
    later = threading.Thread(target=lambda: told.update({1: second.ranks.untold({"both", "mine"})}))
    later.start()
    told[0] = first.ranks.untold({"both", "yours"})
    later.join()
    assert told == {0: {"both", "yours"}, 1: {"mine"}}


def test_a_first_rank_that_says_nothing_is_not_waited_for_long(pair: tuple[Rank, Rank]) -> None:
    began = time.monotonic()
    assert pair[1].ranks.untold({"mine"}) == {"mine"}
    assert time.monotonic() - began < 1.0


def test_a_rank_without_findings_waits_for_nobody(pair: tuple[Rank, Rank], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distributed, "_AT_THE_END", 20.0)
    began = time.monotonic()
    assert [rank.ranks.untold(()) for rank in pair] == [set(), set()]
    assert time.monotonic() - began < 5.0


def test_a_process_alone_is_no_rank_of_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Ranks.of_process() is None
    monkeypatch.delenv("RANK", raising=False)
    assert rank_of_process() == 0
    monkeypatch.setenv("RANK", "3")
    assert rank_of_process() == 3


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_one_bit_more_or_less_changes_the_checksum_and_only_its_own(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    before = [torch.randn(3, 4).to(dtype) for _ in range(3)]
    after = [values.clone() for values in before]
    after[1].view(torch.uint8)[0, 0] ^= 1
    assert [a == b for a, b in zip(checksums(before), checksums(after), strict=True)] == [True, False, True]


def test_checksums_do_not_depend_on_strides_and_take_nan_for_nan() -> None:
    values = torch.tensor([[1.0, float("nan")], [float("inf"), -0.0]])
    assert checksums([values]) == checksums([values.t().contiguous().t()])


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(FLOATS), st.integers(0, 9), st.integers(0, 40)), max_size=12))
def test_checksums_are_the_same_for_small_parameters_that_are_summed_together(
    shapes: list[tuple[torch.dtype, int, int]],
) -> None:
    torch.manual_seed(0)
    values = [torch.randn(rows, columns).to(dtype) for dtype, rows, columns in shapes]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(replicas, "_TOGETHER", 3)
        together = checksums(values)
        patch.setattr(replicas, "_SMALL", -1)
        assert together == checksums(values)


def test_the_thread_of_a_rank_ends_with_it() -> None:
    def couriers() -> list[threading.Thread]:
        return [thread for thread in threading.enumerate() if thread.name == "loopguard-courier"]

    before = couriers()
    ranks = Ranks(dist.HashStore(), 0, 2, 0)
    (thread,) = (thread for thread in couriers() if thread not in before)
    del ranks
    thread.join(5)
    assert not thread.is_alive()
