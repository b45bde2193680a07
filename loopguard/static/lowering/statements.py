"""Statements to graph: branches, loops with their back edges, jumps, and what cannot be followed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import libcst as cst

from loopguard.events import Kind
from loopguard.static.library import EXITS
from loopguard.static.lowering import assignment, iteration
from loopguard.static.lowering.branches import branch, meet
from loopguard.static.lowering.context import Context, Jumps, Step
from loopguard.static.lowering.unwinding import lower_try, passing
from loopguard.static.lowering.withs import lower_with
from loopguard.static.paths.graph import Assumption, Condition, Loop, Node
from loopguard.static.records import record
from loopguard.static.steps import spend
from loopguard.static.syntax import text_of
from loopguard.static.values import Const, Counter, Function, Group, Tensor, Test, Thing, Value

_EXIT_NAMES = frozenset(name.rsplit(".", 1)[-1] for name in EXITS)


def run(ctx: Context, block: Any) -> None:
    """Lower a block. After `if c: continue`, the rest of the block stands under `not c`."""
    if isinstance(block, cst.SimpleStatementSuite):
        _line(ctx, block.body)
        return
    pushed = 0
    start, seen = ctx.graph.frontier, len(ctx.pauses)
    for number, statement in enumerate(block.body):
        if ctx.silent:
            ctx.graph.frontier = start  # only values are wanted: nothing is on any path
        elif not ctx.graph.reachable:
            if isinstance(statement, cst.FunctionDef | cst.ClassDef):
                ctx.file.declare(statement, ctx.env)
            continue
        if type(statement) is cst.SimpleStatementLine:
            if len(statement.body) == 1:
                _small(ctx, statement.body[0])
            else:
                _line(ctx, statement.body)
        elif type(statement) is cst.If:
            left = _if(ctx, statement)
            if left is not None:
                ctx.guards.append(left)
                pushed += 1
        else:
            handler = _COMPOUND.get(type(statement))
            if handler is not None:
                handler(ctx, statement)
        if len(ctx.pauses) > seen:
            seen = ctx.wait(seen, Step(partial(_go_on, ctx, block.body[number + 1 :]), tuple(ctx.guards)))
    if pushed:
        del ctx.guards[-pushed:]


@record
class _Behind:
    """The statements of a block behind one at which a generator waits."""

    body: Sequence[cst.CSTNode]


def _go_on(ctx: Context, statements: Sequence[cst.CSTNode], normally: bool) -> None:
    run(ctx, _Behind(statements))


def _line(ctx: Context, line: Sequence[cst.BaseSmallStatement]) -> None:
    """Lower the simple statements of a line."""
    seen = len(ctx.pauses)
    for number, small in enumerate(line):
        _small(ctx, small)
        if len(ctx.pauses) > seen:
            seen = ctx.wait(seen, Step(partial(_go_on_in_line, ctx, line[number + 1 :]), tuple(ctx.guards)))


def _go_on_in_line(ctx: Context, line: Sequence[cst.BaseSmallStatement], normally: bool) -> None:
    _line(ctx, line)


def _small(ctx: Context, node: cst.BaseSmallStatement) -> None:
    handler = _SMALL.get(type(node))
    if handler is not None:
        handler(ctx, node)


def _expression(ctx: Context, node: cst.Expr) -> None:
    if type(node.value) is cst.Attribute and assignment.uncalled(ctx, node.value):
        return
    ctx.evaluate(ctx, node.value)
    if type(node.value) is cst.Call and _is_exit(node.value.func):
        _stop(ctx)


def _is_exit(function: cst.BaseExpression) -> bool:
    """Whether a function ends the program."""
    name = function.attr if isinstance(function, cst.Attribute) else function
    return isinstance(name, cst.Name) and name.value in _EXIT_NAMES and text_of(function) in EXITS


def _stop(ctx: Context) -> None:
    if not ctx.silent:
        ctx.graph.frontier = []


def _return(ctx: Context, node: cst.Return) -> None:
    value = ctx.evaluate(ctx, node.value) if node.value is not None else Const(None)
    ctx.frame.results.append(value)
    if not ctx.silent:
        ctx.frame.returns += ctx.graph.frontier
    _stop(ctx)


def _raise(ctx: Context, node: cst.Raise) -> None:
    if node.exc is not None:
        ctx.evaluate(ctx, node.exc)
    _stop(ctx)


def _assert(ctx: Context, node: cst.Assert) -> None:
    ctx.evaluate(ctx, node.test)


def _break(ctx: Context, node: cst.Break) -> None:
    if ctx.jumps:
        ctx.jumps[-1].breaks += ctx.graph.frontier
        if ctx.loops:
            ctx.loops[-1].breaks = True
    _stop(ctx)


def _continue(ctx: Context, node: cst.Continue) -> None:
    if ctx.jumps:
        ctx.jumps[-1].continues += ctx.graph.frontier
    _stop(ctx)


def _define(ctx: Context, node: cst.FunctionDef | cst.ClassDef) -> None:
    ctx.file.declare(node, ctx.env)
    made = ctx.env.variables.get(node.name.value)
    if isinstance(made, Function) and ctx.env.parent is not None and not ctx.silent:
        ctx.defined.append(made)


def _global(ctx: Context, node: cst.Global | cst.Nonlocal) -> None:
    for item in node.names:
        name = item.name.value
        outer = ctx.env.parent
        home = ctx.env.root() if isinstance(node, cst.Global) or outer is None else outer.home(name)
        ctx.frame.elsewhere[name] = home


def _if(ctx: Context, node: cst.If) -> Assumption | None:
    """Lower an `if`. Returns what holds for the rest of the block, if one side never gets there."""
    size = len(ctx.graph.nodes)
    before = ctx.graph.frontier
    true_side, false_side, when = branch(ctx, node.test)

    # What is assumed is the value that the test has here, whatever the sides do to what it reads.
    when = when or ctx.assume(node.test, True)
    otherwise = Assumption(when.condition, not when.truth)
    ctx.graph.frontier = true_side
    ctx.env.branch()
    _guarded(ctx, when, node.body, alive=bool(true_side))
    after_true, ended_true = ctx.graph.frontier, bool(true_side) and not ctx.graph.frontier
    bound_true = ctx.env.undo()

    ctx.graph.frontier = false_side
    ctx.env.branch()
    if isinstance(node.orelse, cst.If):
        ctx.guards.append(otherwise)
        if false_side or ctx.silent:
            _if(ctx, node.orelse)
        ctx.guards.pop()
    elif node.orelse is not None:
        _guarded(ctx, otherwise, node.orelse.body, alive=bool(false_side))
    ended_false = bool(false_side) and not ctx.graph.frontier
    after_false = ctx.graph.frontier

    if not ctx.silent and (ended_false or not false_side):
        ctx.env.undo()
        for name, value in bound_true.items():
            ctx.env.set(name, value)
    elif ctx.silent or (not ended_true and true_side):
        meet(ctx.env, bound_true)
    else:
        ctx.env.leave()
    ctx.graph.frontier = [*after_true, *after_false]
    if len(ctx.graph.nodes) == size and not ended_true and not ended_false:
        ctx.graph.frontier = before
    if ended_true and after_false:
        return _rest(otherwise, node.body)
    if ended_false and after_true:
        return _rest(when, node.orelse)
    return None


def _rest(left: Assumption, other: cst.BaseSuite | cst.If | cst.Else | None) -> Assumption:
    """What holds behind an `if` that one side never leaves. A side that ends the loop makes a window of nothing."""
    suite = other.body if isinstance(other, cst.Else) else other
    line = suite.body[-1] if isinstance(suite, cst.IndentedBlock) and suite.body else suite
    is_over = isinstance(line, cst.SimpleStatementLine | cst.SimpleStatementSuite) and isinstance(
        line.body[-1], cst.Break
    )
    return replace(left, condition=replace(left.condition, gate=None)) if is_over else left


def _guarded(ctx: Context, when: Assumption, body: cst.BaseSuite, *, alive: bool) -> None:
    if not alive and not ctx.silent:
        return
    ctx.guards.append(when)
    run(ctx, body)
    ctx.guards.pop()


def _for(ctx: Context, node: cst.For) -> None:
    generators = ctx.generators
    value = ctx.evaluate(ctx, node.iter)
    generated = ctx.generators > generators
    item, once, batches = iteration.walk(ctx, node.iter, value)
    if iteration.is_vector(value) or _each(item):
        ctx.jumps.append(Jumps())
        iteration.bind(ctx, node.target, item)
        run(ctx, node.body)
        jumps = ctx.jumps.pop()
        ctx.graph.frontier = [*ctx.graph.frontier, *jumps.continues, *jumps.breaks]
        return
    text = f"for {text_of(node.target)} in {text_of(node.iter)}"
    over = iteration.walked(ctx, node.iter, value) if batches else ()
    loop = _open_loop(ctx, node, Loop(len(ctx.graph.loops), text, batches, not once, over=over))
    head = ctx.graph.add(Node(text)) if ctx.graph.reachable else 0
    entry = list(ctx.graph.frontier)
    if generated:
        ctx.emit(Kind.UNKNOWN, node.iter, None)  # a generator of the project runs between any two iterations
    iteration.bind(ctx, node.target, item)
    run(ctx, node.body)
    after = _close_loop(ctx, loop, head)
    if not after and not ctx.jumps[-1].breaks and not ctx.silent:
        after = entry  # a body that never comes to its end: the loop over nothing is the only way past it
    ctx.graph.frontier = after
    if node.orelse is not None:
        run(ctx, node.orelse.body)
    ctx.graph.frontier = [*ctx.graph.frontier, *ctx.jumps.pop().breaks]


def _each(item: Value) -> bool:
    """Whether a loop's element is one of several objects that are treated alike, perhaps with their numbers."""
    spend()
    if isinstance(item, Group) and item.items:
        rest = [part for part in item.items if not isinstance(part, Const)]
        numbered = [part for part in rest if not isinstance(part, Counter)]
        return bool(numbered) and all(_each(part) or iteration.is_vector(part) for part in numbered)
    return isinstance(item, Thing) and item.label.endswith("[*]")


def _while(ctx: Context, node: cst.While) -> None:
    text = f"while {text_of(node.test)}"
    loop = _open_loop(ctx, node, Loop(len(ctx.graph.loops), text))
    head = ctx.graph.add(Node(text)) if ctx.graph.reachable else 0
    true_side, false_side, _ = branch(ctx, node.test)
    endless = not false_side
    ctx.graph.frontier = true_side
    run(ctx, node.body)
    after = _close_loop(ctx, loop, head)
    # The body runs at least once: a loop that never runs shows nothing.
    ctx.graph.frontier = [] if endless and not ctx.silent else after or false_side
    if node.orelse is not None:
        run(ctx, node.orelse.body)
    ctx.graph.frontier = [*ctx.graph.frontier, *ctx.jumps.pop().breaks]


def _open_loop(ctx: Context, node: cst.For | cst.While, loop: Loop) -> Loop:
    ctx.graph.loops.append(loop)
    loop.depth, loop.file, loop.node = len(ctx.guards), ctx.file, node
    for name in assignment.names_bound_in(node.body):
        old = ctx.env.variables.get(name)
        if isinstance(old, Const) and type(old.value) is int and name in assignment.counters_in(node.body):
            ctx.env.set(name, Counter(old.value))
        elif isinstance(old, Tensor | Test) or (isinstance(old, Const) and old.value is not None):
            # Later iterations see what earlier ones have left.
            ctx.env.set(name, Tensor(carried=True))
    ctx.loops.append(loop)
    ctx.jumps.append(Jumps())
    return loop


def _close_loop(ctx: Context, loop: Loop, head: int) -> list[tuple[int, Assumption | None]]:
    """End the body: the back edge, and the edges that leave the loop in the normal way."""
    graph = ctx.graph
    graph.frontier = [*graph.frontier, *ctx.jumps[-1].continues]
    if graph.reachable and not ctx.silent:
        graph.add(Node("", again=loop))
        if loop.back_edge:
            graph.connect(graph.frontier, head)
    ctx.loops.pop()
    return graph.frontier


def _match(ctx: Context, node: cst.Match) -> None:
    ctx.evaluate(ctx, node.subject)
    subject = text_of(node.subject)
    after: list[tuple[int, Assumption | None]] = []
    rest = ctx.graph.frontier
    complete = False
    for number, case in enumerate(node.cases):
        if number:
            ctx.env.undo()
        ctx.env.branch()
        ctx.graph.frontier = rest
        pattern = text_of(case.pattern)
        if pattern == "_" or (isinstance(case.pattern, cst.MatchAs) and case.pattern.pattern is None):
            complete = case.guard is None
            rest = [] if complete else rest
            run(ctx, case.body)
        else:
            text = f"{subject} matches {pattern}"
            when = Assumption(Condition(text, text, frozenset(), subject, pattern), True)
            rest = ctx.graph.split(when)
            ctx.guards.append(when)
            run(ctx, case.body)
            ctx.guards.pop()
        after += ctx.graph.frontier
    ctx.env.leave()
    ctx.graph.frontier = [*after, *([] if complete else rest)]


def _with(ctx: Context, node: cst.With) -> None:
    with lower_with(ctx, node) as leaving:
        if not leaving:
            run(ctx, node.body)
            return

        def leave(normally: bool) -> None:
            for last in reversed(leaving):
                last(normally)

        passing(ctx, lambda: run(ctx, node.body), leave)


def _imports(ctx: Context, node: cst.CSTNode) -> None:
    if ctx.env.parent is not None or ctx.loops:
        ctx.file.declare(node, ctx.env)  # what stands at the top of the file is known already


def _delete(ctx: Context, node: cst.Del) -> None:
    for target in _targets(node.target):
        if isinstance(target, cst.Attribute) and target.attr.value == "grad":
            assignment.clear_gradient(ctx, target, node)


def _targets(node: cst.BaseExpression) -> Iterator[cst.BaseExpression]:
    if isinstance(node, cst.Tuple):
        for element in node.elements:
            yield element.value
    else:
        yield node


_SMALL: dict[type[cst.CSTNode], Callable[[Context, Any], None]] = {
    cst.Expr: _expression,
    cst.Assign: assignment.assign,
    cst.AnnAssign: assignment.assign_annotated,
    cst.AugAssign: assignment.assign_augmented,
    cst.Return: _return,
    cst.Raise: _raise,
    cst.Assert: _assert,
    cst.Break: _break,
    cst.Continue: _continue,
    cst.Global: _global,
    cst.Nonlocal: _global,
    cst.Import: _imports,
    cst.ImportFrom: _imports,
    cst.Del: _delete,
}

_COMPOUND: dict[type[cst.CSTNode], Callable[[Context, Any], None]] = {
    cst.For: _for,
    cst.While: _while,
    cst.Try: lower_try,
    cst.TryStar: lower_try,
    cst.With: _with,
    cst.Match: _match,
    cst.FunctionDef: _define,
    cst.ClassDef: _define,
}
