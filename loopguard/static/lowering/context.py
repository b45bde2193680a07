"""Where lowering stands: the graph so far, the scope, the loops and conditions around, the calls on the way here."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any

import libcst as cst

from loopguard.events import Kind
from loopguard.limits import Limit
from loopguard.static.paths import conditions
from loopguard.static.paths.graph import Assumption, FlowGraph, Frontier, Happening, Loop, Node, Site
from loopguard.static.scope import Env, File
from loopguard.static.steps import spend
from loopguard.static.syntax import text_of
from loopguard.static.values import Bound, Class, Counter, Function, Tensor, Test, Thing, Value

if TYPE_CHECKING:
    from loopguard.static.lowering.driven import Driving

_STEPS_OF_AN_EVENT = 20
"""What follows of an event: its place on the graph, and the questions about it that every verdict asks."""
_STEPS_OF_A_CALL = 10
_DEPTH_OF_VALUES = 4
"""How deeply nested calls are followed where nothing but their value is wanted."""


@dataclass(slots=True, repr=False)
class Frame:
    """One call that is being lowered: its scope, what its `return`s bring back, and whether it `waits` at a `yield`."""

    env: Env
    file: File
    returns: Frontier = field(default_factory=list)
    results: list[Value] = field(default_factory=list)
    owner: Class | None = None
    elsewhere: dict[str, Env] = field(default_factory=dict)
    waits: bool = False


@dataclass(slots=True, repr=False)
class Jumps:
    """The dangling `break`s and `continue`s of the loop that is being lowered."""

    breaks: Frontier = field(default_factory=list)
    continues: Frontier = field(default_factory=list)


@dataclass(slots=True, eq=False, repr=False)
class Step:
    """A part of a function that is still to run: `run` lowers it, under the conditions `guards`.

    `run` is told whether the function goes on normally, rather than on the way of a jump out of a block around it.
    Those who return pass through what is to run `always`.
    """

    run: Callable[[bool], None]
    guards: tuple[Assumption, ...]
    always: bool = False


@dataclass(slots=True, eq=False, repr=False)
class Pause:
    """A generator that waits at a `yield`: what it has given, how the graph goes on from there, what is still to run.

    `mode` is that of the context meanwhile.
    """

    value: Value
    frontier: Frontier
    variables: dict[str, Value]
    guards: tuple[Assumption, ...]
    mode: tuple[str, str, int]
    rest: list[Step] = field(default_factory=list)


@dataclass(slots=True, eq=False, repr=False)
class ExitStack:
    """An exit stack whose block is being lowered: where that begins, and what there is to do at its end."""

    place: tuple[object, ...]
    leaving: list[Callable[[bool], None]] = field(default_factory=list)
    is_open: bool = True


@dataclass(slots=True, eq=False, repr=False)
class Note:
    """Something that lowering sees directly, without any state: a mistake, where, about what, and what to quote."""

    mistake: Enum
    site: Site
    text: str
    subject: str
    facts: dict[str, str]
    loops: tuple[Loop, ...] = ()
    loss: Tensor | None = None


@dataclass(slots=True, eq=False, repr=False)
class Accumulation:
    """`total += loss` or `losses.append(loss)`: the value that is kept, and the tensor that stands for the sum."""

    site: Site
    text: str
    into: str
    kept: Tensor
    total: int
    loops: tuple[Loop, ...]
    storage: str


class Context:
    """The state of one lowering. Expressions and statements are lowered by functions that get it as first argument."""

    evaluate: Callable[[Context, cst.BaseExpression], Value]
    run: Callable[[Context, Any], None]
    call: Callable[[Context, Value, cst.CSTNode], Value]

    def __init__(self, file: File) -> None:
        self.graph = FlowGraph()
        self.frame = Frame(file.env, file)
        self.loops: list[Loop] = []
        self.guards: list[Assumption] = []
        self.jumps: list[Jumps] = []
        self.pauses: list[Pause] = []
        self.stacks: dict[Thing, ExitStack] = {}
        self.calls: tuple[tuple[File, cst.CSTNode], ...] = ()
        self.active: list[cst.CSTNode] = []
        self.silent = 0
        self.lowered_calls = 0
        self.at: tuple[File, cst.CSTNode] | None = None
        self.generators = 0
        self.defined: list[Function] = []
        self.called: set[cst.CSTNode] = set()
        self.grad_off = ""
        self.accumulating = ""
        self.accumulating_depth = 0
        self.notes: list[Note] = []
        self.accumulations: list[Accumulation] = []
        self.resets: set[tuple[str, int]] = set()
        self.result: Value | None = None
        self.driving: Driving | None = None
        self.processes: list[Function | Bound] = []
        self._tensors = itertools.count(1)
        self._implicit: dict[str, Thing] = {}

    @property
    def env(self) -> Env:
        """The scope of the function that is being lowered."""
        return self.frame.env

    @property
    def file(self) -> File:
        """The file that the lowered text stands in."""
        return self.frame.file

    def site(self, node: cst.CSTNode) -> Site:
        """Where `node` stands."""
        return Site(self.file, node, self.calls)

    def new_tensor(self) -> int:
        """A fresh number for a tensor."""
        return next(self._tensors)

    def implicit(self, name: str) -> Thing:
        """The thing behind a name that nothing defines, the same at every use."""
        if name not in self._implicit:
            self._implicit[name] = Thing(name)
        return self._implicit[name]

    def emit(
        self,
        kind: Kind,
        node: cst.CSTNode,
        target: Value | None = None,
        *,
        loss: Tensor | None = None,
        clears_itself: bool = False,
        maybe: bool = False,
        via: str = "",
        scaler: Thing | None = None,
        written: str = "",
    ) -> Happening | None:
        """Append an event behind the frontier, unless control cannot get here or only values are wanted."""
        if self.silent or not self.graph.reachable:
            return None
        spend(_STEPS_OF_AN_EVENT + len(self.guards))
        event = Happening(
            kind,
            self.site(node),
            target,
            loss,
            tuple(self.loops),
            tuple(self.guards),
            clears_itself=clears_itself,
            maybe=maybe,
            via=via,
            depth=self.accumulating_depth,
            scaler=scaler,
            grad_off=self.grad_off,
            written=written,
        )
        event.number = self.graph.add(Node("", event=event))
        return event

    def note(self, mistake: Enum, node: cst.CSTNode, subject: str, **facts: str) -> None:
        """Record a mistake that needs no state to be seen."""
        if not self.silent and self.graph.reachable:
            self.notes.append(Note(mistake, self.site(node), text_of(node), subject, facts, tuple(self.loops)))

    def assigned(self, names: Sequence[str], *, anew: bool = True) -> None:
        """End every assumption on the storage `names`; `anew` says that the old values play no part in the new ones."""
        for loop in self.loops:
            loop.assigned.update(names)
        if anew and self.loops:
            self.resets.update((name, self.loops[-1].number) for name in names)
        if self.silent or not names or not self.graph.reachable:
            return
        last = self.graph.nodes[-1]
        if isinstance(last.assigned, set) and self.graph.frontier == [(len(self.graph.nodes) - 1, None)]:
            last.assigned.update(names)
        else:
            self.graph.add(Node("=", assigned=set(names)))

    def storage(self, node: cst.Name | cst.Attribute) -> tuple[str, str]:
        """The object that a variable or attribute stands for now, and the storage that an assignment changes."""
        if isinstance(node, cst.Name):
            home = self.env.home(node.value)
            value = home.variables.get(node.value) or self._implicit.get(node.value)
            storage = f"{home.number}:{node.value}"
        else:
            owner = self.peek(node.value)
            if isinstance(owner, Thing):
                value = owner.attrs.get(node.attr.value)
                storage = f"#{owner.number}.{node.attr.value}"
            else:
                value, storage = None, f"{self.env.home('').number}:{text_of(node)}"
        return (f"#{value.number}" if isinstance(value, Thing) else storage), storage

    def peek(self, node: cst.BaseExpression) -> Value | None:
        """What a name or dotted name stands for, without lowering anything."""
        if type(node) is cst.Name:
            return self.env.lookup(node.value) or self._implicit.get(node.value)
        if type(node) is cst.Attribute:
            owner = self.peek(node.value)
            if isinstance(owner, Thing):
                return owner.attrs.get(node.attr.value)
        return None

    def start_of(self, node: cst.BaseExpression) -> int | None:
        """The first value of the counter that `node` names."""
        value = self.peek(node)
        return value.start if isinstance(value, Counter) else None

    def assume(self, test: cst.BaseExpression, truth: bool) -> Assumption:
        """The assumption that `test` is `truth`; a named test brings the gate that it stands for."""
        found = conditions.assume(test, truth, self.start_of, self.storage)
        if found.condition.gate is None and isinstance(test, cst.Name | cst.Attribute):
            value = self.peek(test)
            if isinstance(value, Test):
                gate = conditions.gate_of(value.node, self.start_of)
                if gate is not None:
                    condition = found.condition
                    return Assumption(
                        type(condition)(
                            condition.key, condition.text, condition.names, condition.subject, "", gate, False
                        ),
                        truth,
                    )
        return found

    @property
    def mode(self) -> tuple[str, str, int]:
        """What switches recording off, and the window of a library that is open, with the conditions around it."""
        return self.grad_off, self.accumulating, self.accumulating_depth

    @mode.setter
    def mode(self, mode: tuple[str, str, int]) -> None:
        self.grad_off, self.accumulating, self.accumulating_depth = mode

    def wait(self, seen: int, step: Step) -> int:
        """Let generators that wait since there were `seen` of them go on with a step. Returns how many there are."""
        for pause in self.pauses[seen:]:
            pause.rest.append(step)
        return len(self.pauses)

    def follows(self, definition: cst.CSTNode, *, matters: bool = True) -> bool:
        """Whether a definition is lowered where it is called: it does not call itself, and no bound is met.

        A bound that `matters` is noted.
        """
        spend(_STEPS_OF_A_CALL)
        self.lowered_calls += 1
        if definition in self.active:
            return False
        limit = self._met()
        if limit is not None and matters:
            self.graph.limits.add(limit)
        return limit is None

    def _met(self) -> Limit | None:
        """The bound because of which no further call is followed."""
        if self.lowered_calls > Limit.CALLS.most:
            return Limit.CALLS
        most = _DEPTH_OF_VALUES if self.silent else Limit.DEPTH.most
        return Limit.DEPTH if len(self.active) >= most else None

    def known(self, node: cst.BaseExpression) -> Value:
        """The value of an expression that has been lowered already, or is only looked at."""
        with self.values_only():
            return self.evaluate(self, node)

    def globals_of(self, name: str) -> Env:
        """The scope that an assignment to `name` binds in: this function's, unless it says `global` or `nonlocal`."""
        return self.frame.elsewhere.get(name, self.env)

    def within(self, env: Env, file: File) -> _Within:
        """Evaluate in another scope."""
        return _Within(self, Frame(env, file))

    def values_only(self) -> _Silence:
        """Evaluate for the values alone: no event is recorded."""
        return _Silence(self)


# These two are entered so often that generators in their place would be noticed.


class _Within:
    """A stretch of lowering within a frame of its own."""

    __slots__ = ("ctx", "frame")

    def __init__(self, ctx: Context, frame: Frame) -> None:
        self.ctx, self.frame = ctx, frame

    def __enter__(self) -> None:
        self.ctx.frame, self.frame = self.frame, self.ctx.frame

    def __exit__(self, *_: object) -> None:
        self.ctx.frame, self.frame = self.frame, self.ctx.frame


class _Silence:
    """A stretch of lowering that records nothing."""

    __slots__ = ("ctx",)

    def __init__(self, ctx: Context) -> None:
        self.ctx = ctx

    def __enter__(self) -> None:
        self.ctx.silent += 1

    def __exit__(self, *_: object) -> None:
        self.ctx.silent -= 1
