"""What is written in a program and has not run: whether it would, at another time."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from loopguard.runtime.program import Program, Span, span_of
from loopguard.runtime.sites import Site


def is_step_written(name: str, sites: list[Site], over: bool) -> bool:
    """Whether the files around some sites name a step of an optimizer, by its name there.

    At the end of a run, those do not count that nothing could ever call: in a function that is named nowhere else.
    """
    step = re.compile(rf"\b{re.escape(name)}\.step\b|\.step\((?:self\.)?{re.escape(name)}\b")
    programs = list(dict.fromkeys(program for site in sites for program, _ in site.ways))
    main = {site.ways[-1][0] for site in sites}
    for program in programs:
        dead: list[Span] | None = None
        for row, line in enumerate(program.lines, start=1):
            for match in step.finditer(line):
                if dead is None:
                    dead = list(_never_called(program, programs, outside=program in main)) if over else []
                column = len(line[: match.start()].encode())
                if not any((first, start) <= (row, column) < (last, end) for first, last, start, end in dead):
                    return True
    return False


def _never_called(program: Program, programs: list[Program], *, outside: bool) -> Iterator[Span]:
    """Where functions are written whose names stand nowhere else. `outside`: also those that others might import."""
    text = "".join(line for other in {item.filename: item for item in programs}.values() for line in other.lines)
    for name, node, is_inner in _functions(program.tree, is_inner=False):
        if (is_inner or outside) and len(re.findall(rf"\b{name}\b", text)) == 1:
            yield span_of(node)


def _functions(node: ast.AST, *, is_inner: bool) -> Iterator[tuple[str, ast.expr | ast.stmt, bool]]:
    """The plain functions and named lambdas in a piece of program, with their names; not the methods of classes."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            if not child.decorator_list:
                yield child.name, child, is_inner
            yield from _functions(child, is_inner=True)
        elif isinstance(child, ast.Assign) and isinstance(child.value, ast.Lambda):
            if len(child.targets) == 1 and isinstance(child.targets[0], ast.Name):
                yield child.targets[0].id, child.value, is_inner
        elif not isinstance(child, ast.ClassDef):
            yield from _functions(child, is_inner=is_inner)
