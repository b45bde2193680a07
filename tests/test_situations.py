"""Whatever a training is made of, the guard finds in its broken variants what a user expects, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from scenarios import Ledger, expected, found, load, names

FILES = sorted((Path(__file__).parent / "situations").glob("*.py"))
SITUATIONS = [pytest.param(file, name, id=f"{file.stem}-{name}") for file in FILES for name in names(file)]


@pytest.mark.filterwarnings("ignore:Using backward.. with create_graph")
@pytest.mark.filterwarnings("ignore:Sparse invariant checks")
@pytest.mark.filterwarnings("ignore:Detected call of .lr_scheduler.step")
@pytest.mark.parametrize("ledger", ["auto", "full"])
@pytest.mark.parametrize(("file", "name"), SITUATIONS)
def test_the_guard_finds_what_is_marked_and_nothing_else(file: Path, name: str, ledger: Ledger) -> None:
    torch.manual_seed(0)
    assert found(load(file), name, ledger) == expected(file, name)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_situation_has_healthy_variants_without_marks_and_broken_ones_with(file: Path) -> None:
    marked = {name: bool(expected(file, name)) for name in names(file)}
    assert {name: mark for name, mark in marked.items() if mark != name.startswith("broken")} == {}
    assert {name.partition("_")[0] for name in marked} == {"healthy", "broken"}
