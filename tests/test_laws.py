"""The laws of the house: who may import what, and how long a file may be."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
from conftest import ROOT

from loopguard import catalogue

PACKAGE = ROOT / "loopguard"
FILES = sorted(file for file in PACKAGE.rglob("*.py") if PACKAGE / "rules" not in file.parents)
RULES = sorted((ROOT / "rules").glob("*.py"))
LONGEST = 400


def _name(file: Path) -> str:
    return ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def _imported(nodes: Iterator[ast.AST]) -> set[str]:
    """The modules that some nodes import; `a.b` of `from a import b`, where that is one of ours."""
    names: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            inner = (f"{node.module}.{alias.name}" for alias in node.names)
            names.update(name if name in OURS else node.module for name in inner)
    return names


OURS = {_name(file): file for file in FILES}


def _all_imports(file: Path) -> set[str]:
    return _imported(ast.walk(ast.parse(file.read_text(encoding="utf-8"))))


def _imports_on_loading(file: Path) -> set[str]:
    """What is imported as soon as the module is: not what a function imports, not what only types need."""
    return _imported(iter(ast.parse(file.read_text(encoding="utf-8")).body))


def _modules(file: Path, *, package: str) -> bool:
    return any(part == package for part in file.relative_to(PACKAGE).parts[:-1])


def _top_levels(file: Path) -> set[str]:
    return {name.partition(".")[0] for name in _all_imports(file)}


def test_torch_is_imported_only_where_a_run_is_watched() -> None:
    outside = [f for f in FILES if not (_modules(f, package="runtime") or _modules(f, package="integrations"))]
    assert [file for file in outside if "torch" in _top_levels(file)] == []


def test_libcst_is_imported_only_by_the_static_engine_and_the_fixes() -> None:
    outside = [file for file in FILES if not (_modules(file, package="static") or _modules(file, package="fix"))]
    assert [file for file in outside if "libcst" in _top_levels(file)] == []


@pytest.mark.parametrize(("engine", "other"), [("static", "runtime"), ("runtime", "static")])
def test_an_engine_does_not_import_the_other(engine: str, other: str) -> None:
    files = [file for file in FILES if _modules(file, package=engine)]
    assert [f for f in files if any(n.startswith(f"loopguard.{other}") for n in _all_imports(f))] == []


def test_no_engine_names_a_rule() -> None:
    names = "|".join(f"{entry.code}|{entry.name}" for entry in catalogue.load())
    engines = [file for file in FILES if _modules(file, package="static") or _modules(file, package="runtime")]
    assert [file for file in engines if re.search(rf"\b({names})\b", file.read_text(encoding="utf-8"))] == []


def test_lifecycles_import_nothing_but_each_other() -> None:
    allowed = ("__future__", "collections", "dataclasses", "enum", "loopguard.lifecycles", "re", "typing")
    files = [file for file in FILES if _modules(file, package="lifecycles")]
    assert [f for f in files if not all(name.startswith(allowed) for name in _all_imports(f))] == []


def test_nothing_is_imported_in_circles() -> None:
    graph = {name: _imports_on_loading(file) & OURS.keys() for name, file in OURS.items()}
    # Raises CycleError, which names the circle.
    assert set(TopologicalSorter(graph).static_order()) == OURS.keys()


def test_no_import_is_relative() -> None:
    """The laws about imports read absolute names."""
    relative = [
        file
        for file in [*FILES, *RULES]
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and node.level
    ]
    assert relative == []


def test_the_static_engine_knows_no_code() -> None:
    files = [file for file in FILES if _modules(file, package="static")]
    assert [file for file in files if re.search(r"LG\d", file.read_text(encoding="utf-8"))] == []


def test_no_failure_is_swallowed_unseen() -> None:
    """An `except` names what it expects, or does something about what it did not."""
    swallowed = [
        (file, node.lineno)
        for file in [*FILES, *RULES]
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.ExceptHandler)
        and (node.type is None or ast.unparse(node.type) in ("Exception", "BaseException"))
        and all(isinstance(statement, ast.Pass | ast.Continue) for statement in node.body)
    ]
    assert swallowed == []


def test_nothing_is_left_to_do() -> None:
    """Also no test is left out."""
    words = re.compile(
        "|".join(("TO" + "DO", "FIX" + "ME", "X" + "XX", r"mark\." + "skip", r"pytest\." + "skip", "x" + "fail\\("))
    )
    files = [
        *FILES,
        *RULES,
        *(file for name in ("tests", "examples", "benchmarks") for file in (ROOT / name).glob("*.py")),
    ]
    assert [file for file in files if words.search(file.read_text(encoding="utf-8"))] == []


@pytest.mark.parametrize("file", [*FILES, *RULES], ids=lambda file: file.stem if file in RULES else _name(file))
def test_a_file_can_be_taken_in_at_one_sitting(file: Path) -> None:
    length = len(file.read_text(encoding="utf-8").splitlines())
    assert length <= LONGEST
