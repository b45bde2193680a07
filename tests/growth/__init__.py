"""Inputs that grow: shapes of programs, each a function from a size to the files of a project.

Every axis on which a text can grow has a shape: whoever adds work that is done for each of something adds a shape that
has many of it. The size is such that a shape of twice the size has about twice as many bytes.

texts         comments, strings, lines, words: what is read before there is a tree
syntax        every construct many times, long, or nested as deeply as Python allows
values        what names stand for: collections, aliases, objects, classes
flow          loops, branches, jumps, conditions, calls
training      optimizers, modules, schedules, scalers, windows: what verdicts compare with each other
findings      much to tell, in one place or in many
projects      many files, imports, cells, settings
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from growth import findings, flow, projects, syntax, texts, training, values

Files = Mapping[str, str]
Shape = Callable[[int], Files]


def shapes() -> dict[str, Shape]:
    """Every shape by its name. The file that is checked first is called train.py, or train.ipynb."""
    found: dict[str, Shape] = {}
    for module in (texts, syntax, values, flow, training, findings):
        for name, make in module.SHAPES.items():
            found[name] = lambda size, make=make: {"train.py": make(size)}
    return {**found, **projects.SHAPES}
