"""Several ranks: two processes on the CPU find what is wrong on each of them, and nothing else."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest
from scenarios import expected, names
from two_ranks import RANKS, Results, finding_of, launch

from examples import program
from loopguard import catalogue

PROGRAMS = [Path(__file__).parent / "ranks" / f"{name}.py" for name in ("ddp", "parting", "sharded")]
SCENARIOS = [pytest.param(file, name, id=f"{file.stem}-{name}") for file in PROGRAMS for name in names(file)]

RULE = catalogue.load().find("ranks-diverge").rule
EXAMPLES = {
    f"{'healthy' if kind == 'good' else 'broken'}_{number}": text
    for kind in ("good", "bad")
    for number, text in enumerate(getattr(RULE, kind))
}


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The examples of LG902 as one program: each a function that begins and ends a process group of its own."""
    bodies = [f"def {name}():\n{textwrap.indent(program(text), '    ')}" for name, text in EXAMPLES.items()]
    file = tmp_path_factory.mktemp("examples") / "ranks_diverge.py"
    file.write_text("\n\n".join(bodies), "utf-8")
    return file


@pytest.fixture(scope="module")
def results(examples: Path, tmp_path_factory: pytest.TempPathFactory) -> Results:
    return launch([*PROGRAMS, examples], tmp_path_factory.mktemp("ranks"))


@pytest.mark.parametrize("rank", RANKS)
@pytest.mark.parametrize(("file", "name"), SCENARIOS)
def test_a_rank_finds_exactly_what_is_marked(file: Path, name: str, rank: int, results: Results) -> None:
    assert finding_of(results, file, rank, name) == expected(file, name)


@pytest.mark.parametrize("rank", RANKS)
@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_of_ranks_that_diverge(name: str, rank: int, examples: Path, results: Results) -> None:
    assert finding_of(results, examples, rank, name) == expected(examples, name)
