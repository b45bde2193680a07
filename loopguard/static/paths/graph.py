"""A control-flow graph that holds nothing but events, choices between them, and what ends an assumption.

Nodes are numbered in the order of lowering. An edge may carry an `Assumption`: it is taken only where a condition
is true (or false). The graph prints itself as Mermaid (https://mermaid.js.org/syntax/flowchart.html).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain
from operator import attrgetter
from typing import TYPE_CHECKING

from loopguard.events import Kind
from loopguard.lifecycles.window import Gate
from loopguard.limits import Limit
from loopguard.static.records import comparable
from loopguard.static.steps import spend
from loopguard.static.syntax import text_of
from loopguard.static.values import Thing

if TYPE_CHECKING:
    import libcst as cst

    from loopguard.static.scope import File
    from loopguard.static.values import Tensor, Value


@comparable
class Condition:
    """A condition with its negation taken out.

    `key` is the same for two conditions that must agree; `text` is how the user wrote it. `names` are the variables
    that it reads. `against` is set for
    comparisons with a constant: at most one constant can be equal at a time. `gate` is set for accumulation gates.
    `volatile` conditions call something, so that nothing is remembered of them from one iteration to the next.
    """

    key: str
    text: str
    names: frozenset[str]
    subject: str = ""
    against: str = ""
    gate: Gate | None = None
    volatile: bool = False


@comparable
class Assumption:
    """A condition taken to be true or false."""

    condition: Condition
    truth: bool

    def __str__(self) -> str:
        return f"`{self.condition.text}` is {'true' if self.truth else 'false'}"


@dataclass(slots=True, eq=False, repr=False)
class Loop:
    """A loop of the program: its number, its header as written, and whether it walks over batches of data.

    `depth` is the number of conditions around it, `assigned` the storage that its body assigns to; it stands in `file`
    as `node`, and walks over what the things `over` hold.
    """

    number: int
    text: str
    batches: bool = False
    back_edge: bool = True
    breaks: bool = False
    depth: int = 0
    file: File | None = None
    node: cst.CSTNode | None = None
    assigned: set[str] = field(default_factory=set)
    over: tuple[Thing, ...] = ()


@comparable
class Site:
    """Where a node of the program stands, and through which calls lowering got there (outermost first)."""

    file: File
    node: cst.CSTNode
    calls: tuple[tuple[File, cst.CSTNode], ...] = ()


@dataclass(slots=True, eq=False, repr=False)
class Happening:
    """An event on the graph.

    `target` is what is cleared, stepped or handed to unknown code, None for "perhaps anything"; for a backward pass
    `loss` is what it starts from. `loops` and `guards` are the loops and conditions that enclose it, outermost first.
    `via` names the object through which a library does it; `depth` counts the conditions around that one's block.
    `scaler` is the gradient scaler that takes part. `grad_off` is what switches recording off around it, as written.
    `written` is how the loss of a backward pass is written, empty for a pass that is given a gradient: what that starts
    from need not be a loss.
    """

    kind: Kind
    site: Site
    target: Value | None = None
    loss: Tensor | None = None
    loops: tuple[Loop, ...] = ()
    guards: tuple[Assumption, ...] = ()
    number: int = -1
    clears_itself: bool = False
    maybe: bool = False
    via: str = ""
    depth: int = 0
    scaler: Thing | None = None
    grad_off: str = ""
    written: str = ""

    @property
    def text(self) -> str:
        """The call or assignment as it is written."""
        return text_of(self.site.node)


@dataclass(slots=True, eq=False, repr=False)
class Node:
    """One node: an event, a named join, the end of an iteration (`again`), or an assignment that ends assumptions."""

    label: str
    event: Happening | None = None
    again: Loop | None = None
    assigned: set[str] | frozenset[str] = frozenset()
    successors: list[tuple[int, Assumption | None]] = field(default_factory=list)


def text_around(loop: Loop) -> str:
    """A loop as it is written, header and body; empty for a loop that has no text of its own."""
    return loop.file.tree.source(loop.node) if loop.file is not None and loop.node is not None else ""


Frontier = list[tuple[int, Assumption | None]]
"""The edges that still lead nowhere: from which node, under which assumption."""


_MANY_EDGES = 4

Where = Loop | tuple[Loop, ...] | Thing | None
"""A loop, a stack of loops from the outermost to the innermost, or the target of events."""


class FlowGraph:
    """The graph of one analysis, grown node by node behind a frontier.

    `kinds` are those of its events, `limits` the bounds because of which it does not show everything.
    """

    def __init__(self) -> None:
        self.nodes: list[Node] = [Node("start")]
        self.kinds: set[Kind] = set()
        self.limits: set[Limit] = set()
        self._events: list[Happening] = []
        self._index: dict[Where, dict[Kind | None, list[Happening]]] = {}
        self._targets: dict[Kind, dict[Value | None, None]] = {}
        self._count = 0
        self.frontier: Frontier = [(0, None)]
        self.loops: list[Loop] = []
        self.window_sizes: set[str] = set()
        self.is_script = False

    @property
    def reachable(self) -> bool:
        """Whether control can get to the place where the next node would go."""
        return bool(self.frontier)

    def add(self, node: Node) -> int:
        """Append `node` behind the frontier and make it the new one. Returns its number."""
        number = len(self.nodes)
        self.nodes.append(node)
        if node.event is not None:
            self.kinds.add(node.event.kind)
            self._events.append(node.event)
        for source, assumption in self.frontier:
            self.nodes[source].successors.append((number, assumption))
        self.frontier = [(number, None)]
        return number

    def split(self, when: Assumption) -> Frontier:
        """Let the frontier go on only where `when` holds. Returns the edges on which it does not."""
        if any(assumption is not None for _, assumption in self.frontier):
            self.add(Node("?"))
        before = self.frontier
        self.frontier = [(source, when) for source, _ in before]
        other = Assumption(when.condition, not when.truth)
        return [(source, other) for source, _ in before]

    def connect(self, frontier: Frontier, target: int) -> None:
        """Let the dangling edges of `frontier` lead to an existing node."""
        for source, assumption in frontier:
            self.nodes[source].successors.append((target, assumption))

    def join(self) -> None:
        """Let one edge lead on instead of many, where each of several ways would take all of them along."""
        if len(self.frontier) > _MANY_EDGES:
            self.add(Node(""))

    def events(self, *kinds: Kind, where: Where = None) -> Sequence[Happening]:
        """The events in the order of lowering; if told so, only those of some kinds, or of some place.

        `where` is a loop that they stand in, the stack of all their loops, or the thing that they are about.
        """
        if not kinds and where is None:
            found: Sequence[Happening] = self._events
        else:
            by_kind = self._indexed().get(where, {})
            lists = [by_kind[kind] for kind in kinds or (None,) if kind in by_kind]
            found = lists[0] if len(lists) == 1 else sorted(chain.from_iterable(lists), key=_number)
        spend(len(found) + 1)
        return found

    def _indexed(self) -> dict[Where, dict[Kind | None, list[Happening]]]:
        """The events by their places, all of them at None, and there by their kinds, and all."""
        for event in self._events[self._count :]:
            target = event.target if isinstance(event.target, Thing) else None
            for where in dict.fromkeys((None, *event.loops, event.loops, target)):
                by_kind = self._index.setdefault(where, {})
                by_kind.setdefault(event.kind, []).append(event)
                by_kind.setdefault(None, []).append(event)
            self._targets.setdefault(event.kind, {})[event.target] = None
        self._count = len(self._events)
        return self._index

    def targets(self, kind: Kind) -> Sequence[Value | None]:
        """What the events of a kind are about, each once."""
        self._indexed()
        found = self._targets.get(kind, {})
        spend(len(found) + 1)
        return list(found)

    def mermaid(self) -> str:
        """The graph as a Mermaid flowchart."""
        lines = ["flowchart TD"]
        for number, node in enumerate(self.nodes):
            if node.event is not None:
                label = f'["{node.event.kind.value}: {_quoted(node.event.text)}"]'
            elif node.again is not None:
                label = f'(["again: {_quoted(node.again.text)}"])'
            else:
                label = f'("{_quoted(node.label)}")'
            lines.append(f"    n{number}{label}")
        for number, node in enumerate(self.nodes):
            for target, assumption in node.successors:
                arrow = f"-- {_quoted(str(assumption))} -->" if assumption else "-->"
                lines.append(f"    n{number} {arrow} n{target}")
        return "\n".join(lines) + "\n"


_number = attrgetter("number")


def _quoted(text: str) -> str:
    return text.replace("`", "").replace('"', "#quot;")
