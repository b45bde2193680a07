"""What happens to a loss: cut off from its graph, kept with its graph, or differentiated once for a whole loop."""

from __future__ import annotations

import ast
from collections import deque
from collections.abc import Sequence
from types import CodeType
from typing import Any
from weakref import ref

import torch

from loopguard.case import Case
from loopguard.events import Event, Kind, Moment
from loopguard.lifecycles import mode
from loopguard.lifecycles.loss import Mistake
from loopguard.runtime.entries import Entry
from loopguard.runtime.program import Loop, Program, inside, span_of
from loopguard.runtime.sites import Site, Sites

_ALIVE = 3
"""How many graphs of earlier iterations must be alive until they are held to be kept."""


_LEVELS = 3
_AUTOGRAD = "torch.autograd", "autograd"


class Token:
    """Lives as long as the node of a graph that it was given to."""

    __slots__ = ("__weakref__",)


class Graphs:
    """The graphs of the last few losses of each backward site, watched without keeping them alive.

    What is kept may be the loss before it was scaled or divided: a node or two further down.
    """

    def __init__(self) -> None:
        self._tokens: dict[tuple[Site, int], deque[ref[Token]]] = {}

    def watch(self, site: Site, roots: Sequence[Any]) -> bool:
        """Watch the graph of a loss. Whether all of the last ones from this site are still alive."""
        kept = False
        node = getattr(roots[0], "grad_fn", None) if roots else None
        for level in range(_LEVELS):
            if node is None:
                break
            tokens = self._tokens.setdefault((site, level), deque(maxlen=_ALIVE))
            kept = kept or (len(tokens) == _ALIVE and all(token() is not None for token in tokens))
            token = Token()
            node.metadata[Graphs] = token
            tokens.append(ref(token))
            node = node.next_functions[0][0] if node.next_functions else None
        return kept


def without_graph(at: Entry, roots: Sequence[Any], off: str) -> Case | None:
    """The case of a backward pass that starts from a tensor without a graph. `off` says why none was recorded."""
    if not roots or not all(isinstance(root, torch.Tensor) for root in roots):
        return None
    if any(root.grad_fn is not None for root in roots):
        return None
    if any(root.requires_grad and (root.ndim or isinstance(root, torch.nn.Parameter)) for root in roots):
        return None  # a leaf of its own, whose gradient is wanted
    how = "`torch.inference_mode()`" if any(root.is_inference() for root in roots) else off
    name = loss_of(at.site)[0]
    event = at.site.event(name)
    trail = (Moment(event, "a backward pass without a graph", at.iteration),)
    # The block that ends before the backward pass has cut off its loss; the one around both is meant for neither.
    mistake = Mistake.NO_GRAPH if torch.is_grad_enabled() else mode.Mistake.GRAD_OFF
    return Case(mistake, name, event, trail, (), {"how": how} if how else {})


def number_of(error: BaseException, sites: Sites) -> Case | None:
    """The case of `backward()` called on a number, which Python itself refuses."""
    if not isinstance(error, AttributeError) or error.name != "backward" or not isinstance(error.obj, int | float):
        return None
    trace = error.__traceback__
    calls: list[tuple[CodeType, int]] = []
    while trace is not None:
        if sites.is_users(trace.tb_frame.f_code):
            calls.insert(0, (trace.tb_frame.f_code, trace.tb_lasti))
        trace = trace.tb_next
    if not calls:
        return None
    site = Site(-1, Kind.BACKWARD, tuple(calls))
    name = site.text.removesuffix(".backward")
    event = Event(Kind.BACKWARD, name, site.place, f"{site.text}()")
    return Case(Mistake.NO_GRAPH, name, event, (Moment(event, "a backward pass without a graph"),))


def retained(at: Entry) -> Case | None:
    """The case of a statement in the loop of a backward pass that keeps its loss."""
    site = at.site
    if _is_seeded(site):
        return None  # what it starts from need not be a loss
    name, _ = loss_of(site)
    for program, row in site.ways:
        loops = program.loops(row)
        piece: ast.AST = loops[-1].node if loops else program.scope(row)
        for node in inside(piece):
            into = _keeps(program, node, name)
            if into is not None and isinstance(node, ast.stmt):
                return _retained(at, name, program, node, into, site.loops[-1] if site.loops else None)
    return None


def _is_seeded(site: Site) -> bool:
    """Whether a backward pass is given a gradient, as its text says; what an engine is given may be taken for one."""
    call, method = _call_at(site)
    if call is None or method is None or method.attr != "backward":
        return False
    if any(keyword.arg in ("gradient", "grad_tensors") for keyword in call.keywords):
        return True
    if ast.unparse(method.value) in _AUTOGRAD:
        return len(call.args) > 1
    return isinstance(method.value, ast.Name) and bool(call.args) and not isinstance(call.args[0], ast.Constant)


def _retained(at: Entry, name: str, program: Program, node: ast.stmt, into: str, loop: Loop | None) -> Case:
    expression = node.value if isinstance(node, ast.Expr) else node
    event = Event(Kind.UNKNOWN, name, program.place(span_of(expression)), program.node_text(expression))
    trail = (
        Moment(at.site.event(name), "backward pass through the loss's graph", at.iteration),
        Moment(event, f"`{into}` keeps the loss, and with it the graph", at.iteration),
    )
    facts = {"into": into, **({"loop": loop.text} if loop is not None else {})}
    return Case(Mistake.RETAINED, name, event, trail, (), facts)


def _keeps(program: Program, node: ast.AST, name: str) -> str | None:
    """Where a statement puts the loss, with its graph: the text of the sum or the container."""
    if isinstance(node, ast.AugAssign) and isinstance(node.op, ast.Add) and _carries(node.value, name):
        return program.node_text(node.target)
    if isinstance(node, ast.Assign) and isinstance(node.value, ast.BinOp) and _carries(node.value, name):
        for target in node.targets:
            if _mentions(node.value, ast.unparse(target)):
                return program.node_text(target)
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) and isinstance(node.value.func, ast.Attribute):
        if node.value.func.attr in ("append", "add", "appendleft") and node.value.args:
            if _carries(node.value.args[0], name):
                return program.node_text(node.value.func.value)
    return None


def _carries(node: ast.expr, name: str) -> bool:
    """Whether the value of an expression hangs on the graph of the loss."""
    if ast.unparse(node) == name:
        return True
    if isinstance(node, ast.BinOp):
        return _carries(node.left, name) or _carries(node.right, name)
    if isinstance(node, ast.Tuple | ast.List):
        return any(_carries(item, name) for item in node.elts)
    return False


def last_only(at: Entry) -> Case | None:
    """The case of a backward pass behind the loop that computes its losses, one for each batch."""
    name, _ = loss_of(at.site)
    program, row = at.site.ways[0]
    if not name.isidentifier():
        return None
    scope = program.scope(row)
    for node in ast.walk(scope):
        if not isinstance(node, ast.For) or (node.end_lineno or 0) >= row:
            continue
        block = _block_of(scope, node)
        if not any(item is not node and item.lineno <= row <= (item.end_lineno or 0) for item in block):
            continue
        between = [item for item in block if (node.end_lineno or 0) < item.lineno < row]
        if any(_assigns(item, name) for item in between) or not _computes_anew(node, name):
            continue
        if any(program.calls("step", node)):
            continue  # that step is told, which finds no gradients
        text = f"for {program.node_text(node.target)} in {program.node_text(node.iter)}"
        event = at.site.event(name)
        trail = (Moment(event, "one backward pass for the whole loop", at.iteration),)
        return Case(Mistake.LAST_ONLY, name, event, trail, (), {"loop": text})
    return None


def _computes_anew(loop: ast.For, name: str) -> bool:
    """Whether each iteration of a loop computes the loss from its own element, and does nothing more with it."""
    known = {node.id for node in ast.walk(loop.target) if isinstance(node, ast.Name)}
    carried = {
        target.id
        for node in inside(loop)
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name) and _mentions(node.value, target.id)
    }
    found = False
    for statement in loop.body:
        for node in [statement, *inside(statement)]:
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                if node.func.attr in ("backward", "append") and _mentions(node, name):
                    return False
            if isinstance(node, ast.AugAssign) and _mentions(node.value, name):
                kept = ast.unparse(node.value)
                if ".item()" not in kept and ".detach()" not in kept:
                    return False
            if isinstance(node, ast.AugAssign) and ast.unparse(node.target) == name:
                return False
            if isinstance(node, ast.Assign):
                reads = {item.id for item in ast.walk(node.value) if isinstance(item, ast.Name)}
                bound = {i.id for t in node.targets for i in ast.walk(t) if isinstance(i, ast.Name)}
                if name in bound and reads & {name, *carried}:
                    return False  # each iteration goes on from the one before
                if reads & known:
                    known |= bound
                    found = found or name in bound
    return found


def _assigns(node: ast.AST, name: str) -> bool:
    return any(isinstance(i, ast.Name) and i.id == name and isinstance(i.ctx, ast.Store) for i in ast.walk(node))


def _block_of(scope: ast.AST, statement: ast.stmt) -> list[ast.stmt]:
    """The statements that a statement stands among."""
    for node in ast.walk(scope):
        for block in ("body", "orelse", "finalbody"):
            found = getattr(node, block, None)
            if isinstance(found, list) and statement in found:
                return found
    return []


def _mentions(node: ast.AST, text: str) -> bool:
    return any(isinstance(item, ast.Name | ast.Attribute) and ast.unparse(item) == text for item in ast.walk(node))


def loss_of(site: Site) -> tuple[str, ast.expr | None]:
    """What the user calls the loss of a backward pass: `loss` of `scaler.scale(loss).backward()`."""
    call, method = _call_at(site)
    if call is None or method is None:
        return "loss", None
    owner = method.value
    if call.args and method.attr == "backward" and not isinstance(owner, ast.Call):
        if ast.unparse(owner) in _AUTOGRAD or not isinstance(owner, ast.Name):
            return ast.unparse(call.args[0]), call.args[0]
    while isinstance(owner, ast.Call) and owner.args:
        owner = owner.args[0]
    while isinstance(owner, ast.Attribute) and owner.attr == "data":
        owner = owner.value
    return ast.unparse(owner), owner


def _call_at(site: Site) -> tuple[ast.Call | None, ast.Attribute | None]:
    """The call of a method that a backward pass is written as, and the method, if it is one."""
    try:
        call = ast.parse(site.text, mode="eval").body
    except SyntaxError:
        return None, None
    return (call, call.func) if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) else (None, None)
