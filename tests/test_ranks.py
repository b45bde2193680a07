"""Several ranks: two processes on the CPU find what is wrong on each of them, and nothing else."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest
from scenarios import expected, names
from two_ranks import RANKS, Results, finding_of, launch

from examples import program
from loopguard import catalogue

PROGRAMS = [Path(__file__).parent / "ranks" / f"{name}.py" for name in ("ddp", "exchanging", "parting", "sharded")]
SCENARIOS = [pytest.param(file, name, id=f"{file.stem}-{name}") for file in PROGRAMS for name in names(file)]

RULES = [catalogue.load().find(name) for name in ("ranks-diverge", "missing-no-sync")]
EXAMPLES = {
    entry.code: {
        f"{'healthy' if kind == 'good' else 'broken'}_{number}": text
        for kind in ("good", "bad")
        for number, text in enumerate(getattr(entry.rule, kind))
        if "init_process_group" in text
    }
    for entry in RULES
}


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The examples of each rule as one program: functions that begin and end a process group of their own."""
    files = {code: tmp_path_factory.mktemp("examples") / f"{code}.py" for code in EXAMPLES}
    for code, file in files.items():
        bodies = [f"def {name}():\n{textwrap.indent(program(text), '    ')}" for name, text in EXAMPLES[code].items()]
        file.write_text("\n\n".join([f"SELECTED = ({code!r},)", *bodies]), "utf-8")
    return files


@pytest.fixture(scope="module")
def results(examples: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Results:
    return launch([*PROGRAMS, *examples.values()], tmp_path_factory.mktemp("ranks"))


@pytest.mark.parametrize("rank", RANKS)
@pytest.mark.parametrize(("file", "name"), SCENARIOS)
def test_a_rank_finds_exactly_what_is_marked(file: Path, name: str, rank: int, results: Results) -> None:
    assert finding_of(results, file, rank, name) == expected(file, name)


@pytest.mark.parametrize("rank", RANKS)
@pytest.mark.parametrize(("code", "name"), [(code, name) for code, examples in EXAMPLES.items() for name in examples])
def test_examples_of_rules_about_ranks(
    code: str, name: str, rank: int, examples: dict[str, Path], results: Results
) -> None:
    assert finding_of(results, examples[code], rank, name) == expected(examples[code], name)
