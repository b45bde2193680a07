"""Silent errors of other people's trainings, rebuilt small, are found without any reference run.

They are those of TrainCheck's evaluation and of its stories (https://github.com/OrderLab/TrainCheck) that are
mistakes in a training loop, or let the ranks of one part. Each has a healthy variant in which nothing is found.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from scenarios import expected, found, load, names
from two_ranks import RANKS, Results, finding_of, launch

FILES = sorted((Path(__file__).parent / "silent_errors").glob("*.py"))
PARALLEL = [file for file in FILES if "\nRANKS = 2\n" in file.read_text("utf-8")]


def scenarios(files: list[Path]) -> list[object]:
    return [pytest.param(file, name, id=f"{file.stem}-{name}") for file in files for name in names(file)]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    return launch(PARALLEL, tmp_path_factory.mktemp("silent"))


@pytest.mark.parametrize(("file", "name"), scenarios([file for file in FILES if file not in PARALLEL]))
def test_the_error_is_found_and_nothing_in_the_healthy_variant(file: Path, name: str) -> None:
    torch.manual_seed(0)
    assert found(load(file), name) == expected(file, name)


@pytest.mark.parametrize("rank", RANKS)
@pytest.mark.parametrize(("file", "name"), scenarios(PARALLEL))
def test_each_rank_finds_the_error_and_nothing_in_the_healthy_variant(
    file: Path, name: str, rank: int, results: Results
) -> None:
    assert finding_of(results, file, rank, name) == expected(file, name)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_error_has_a_healthy_and_a_broken_variant_with_one_mark(file: Path) -> None:
    marks = {name: len(expected(file, name)) for name in names(file)}
    assert {name: count for name, count in marks.items() if count != name.startswith("broken")} == {}
    assert {name.partition("_")[0] for name in marks} == {"healthy", "broken"}
