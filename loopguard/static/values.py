"""What a name can stand for: the abstract values that lowering computes with.

Most values are a `Thing`: an object with an identity (an optimizer, a module, anything else that a name holds).
Two names for one object share the `Thing`; an attribute of it is a child `Thing`. What is not known about a thing
is simply absent, and whoever asks must take absence for "perhaps".

Nobody changes a tensor or a constant once it is made. They are not frozen because so many are made, and a frozen one
takes three times as long.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

from loopguard.static.records import record
from loopguard.static.steps import spend

if TYPE_CHECKING:
    import libcst as cst

    from loopguard.static.paths.graph import Loop
    from loopguard.static.scope import Env, File


class Role(Enum):
    """What a thing is in a training loop."""

    OPAQUE = "unknown"
    DATA = "data"
    OPTIMIZER = "optimizer"
    MODULE = "module"
    CRITERION = "criterion"
    SCALER = "scaler"
    SCHEDULER = "scheduler"
    ENGINE = "engine"
    ACCELERATOR = "accelerator"
    INSTANCE = "instance"


_numbers = itertools.count(1)


class Value:
    """Anything that an expression can evaluate to."""

    __slots__ = ()


class Thing(Value):
    """An object with an identity.

    `label` is how the user writes it. `holds` are the modules (or single tensors) whose parameters an optimizer was
    built over, None if that is unknown. `captured` are the things that it was built from, and may contain. `known`
    says that the object's construction was seen, so that two known things are two objects. `wrapped` optimizers were
    given to a library that decides when they step; `backs` says that the object has been seen to run backward passes
    itself, as an engine does; `toggled`, that its parameters are frozen and thawed on the way, `frozen`, that all of
    them are; `parameter`, that it is what a function gets under this name; `replicated`, that ranks exchange its
    gradients; `held`, that an optimizer took its parameters; `runs`, that it may run events when it is called. `call`
    is the expression that made the object, where it is worth a look.
    """

    __slots__ = (
        "attrs",
        "averages",
        "backs",
        "call",
        "captured",
        "clears_itself",
        "cls",
        "dotted",
        "frozen",
        "held",
        "holds",
        "known",
        "label",
        "number",
        "parameter",
        "parent",
        "replicated",
        "role",
        "runs",
        "toggled",
        "wrapped",
    )

    def __init__(
        self,
        label: str,
        role: Role = Role.OPAQUE,
        *,
        parent: Thing | None = None,
        dotted: str = "",
        holds: tuple[Thing, ...] | None = None,
        captured: tuple[Thing, ...] = (),
        known: bool = False,
        cls: Class | None = None,
    ) -> None:
        self.number = next(_numbers)
        self.label = label
        self.role = role
        self.parent = parent
        self.dotted = dotted
        self.holds = holds
        self.captured = captured
        self.known = known
        self.cls = cls
        self.attrs: dict[str, Value] = {}
        self.runs = False
        self.toggled = False
        self.frozen = False
        self.held = False
        self.call: cst.Call | None = None
        self.replicated = False
        self.parameter = False
        self.wrapped = False
        self.backs = False
        self.clears_itself = False
        self.averages: bool | None = None

    def child(self, name: str) -> Value:
        """The attribute or constant-keyed element called `name`, made on first sight."""
        if name not in self.attrs:
            label = f"{self.label}{name}" if name.startswith("[") else f"{self.label}.{name}"
            self.attrs[name] = Thing(label, parent=self)
        return self.attrs[name]

    def parts(self) -> Iterator[Thing]:
        """The thing itself, and every thing that it is known to contain."""
        seen: set[Thing] = set()
        todo = [self]
        while todo:
            spend()
            thing = todo.pop()
            if thing in seen:
                continue
            seen.add(thing)
            yield thing
            for value in thing.attrs.values():
                todo += [part for part in things_in(value) if part.role is not Role.OPTIMIZER]

    def owners(self) -> Iterator[Thing]:
        """The things that this one is an attribute or element of, innermost first."""
        thing = self.parent
        while thing is not None:
            spend()
            yield thing
            thing = thing.parent

    def __repr__(self) -> str:
        return f"<{self.role.value} {self.label}>"


class Attachment(Enum):
    """Whether a tensor carries an autograd graph."""

    YES = "attached"
    NO = "detached"
    MAYBE = "unknown"


@record
class Tensor(Value):
    """A tensor computed in the loop.

    `sources` are the modules that its graph goes through; `complete` says that there are no others.
    `cut` tells what cut the graph off when `graph` is NO. `ancestors` are the tensors that it was computed from, itself
    included. `born` is the stack of loops in which it was computed. `mean` says that it is the mean over a batch as
    PyTorch's criteria make it, `divided` that something has been divided or scaled on the way, and `divisor` by what.
    `scaled` losses have gone through a gradient scaler.
    """

    sources: frozenset[Thing] = frozenset()
    complete: bool = False
    graph: Attachment = Attachment.MAYBE
    cut: str = ""
    ancestors: frozenset[int] = frozenset()
    born: tuple[Loop, ...] = ()
    mean: bool = False
    divided: bool = False
    divisor: str = ""
    carried: bool = False
    scaled: bool = False


@dataclass(slots=True, eq=False, repr=False)
class Group(Value):
    """A tuple or list whose elements are known, in order; `open` if there may be more.

    `known` are the identities of the first elements, as many as were `counted`.
    """

    items: list[Value]
    open: bool = False
    number: int = field(default_factory=lambda: next(_numbers))
    known: set[int] = field(default_factory=set)
    counted: int = 0


@dataclass(slots=True, eq=False, repr=False)
class Table(Value):
    """A dict display: the values under constant keys; `open` if there may be more."""

    items: dict[str, Value]
    open: bool = False


@record
class Params(Value):
    """The parameters of these things: `model.parameters()`, or a part of them if `partial`."""

    of: tuple[Thing, ...]
    partial: bool = False
    complete: bool = True


@record
class Gradient(Value):
    """`x.grad` of a parameter or tensor; `of` is None when it is not known whose."""

    of: Params | None


@record
class Const(Value):
    """A literal. `fixed` if it cannot be anything else here (a default that the call did not override)."""

    value: object
    fixed: bool = False


@record
class Ref(Value):
    """Something imported that is not part of the project: `torch.optim.Adam`."""

    dotted: str


@record
class Function(Value):
    """A function, method or lambda of the project, with the scope that it closes over."""

    node: cst.FunctionDef | cst.Lambda
    env: Env
    file: File
    owner: Class | None = None


@record
class Bound(Value):
    """A method of the project, bound to an object."""

    function: Function
    self: Thing


@record
class Partial(Value):
    """A function of the project with some of its arguments given already: `functools.partial(f, x)`."""

    function: Function | Bound
    positional: tuple[Value, ...]
    keywords: dict[str, Value]


@dataclass(slots=True, eq=False, repr=False)
class Class(Value):
    """A class of the project. `bases` are evaluated lazily by the scope that knows its names.

    `plain` says whether its objects surely have one mode, as far as the classes show that they are made of, so deep;
    `layers`, how many layers its text makes for them. Both are found out on demand.
    """

    name: str
    node: cst.ClassDef
    env: Env
    file: File
    bases: list[Value] = field(default_factory=list)
    methods: dict[str, cst.FunctionDef] = field(default_factory=dict)
    declared: dict[str, cst.BaseExpression | None] = field(default_factory=dict)
    template: Thing | None = None
    plain: dict[int, bool] = field(default_factory=dict)
    layers: int | None = None


@record
class Method(Value):
    """An attribute of a value, looked up and not yet called: `loss.backward`."""

    of: Value
    name: str


@record
class Test(Value):
    """A comparison or boolean that was given a name: `is_last = (i + 1) % k == 0`."""

    node: cst.BaseExpression
    env: Env


def things_in(value: Value | None) -> Sequence[Thing]:
    """Every thing that a value holds a reference to, directly."""
    if isinstance(value, Thing):
        return (value,)
    return () if value is None or isinstance(value, Const | Tensor | Ref) else list(_things_in(value))


def _things_in(value: Value) -> Iterator[Thing]:
    todo: list[Value | None] = [value]
    seen: set[int] = set()
    while todo:
        spend()
        item = todo.pop()
        if item is None or id(item) in seen:
            continue
        seen.add(id(item))
        if isinstance(item, Thing):
            yield item
        elif isinstance(item, Group):
            todo += item.items
        elif isinstance(item, Table):
            todo += item.items.values()
        elif isinstance(item, Params):
            todo += item.of
        elif isinstance(item, Gradient | Method):
            todo.append(item.of)
        elif isinstance(item, Bound):
            todo.append(item.self)
        elif isinstance(item, Partial):
            todo += [item.function, *item.positional, *item.keywords.values()]


@record
class Counter(Value):
    """The number of an iteration: the target of `enumerate` or `range`, with its first value where it is known."""

    start: int | None


@record
class Inert(Value):
    """Something of the project whose file holds no word of any event, so that calling it makes none.

    `certain` is false where the file imports one that does hold events, and may call it. `find` gives what the file
    itself has imported under a name, None if it has nothing of that name from elsewhere.
    """

    name: str
    certain: bool = True
    find: Callable[[str], Value | None] | None = None

    def attribute(self, name: str) -> Value:
        """What goes by `name` in the file, or as an attribute of what the file defines."""
        found = self.find(name) if self.find is not None else None
        return found if found is not None else Inert(name, self.certain)


@record
class FileValue(Value):
    """A module of the project, imported."""

    file: File
