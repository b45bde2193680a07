"""The parts of a file that are judged each on its own: its top level, and what is called from elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from functools import partial

import libcst as cst

from loopguard.static.lowering.context import Context
from loopguard.static.lowering.driven import driving_of
from loopguard.static.lowering.lower import functions_of, lower_function, lower_module, lower_process, processes_of
from loopguard.static.lowering.roots import is_root
from loopguard.static.records import record
from loopguard.static.scope import File
from loopguard.static.values import Bound, Function

SCRIPT = 0
LATER = -1
"""The number of all parts that are not known before the others were lowered."""


@record
class Part:
    """A part of a file: its number, what it is called, the node that it is (None for the top level), and its graph."""

    number: int
    name: str
    node: cst.CSTNode | None
    lower: Callable[[], Context]


def parts_of(file: File, where: Collection[int] = ()) -> Iterator[Part]:
    """The file as a script first, then each of its functions as if called from elsewhere; if told so, only some.

    Each is to be lowered before the next one is asked for. Functions see what the top level binds, and what others have
    bound for it. A graph is let go of once it was looked at: what remains is which functions it has called, made, and
    given away.
    """
    few = bool(where) and LATER not in where and "global " not in file.source.text
    called: set[cst.CSTNode] = set()
    inner: dict[cst.CSTNode, Function] = {}
    processes: list[Function | Bound] = []

    def noted(lower: Callable[[], Context]) -> Context:
        ctx = lower()
        called.update(ctx.called)
        inner.update({made.node: made for made in ctx.defined if made.file is file})
        processes.extend(ctx.processes)
        return ctx

    roots = functions_of(file)
    yield Part(SCRIPT, "the top level", None, partial(noted, partial(lower_module, file)))
    for number, (function, owner) in enumerate(roots, start=1):
        if few and number not in where:
            continue
        if is_root(file, function.node) or driving_of(file, function, owner) is not None:
            lower = partial(lower_function, file, function, owner)
            yield Part(number, _name(function), function.node, partial(noted, lower))
    if few:
        return
    for node, function in inner.items():
        # A function that another one makes and hands out, to be called elsewhere.
        if node not in called and is_root(file, node):
            yield Part(LATER, _name(function), node, partial(lower_function, file, function, None))
    for process in processes_of(file, processes):
        function = process.function if isinstance(process, Bound) else process
        yield Part(LATER, _name(function), function.node, partial(lower_process, file, process))


def _name(function: Function) -> str:
    if not isinstance(function.node, cst.FunctionDef):
        return "a lambda"
    owner = f"{function.owner.name}." if function.owner is not None else ""
    return f"`{owner}{function.node.name.value}`"
