"""What is passed through on the way out of a block: `finally`, handlers of exceptions, and the end of a `with`.

Whoever leaves a block early, by `return`, `break` or `continue`, passes through it too, on a way of its own. So does a
generator behind `@contextmanager` that waits at a `yield` within the block: it is told what is still to run of it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import libcst as cst

from loopguard.events import Kind
from loopguard.static.lowering import iteration
from loopguard.static.lowering.context import Context, Jumps, Step
from loopguard.static.paths.graph import Assumption, Condition, Frontier
from loopguard.static.syntax import text_of
from loopguard.static.values import Thing


def passing(ctx: Context, body: Callable[[], None], last: Callable[[bool], None]) -> None:
    """Lower a body, and what everybody passes through who leaves it: with True on the normal way, or with False."""
    seen = len(ctx.pauses)
    frame, jumps = ctx.frame, ctx.jumps[-1] if ctx.jumps else Jumps()
    outer = frame.returns, jumps.breaks, jumps.continues
    frame.returns, jumps.breaks, jumps.continues = [], [], []
    body()
    inner = frame.returns, jumps.breaks, jumps.continues
    frame.returns, jumps.breaks, jumps.continues = outer
    ctx.wait(seen, Step(last, tuple(ctx.guards), always=True))
    last(True)
    after = ctx.graph.frontier
    for leaving, target in zip(inner, outer, strict=True):
        if leaving:
            ctx.graph.frontier = leaving
            last(False)
            target += ctx.graph.frontier
    ctx.graph.frontier = after


def lower_try(ctx: Context, node: cst.Try | cst.TryStar) -> None:
    """Lower `try`."""
    if node.finalbody is None:
        _try_body(ctx, node)
        return
    block = node.finalbody.body
    passing(ctx, lambda: _try_body(ctx, node), lambda _: ctx.run(ctx, block))


def _try_body(ctx: Context, node: cst.Try | cst.TryStar) -> None:
    graph, seen = ctx.graph, len(ctx.pauses)
    graph.join()
    start = list(graph.frontier)
    ctx.run(ctx, node.body)
    paused = ctx.pauses[seen:]
    for pause in paused:
        # What is raised in the block of the `with` comes out of the `yield`.
        pause.rest.append(Step(partial(_behind, ctx, node, pause.frontier), tuple(ctx.guards)))
    if node.orelse is not None:
        ctx.run(ctx, node.orelse.body)
    if not paused:
        _handle(ctx, node, start)


def _behind(ctx: Context, node: cst.Try | cst.TryStar, start: Frontier, normally: bool) -> None:
    """Lower what follows the body of a `try` in which a generator has waited since `start`."""
    if node.orelse is not None:
        ctx.run(ctx, node.orelse.body)
    if normally:
        _handle(ctx, node, start)


def _handle(ctx: Context, node: cst.Try | cst.TryStar, start: Frontier) -> None:
    """Lower the handlers of what is raised somewhere behind `start`, beside what the frontier holds already."""
    graph = ctx.graph
    after = graph.frontier
    for handler in node.handlers:
        ctx.env.branch()
        graph.frontier = start
        # Where in the body the exception came from is not known, and so is the state of everything.
        ctx.emit(Kind.UNKNOWN, node, None)
        if handler.name is not None:
            iteration.bind(ctx, handler.name.name, Thing(""))
        text = f"{text_of(handler.type)} is raised" if handler.type is not None else "an exception is raised"
        ctx.guards.append(Assumption(Condition(text, text, frozenset(), text), True))
        ctx.run(ctx, handler.body)
        ctx.guards.pop()
        after = [*after, *graph.frontier]
        ctx.env.undo()
    graph.frontier = after
