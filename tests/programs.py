"""Small programs, and how the tests ask the static engine about them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

from loopguard.catalogue import Catalogue, load
from loopguard.finding import Finding
from loopguard.source import Source, read
from loopguard.static import Project, analyse
from loopguard.static.lowering.context import Context
from loopguard.static.lowering.lower import lower_module
from loopguard.static.parsed import ParsedTree
from loopguard.static.scope import File

HEAD = """\
import torch
model = torch.nn.Linear(2, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
"""
"""What most programs start with: a model and its optimizer."""

FORWARD = "    loss = model(x).sum()\n"

LOOP = f"""\
{HEAD}for x in loader:
{FORWARD}    loss.backward()
    optimizer.step()
"""
"""A loop that never clears: LG101 in its last row."""


@cache
def catalogue() -> Catalogue:
    """The rules, loaded once."""
    return load()


def findings(text: str, *, all_levels: bool = False, path: str = "train.py") -> list[Finding]:
    """What the engine and the rules say about one file, in the order of places; advice only if asked for."""
    return _judged(Source(path, text), Project([]), all_levels)


def findings_in(file: Path, roots: Sequence[Path]) -> list[Finding]:
    """What is said about one file of a project."""
    return _judged(read(file), Project(roots), False)


def codes(text: str) -> list[str]:
    """The codes of the findings in a program, in the order of places."""
    return [finding.code for finding in findings(text)]


def marks(text: str, *, path: str = "train.py") -> list[tuple[int, str]]:
    """The row and code of each finding in a program that stands in a file of this name."""
    return [(finding.place.row, finding.code) for finding in findings(text, path=path)]


def lowered(text: str) -> Context:
    """The top level of a program as a graph of events, and what was seen on the way."""
    return lower_module(file_of(text))


def file_of(text: str) -> File:
    """A program, parsed, with its names bound."""
    return File(Source("train.py", text), Project([]), ParsedTree(text))


def _judged(source: Source, project: Project, all_levels: bool) -> list[Finding]:
    found = filter(None, map(catalogue().judge, analyse(source, project)))
    kept = [finding for finding in found if all_levels or finding.level != "advice"]
    return sorted(kept, key=lambda finding: (finding.place, finding.code))
