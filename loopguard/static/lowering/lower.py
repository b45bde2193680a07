"""A file to graphs of events: one for its top level, and one for each function that could be called from outside."""

from __future__ import annotations

from collections.abc import Iterable

import libcst as cst

from loopguard.static.lowering.arguments import Arguments
from loopguard.static.lowering.calls import call_function
from loopguard.static.lowering.constructors import instance
from loopguard.static.lowering.context import Context
from loopguard.static.lowering.driven import around, driving_of, has_handlers, repeated
from loopguard.static.lowering.expressions import evaluate
from loopguard.static.lowering.objects import find_method
from loopguard.static.lowering.relevance import is_relevant
from loopguard.static.lowering.statements import run
from loopguard.static.scope import Env, File
from loopguard.static.steps import spend
from loopguard.static.values import Bound, Class, Counter, Function, Partial, Role, Thing, Value
from loopguard.words import Words

_SETS = Words(
    r"self\.(?=\w*(?:optim|opt_|_opt))\w++(?:\[\w*+\])?\s*+=|(?m:^)(?>.*?self\.\w+\s*=).*(?:[Oo]ptim|parameters\()",
    *("opt", "Optim", "parameters("),
)
"""What sets an optimizer. What follows some attribute that is set on a line follows the first."""


def _call(ctx: Context, callee: Value, node: cst.CSTNode) -> Value:
    if isinstance(callee, Partial):
        return call_function(ctx, callee.function, Arguments().behind(callee), node)
    assert isinstance(callee, Function | Bound)
    return call_function(ctx, callee, Arguments(), node)


def new_context(file: File) -> Context:
    """An empty context over `file`, with the functions that lower expressions, blocks and calls."""
    ctx = Context(file)
    ctx.evaluate = evaluate
    ctx.run = run
    ctx.call = _call
    return ctx


def lower_module(file: File) -> Context:
    """Lower the top level of a file, as when it is run as a script."""
    ctx = new_context(file)
    ctx.graph.is_script = True
    ctx.run(ctx, file.tree.module)
    return ctx


def lower_function(file: File, function: Function, owner: Class | None) -> Context:
    """Lower one function for arguments of which nothing is known; a method, for an object of its class.

    Where a framework calls it for every batch, and does nothing by itself, it is the body of a loop.
    """
    ctx = new_context(file)
    receiver = instance_of(file, owner) if owner is not None else None
    callee = Bound(function, receiver) if receiver is not None else function
    ctx.driving = driving_of(file, function, owner)
    arguments = Arguments(open=True)
    if ctx.driving is not None and ctx.driving.driven.counter:
        arguments.keywords[ctx.driving.driven.counter] = Counter(0)
    with around(ctx, file, function):
        ctx.result = call_function(ctx, callee, arguments, function.node)
    return ctx


def processes_of(file: File, given: Iterable[Function | Bound]) -> list[Function | Bound]:
    """The functions of a file among those that engines were given, each once."""
    found: dict[cst.CSTNode, Function | Bound] = {}
    for process in given:
        function = process.function if isinstance(process, Bound) else process
        if function.file is file and is_relevant(file, function.node):
            found.setdefault(function.node, process)
    return list(found.values())


def lower_process(file: File, process: Function | Bound) -> Context:
    """Lower a function that an engine was given to call for every batch."""
    function = process.function if isinstance(process, Bound) else process
    ctx = new_context(file)
    name = function.node.name.value if isinstance(function.node, cst.FunctionDef) else "lambda"
    with repeated(ctx, file, function.node, f"Engine around {name}()", hooked=has_handlers(file, function)):
        call_function(ctx, process, Arguments(open=True), function.node)
    return ctx


def instance_of(file: File, owner: Class) -> Thing:
    """An object of a class, with the attributes that its methods give it."""
    if owner.template is None:
        owner.template = _template(file, owner)
    made = Thing("self", owner.template.role, cls=owner)
    spend(len(owner.template.attrs))
    for name, value in owner.template.attrs.items():
        made.attrs[name] = value
        if isinstance(value, Thing) and value.parent is owner.template:
            value.parent = made
    return made


def _template(file: File, owner: Class) -> Thing:
    made = instance(owner, Arguments())
    made.label = "self"
    if made.role is Role.OPTIMIZER:
        made.role = Role.INSTANCE
    made.known = False
    ctx = new_context(file)
    with ctx.values_only():
        init = find_method(owner, "__init__")
        if init is not None:
            call_function(ctx, Bound(init[0], made), Arguments(), init[0].node)
        for name, node in owner.methods.items():
            text = owner.file.tree.source(node)
            if name == "__init__" or not _SETS.search(text):
                continue
            before = dict(made.attrs)
            call_function(ctx, Bound(Function(node, owner.env, owner.file, owner), made), Arguments(), node)
            # What __init__ has set stands; other methods only add what is missing.
            made.attrs.update({key: value for key, value in before.items() if isinstance(value, Thing)})
    return made


def functions_of(file: File) -> list[tuple[Function, Class | None]]:
    """Every function and method that a file defines at its top level, in classes, and within functions."""
    found: list[tuple[Function, Class | None]] = []
    env: Env = file.env
    for value in env.variables.values():
        if isinstance(value, Function) and value.file is file and isinstance(value.node, cst.FunctionDef):
            found.append((value, None))
        elif isinstance(value, Class) and value.file is file:
            found += [(Function(node, value.env, file, value), value) for node in value.methods.values()]
    return found
