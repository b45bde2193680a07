"""The scripts that the benchmarks measure are what they are taken for."""

from __future__ import annotations

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest
from conftest import ROOT, Run, places

from loopguard.check import EVENT

spec = spec_from_file_location("synthetic", ROOT / "benchmarks" / "synthetic.py")
assert spec is not None and spec.loader is not None
synthetic = module_from_spec(spec)
spec.loader.exec_module(synthetic)


@pytest.mark.parametrize("lines", [200, 500, 801])
def test_a_script_has_as_many_lines_as_are_asked_for_and_is_python(lines: int) -> None:
    for text in (synthetic.training_script(lines), synthetic.other_module(lines)):
        assert text.count("\n") == lines
        compile(text, "<synthetic>", "exec")


def test_equal_arguments_give_equal_text_and_other_seeds_another() -> None:
    assert synthetic.training_script(500, 3) == synthetic.training_script(500, 3)
    assert synthetic.training_script(500, 3) != synthetic.training_script(500, 4)


@pytest.mark.parametrize("seed", range(4))
def test_a_healthy_script_is_healthy_and_a_broken_one_has_its_one_bug(run: Run, place: Path, seed: int) -> None:
    (place / "healthy.py").write_text(synthetic.training_script(500, seed))
    (place / "broken.py").write_text(synthetic.training_script(500, seed, broken=True))
    found = places(run("check", "--isolated", "--output-format", "concise"))
    assert {line.split(":")[0] for line in found} == {"broken.py"}
    assert {line.rpartition(" ")[2] for line in found} == {"LG102"}


def test_a_module_without_a_loop_holds_no_event() -> None:
    assert EVENT.search(synthetic.other_module(500).encode()) is None
