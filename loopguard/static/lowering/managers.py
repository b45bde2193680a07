"""Context managers of the project: what runs where a block is entered, and what where it is left.

A generator behind `@contextmanager` is lowered up to its `yield`, where the block goes on. On the way back from there,
each block of the generator that is around the `yield` says what it has left to do, and that is lowered where the block
of the `with` is left.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import reduce

import libcst as cst

from loopguard.events import Kind
from loopguard.static.library import PLAIN_MANAGERS
from loopguard.static.lowering.arguments import Arguments
from loopguard.static.lowering.context import Context, Frame, Pause
from loopguard.static.lowering.objects import find_method, has_unread_base, mro
from loopguard.static.lowering.relevance import is_relevant
from loopguard.static.lowering.tensors import join
from loopguard.static.paths.graph import Assumption, Frontier
from loopguard.static.records import record
from loopguard.static.steps import spend
from loopguard.static.values import Bound, Class, Const, Function, Partial, Thing, Value

Leave = Callable[[bool], None]
"""Lowers what happens where a block is left: normally, or by a jump out of it."""

_METHODS = ("enter", "exit")
_NOTHING = Const(None, fixed=True)


@record
class Managed(Partial):
    """What a function behind `@contextmanager` returns: its body has not begun to run. `open`: it may get more."""

    open: bool = False


def enter(ctx: Context, value: Value, node: cst.CSTNode) -> tuple[Value, Leave | None]:
    """Lower the entrance into a context manager. Returns what it gives, and what to do on leaving, if there is any."""
    if isinstance(value, Managed):
        return _start(ctx, value, node)
    if isinstance(value, Thing):
        if value.cls is not None:
            return _enter_object(ctx, value, node)
        if value.runs:
            return value, unknown(ctx, node, None)
    return value, None


def may_act(value: Value) -> bool:
    """Whether entering or leaving a value may be more than nothing."""
    if isinstance(value, Thing):
        return value.runs or (value.cls is not None and _acts(value.cls))
    return isinstance(value, Managed)


def unknown(ctx: Context, node: cst.CSTNode, target: Value | None) -> Leave:
    """Lower the entrance into what cannot be followed: it may do anything to a target, now and when it is left."""

    def leave(normally: bool) -> None:
        ctx.emit(Kind.UNKNOWN, node, target)

    leave(True)
    return leave


def _enter_object(ctx: Context, manager: Thing, node: cst.CSTNode) -> tuple[Value, Leave | None]:
    """Enter an object of a class of the project, by its methods."""
    assert manager.cls is not None
    begin, end = (_method(manager, name) for name in _METHODS)
    if (begin is None or end is None) and has_unread_base(manager.cls, PLAIN_MANAGERS):
        return manager, unknown(ctx, node, manager)
    if not _acts(manager.cls):
        return manager, None
    given = ctx.call(ctx, begin, node) if begin is not None else manager
    if end is None:
        return given, None
    start = list(ctx.graph.frontier)
    leaving = Partial(end, (_NOTHING, _NOTHING, _NOTHING), {})

    def leave(normally: bool) -> None:
        result = ctx.call(ctx, leaving, node)
        if normally and not (isinstance(result, Const) and not result.value):
            _swallow(ctx, node, start)

    return given, leave


def _swallow(ctx: Context, node: cst.CSTNode, start: Frontier) -> None:
    """Let the graph also go on from somewhere behind `start`, where something was raised that went no further."""
    after, ctx.graph.frontier = ctx.graph.frontier, start
    ctx.emit(Kind.UNKNOWN, node, None)
    ctx.graph.frontier = [*after, *ctx.graph.frontier]


def _method(manager: Thing, name: str) -> Bound | None:
    """The method that enters or leaves a manager."""
    assert manager.cls is not None
    found = find_method(manager.cls, f"__{name}__") or find_method(manager.cls, f"__a{name}__")
    return Bound(found[0], manager) if found is not None else None


def _acts(cls: Class) -> bool:
    """Whether entering or leaving an object of a class may be more than nothing."""
    return any(is_relevant(item.file, item.node) for item in mro(cls))


def pause(ctx: Context, given: Value) -> None:
    """Let the generator that is being lowered wait, and give a value to the block that goes on."""
    spend(len(ctx.env.variables))
    ctx.pauses.append(Pause(given, ctx.graph.frontier, dict(ctx.env.variables), tuple(ctx.guards), ctx.mode))
    if not ctx.silent:
        ctx.graph.frontier = []


def _start(ctx: Context, managed: Managed, node: cst.CSTNode) -> tuple[Value, Leave | None]:
    """Enter a generator: lower it up to where it waits."""
    callee = managed.function
    function, receiver = (callee.function, callee.self) if isinstance(callee, Bound) else (callee, None)
    if not ctx.follows(function.node):
        return Thing(""), unknown(ctx, node, None)
    frame = Arguments(open=managed.open).behind(managed).bind_to(ctx, function, receiver)
    frame.waits = True
    before, seen, around = ctx.graph.frontier, len(ctx.pauses), len(ctx.guards)
    with _within(ctx, frame, function, node):
        ctx.run(ctx, function.node.body)
    pauses = ctx.pauses[seen:]
    del ctx.pauses[seen:]
    if not pauses:
        ctx.graph.frontier = before
        return Thing(""), unknown(ctx, node, None)
    given = reduce(join, [item.value for item in pauses])
    if ctx.silent:
        return given, None
    ctx.mode = pauses[0].mode
    # Whoever gets to the end without a `yield` is told so by an exception.
    ctx.graph.frontier = [edge for item in pauses for edge in item.frontier]
    if not all(item.guards[around:] for item in pauses[:-1]):
        return given, unknown(ctx, node, None)  # where it waits, nothing tells
    return given, _Waiting(ctx, pauses, frame, function, node, around).leave


@dataclass(slots=True, eq=False, repr=False)
class _Waiting:
    """A generator that waits at one of some places. `around` is the number of conditions around the `with`."""

    ctx: Context
    pauses: list[Pause]
    frame: Frame
    function: Function
    node: cst.CSTNode
    around: int

    def leave(self, normally: bool) -> None:
        """Lower what the generator does behind the `yield` at which it waits."""
        ctx = self.ctx
        guards, seen = ctx.guards, len(ctx.pauses)
        after: Frontier = []
        for number, item in enumerate(self.pauses, start=1):
            others: Frontier = []
            for when in item.guards[self.around :] if number < len(self.pauses) else ():
                others += ctx.graph.split(when)
            with _within(ctx, self.frame, self.function, self.node):
                ctx.env.variables = dict(item.variables)
                after += self._resume(item, guards, normally)
            ctx.graph.frontier = others
        ctx.guards = guards
        again = [edge for item in ctx.pauses[seen:] for edge in item.frontier]
        del ctx.pauses[seen:]
        if again:
            ctx.graph.frontier = again
            ctx.emit(Kind.UNKNOWN, self.node, None)  # a second `yield`
            after += ctx.graph.frontier
        ctx.graph.frontier = after

    def _resume(self, item: Pause, guards: list[Assumption], normally: bool) -> Frontier:
        """Lower the rest of the generator behind a `yield`. Returns where the graph goes on."""
        graph, frame = self.ctx.graph, self.frame
        frame.returns = []
        for step in item.rest:
            self.ctx.guards = [*guards, *step.guards[self.around :]]
            step.run(normally)
            if step.always and frame.returns:
                onward, graph.frontier, frame.returns = graph.frontier, frame.returns, []
                step.run(False)
                graph.frontier, frame.returns = onward, [*graph.frontier, *frame.returns]
        return [*graph.frontier, *frame.returns]


@contextmanager
def _within(ctx: Context, frame: Frame, function: Function, node: cst.CSTNode) -> Iterator[None]:
    """Lower a part of a generator that `node` runs."""
    saved = ctx.frame, ctx.jumps, ctx.calls, ctx.mode
    if not isinstance(node, cst.FunctionDef):  # else it decorates a function that nobody is known to call
        ctx.calls = (*ctx.calls, (ctx.file, node))
    ctx.frame, ctx.jumps = frame, []
    ctx.active.append(function.node)
    ctx.called.add(function.node)
    yield
    ctx.active.pop()
    ctx.frame, ctx.jumps, ctx.calls, ctx.mode = saved
