"""Functions that a framework calls for every batch: which they are, and what it does around them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from weakref import WeakKeyDictionary

import libcst as cst

from loopguard.events import Kind
from loopguard.static.frameworks import ATTACHES, DRIVEN, Driven
from loopguard.static.lowering.context import Context, Jumps
from loopguard.static.lowering.objects import bases_of, mro
from loopguard.static.lowering.relevance import holds_events
from loopguard.static.paths.graph import Loop, Node
from loopguard.static.records import comparable
from loopguard.static.scope import File
from loopguard.static.syntax import children_of, text_of
from loopguard.static.values import Class, Function, Ref, Thing

_ATTACHED = re.compile(r"^(?>[^@\n]*@).*\bon\b", re.MULTILINE)
"""What stands over a function that a decorator attaches to an event of an engine, whatever it is called."""

_outside: WeakKeyDictionary[File, str] = WeakKeyDictionary()

_PLAIN_BASES = frozenset(["object", "ABC", "Generic", "Protocol", "Module"])


@comparable
class Driving:
    """How a framework drives a function: it does the rest of the iteration by itself, or leaves all of it to it."""

    driven: Driven
    automatic: bool
    hooked: bool = False


def driving_of(file: File, function: Function, owner: Class | None) -> Driving | None:
    """How a framework drives a method of the class `owner`; None if none does, or if that cannot be told."""
    if owner is None or not isinstance(function.node, cst.FunctionDef):
        return None
    for driven in DRIVEN:
        if driven.method == function.node.name.value:
            found = _driving(file, owner, driven)
            if found is not None:
                return found
    return None


def _driving(file: File, owner: Class, driven: Driven) -> Driving | None:
    classes = mro(owner)
    names = [_dotted(base) for item in classes for base in bases_of(item) if not isinstance(base, Class)]
    if not any(driven.base.search(name) for name in names):
        return None
    if not all(driven.base.search(name) or name.rsplit(".", 1)[-1] in _PLAIN_BASES for name in names):
        return None  # what another base does, nobody can tell
    texts = [item.file.tree.source(item.node) for item in classes]
    if driven.off is not None and any(driven.off.search(text) for text in texts):
        return Driving(driven, automatic=False, hooked=_is_hooked(classes, driven))
    if any(driven.switch.search(text) for text in texts) or driven.switch.search(_outside_classes(file)):
        return None
    return Driving(driven, automatic=True)


def _dotted(base: object) -> str:
    return base.dotted if isinstance(base, Ref) else base.label if isinstance(base, Thing) else ""


def _outside_classes(file: File) -> str:
    """The text of a file without its classes: there, somebody may switch off what a class leaves on."""
    if file not in _outside:
        rows = list(file.tree.lines)
        for value in file.env.variables.values():
            if isinstance(value, Class) and value.file is file:
                first, _, last, column = file.tree.range(value.node)
                last -= column == 1
                rows[first - 1 : last] = [""] * (last + 1 - first)
        _outside[file] = "\n".join(rows)
    return _outside[file]


def _is_hooked(classes: list[Class], driven: Driven) -> bool:
    """Whether other methods that the framework calls may hold a part of the iteration."""
    return any(
        driven.hooks is not None and driven.hooks.search(name) is not None and holds_events(item.file, node)
        for item in classes
        for name, node in item.methods.items()
    )


def has_handlers(file: File, function: Function) -> bool:
    """Whether functions of a file, other than `function`, hold events and are attached to events of an engine."""
    return "add_event_handler" in file.source.text or any(
        node is not function.node
        and any(ATTACHES.search(text_of(_called(item.decorator))) for item in node.decorators)
        and holds_events(file, node)
        for node in _decorated(file)
    )


def _called(node: cst.BaseExpression) -> cst.BaseExpression:
    return node.func if isinstance(node, cst.Call) else node


def _decorated(file: File) -> Iterator[cst.FunctionDef]:
    """The functions of a file that may be attached by a decorator. The bodies of others need not even be parsed."""
    todo: list[cst.CSTNode] = [file.tree.module] if _ATTACHED.search(file.source.text) else []
    while todo:
        node = todo.pop()
        if type(node) is cst.FunctionDef:
            if node.decorators:
                yield node
            if not _ATTACHED.search(file.tree.source(node)):
                continue
        todo += children_of(node)


@contextmanager
def repeated(ctx: Context, file: File, node: cst.CSTNode, text: str, *, hooked: bool) -> Iterator[None]:
    """Lower what follows as the body of a loop over batches that somebody else runs.

    `hooked` says that other code of the user's may run between two iterations.
    """
    loop = Loop(len(ctx.graph.loops), text, batches=True, file=file, node=node)
    ctx.graph.loops.append(loop)
    ctx.loops.append(loop)
    ctx.jumps.append(Jumps())
    head = ctx.graph.add(Node(text))
    yield
    if hooked:
        ctx.emit(Kind.UNKNOWN, node, None)
    if ctx.graph.reachable:
        ctx.graph.add(Node("", again=loop))
        ctx.graph.connect(ctx.graph.frontier, head)
    ctx.jumps.pop()
    ctx.loops.pop()


def around(ctx: Context, file: File, function: Function) -> AbstractContextManager[None]:
    """What a framework runs around a function that is lowered as if it were called from outside."""
    driving = ctx.driving
    if driving is None or driving.automatic:
        return nullcontext()
    text = f"{driving.driven.framework} around {driving.driven.method}()"
    return repeated(ctx, file, function.node, text, hooked=driving.hooked)
