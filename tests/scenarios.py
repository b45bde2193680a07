"""Scenarios: small programs with `healthy...` and `broken...` functions, whose lines say what must be found in them.

Each function is a training of its own, run under a guard of its own. The findings must be exactly the marks
(`# expect: CODE`) within the function: so a healthy one has none. `SELECTED` names rules that are off by default.
"""

from __future__ import annotations

import ast
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Literal

from examples import marks

Ledger = Literal["auto", "full"]

Findings = list[tuple[int, str]]
"""Sorted: (row, code) for each."""


def names(file: Path) -> list[str]:
    """The scenarios of a program, in its order."""
    return [function.name for function in _functions(file)]


def expected(file: Path, name: str) -> Findings:
    """The marks of a scenario."""
    function = next(item for item in _functions(file) if item.name == name)
    assert function.end_lineno is not None
    return [mark for mark in marks(file.read_text("utf-8")) if function.lineno <= mark[0] <= function.end_lineno]


def load(file: Path) -> ModuleType:
    """Import a program by its path."""
    spec = spec_from_file_location(f"scenarios_{file.parent.name}_{file.stem}", file)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def found(program: ModuleType, name: str, ledger: Ledger = "auto") -> Findings:
    """What the guard finds in one scenario of a loaded program."""
    from loopguard.runtime.guard import guard

    with guard(on_finding="collect", ledger=ledger, extend_select=getattr(program, "SELECTED", ())) as watch:
        getattr(program, name)()
    assert watch.failed is None, repr(watch.failed)
    assert all(Path(finding.place.path).name == Path(str(program.__file__)).name for finding in watch.findings)
    return sorted((finding.place.row, finding.code) for finding in watch.findings)


def _functions(file: Path) -> list[ast.FunctionDef]:
    tree = ast.parse(file.read_text("utf-8"))
    return [
        node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith(("healthy", "broken"))
    ]
