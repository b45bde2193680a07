"""What every verdict asks of a run: what the subject is called, the loop, the events that bear on it, the trail."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from types import FrameType
from weakref import ref

import torch
from torch import Tensor
from torch.optim.optimizer import Optimizer

from loopguard.case import Case
from loopguard.events import Event, Kind, Moment, Reach, Related, Relation
from loopguard.lifecycles import source
from loopguard.runtime.entries import Entry
from loopguard.runtime.gradients import parameters_of
from loopguard.runtime.ledger import Account
from loopguard.runtime.names import name_of, parameter_names, resolve
from loopguard.runtime.program import Gate, Loop, Program, inside, span_of
from loopguard.runtime.rounds import Rounds
from loopguard.runtime.sites import Site
from loopguard.runtime.verdicts.by_hand import clears_by_hand

_RECEIVER = re.compile(r"(?P<owner>[\w.\[\]'\"]+)\.(?:zero_grad|step)\((?P<argument>[\w.\[\]'\"]*)")

_MOST = 64
"""Of so many optimizers of one run it is kept what led to their steps."""


@dataclass(frozen=True, slots=True)
class Clearing:
    """A clear in the program: where it is written, what it does to the subject, and whether it has ever run."""

    event: Event
    relation: Relation
    loops: tuple[Loop, ...]
    gates: tuple[str, ...]
    site: Site | None
    window: Gate | None = None
    owner: object = None


@dataclass
class History:
    """What has happened in the run so far."""

    accounts: dict[int, Account] = field(default_factory=dict)
    backwards: dict[Site, Entry] = field(default_factory=dict)
    clears: dict[Site, ref[Optimizer | torch.nn.Module]] = field(default_factory=dict)
    rounds: list[Rounds] = field(default_factory=list)
    is_whole: bool = True

    def account(self, optimizer: object) -> Account | None:
        """The account of an optimizer, if it has one."""
        found = self.accounts.get(id(optimizer))
        return found if found is not None and found.optimizer() is optimizer else None

    def open(self, optimizer: object, account: Account) -> None:
        """Begin an account. What led to its steps is kept when it is closed, unless there are too many."""
        self.accounts[id(optimizer)] = account
        self.is_whole = self.is_whole and len(self.rounds) < _MOST
        if self.is_whole:
            self.rounds.append(account.rounds)

    def close(self, account: Account) -> None:
        """Forget an account. Another optimizer may have its place by now."""
        self.accounts = {key: other for key, other in self.accounts.items() if other is not account}


class Telling:
    """One account seen at one event. `frames` are the user's on the stack now, innermost first."""

    def __init__(self, history: History, account: Account, at: Entry, frames: Sequence[FrameType]) -> None:
        self.history = history
        self.account = account
        self.at = at
        self.frames = frames

    @cached_property
    def subject(self) -> str:
        """What the user calls the optimizer."""
        optimizer = self.account.optimizer()
        found = name_of(optimizer, self.frames) if optimizer is not None else None
        if found is not None:
            return found
        for site in [*self.account.step_sites, *self.account.clear_sites]:
            match = _RECEIVER.search(site.text)
            if match is not None:
                scaled = match["argument"] and site.kind is Kind.STEP and "caler" in match["owner"]
                return match["argument"] if scaled else match["owner"]
        return type(optimizer).__name__

    @property
    def parameters(self) -> list[Tensor]:
        """What the optimizer holds."""
        optimizer = self.account.optimizer()
        return [] if optimizer is None else list(parameters_of(optimizer))

    def names(self, parameters: Sequence[Tensor]) -> tuple[str, ...]:
        """What the user calls some parameters."""
        return parameter_names(parameters, self.frames)

    def relation(self, owner: object) -> Relation:
        """What a clear of `owner` touches of the optimizer's parameters."""
        return relation_of(owner, self.account)

    def clearings(self, loop: Loop | None) -> list[Clearing]:
        """The clears that have run, and those written in `loop` that have not."""
        found = []
        for site, owner in self.history.clears.items():
            relation = self.relation(owner())
            if owner() is None:
                relation = Relation.WHOLE if site in self.account.clear_sites else Relation.UNKNOWN
            gates = tuple(self.missed_gates(site.program, site.row, loop))
            window = window_of(site.program, site.row, loop)
            found.append(Clearing(site.event(self.subject), relation, site.loops, gates, site, window, owner()))
        if loop is not None:
            found += self._unvisited(loop, {(item.event.place.path, item.event.place.row) for item in found})
        return found

    def _unvisited(self, loop: Loop, visited: set[tuple[str, int]]) -> Iterator[Clearing]:
        for program, _ in self.at.site.ways:
            if loop not in program.loops(loop.node.body[0].lineno):
                continue
            for call, owner in program.calls("zero_grad", loop.node):
                if (program.path, call.lineno) not in visited:
                    relation = self.relation(resolve(owner, self.frames))
                    if relation is Relation.UNKNOWN and program.node_text(owner) == self.subject:
                        relation = Relation.WHOLE
                    yield self._written(program, call, relation, loop)
            own = (outer for outer in self.at.site.loops if outer in program.loops(outer.node.body[0].lineno))
            around = next(own, loop)
            for node in clears_by_hand(around.node):
                partly = bool(self.account.leftover) and len(self.account.leftover or ()) < len(self.parameters)
                yield self._written(program, node, Relation.PART if partly else Relation.WHOLE, around)

    def _written(self, program: Program, node: ast.expr | ast.stmt, relation: Relation, loop: Loop) -> Clearing:
        event = Event(Kind.CLEAR, self.subject, program.place(span_of(node)), program.node_text(node))
        around = self.at.site.loops
        loops = (*(around[: around.index(loop)] if loop in around else ()), *program.loops(node.lineno))
        gates = tuple(self.missed_gates(program, node.lineno, loop))
        return Clearing(event, relation, loops, gates, None, window_of(program, node.lineno, loop))

    def missed_gates(self, program: Program, row: int, loop: Loop | None) -> Iterator[str]:
        """The conditions around a row that are not around the event that is told, as they were when it was missed."""
        own = {gate.text for other, at in self.at.site.ways for gate in other.gates(at)}
        for gate in program.gates(row, loop):
            if gate.text not in own:
                yield f"`{gate.text}` is {'false' if gate.truth else 'true'}"

    def related(self, clearings: Iterable[Clearing], loop: Loop | None) -> tuple[Related, ...]:
        """The clears, steps and backward passes that bear on a case about `loop`."""

        def reach(loops: Sequence[Loop]) -> Reach:
            return Reach.INSIDE if loop is not None and loop in loops else Reach.OUTSIDE

        found = [Related(item.event, item.relation, reach(item.loops)) for item in clearings]
        for account in self.history.accounts.values():
            relation = Relation.WHOLE if account is self.account else Relation.OTHER
            now = [self.at.site] if account is self.account and self.at.site.kind is Kind.STEP else []
            for site in dict.fromkeys([*account.step_sites, *now]):
                found.append(Related(site.event(self.subject), relation, reach(site.loops)))
        for site in self.history.backwards:
            found.append(Related(site.event(self.subject), Relation.UNKNOWN, reach(site.loops)))
        return tuple(found)

    def moment(self, entry: Entry, note: str) -> Moment:
        """An event as an entry of the evidence."""
        return Moment(entry.site.event(self.subject), note, entry.iteration)

    def uncalled(self, method: str, loop: Loop | None) -> Case | None:
        """The case of a method that the loop names and does not call: `optimizer.zero_grad` without its `()`."""
        for program, row in self.at.site.ways if loop is not None else ():
            for node in inside(loop.node if loop in program.loops(row) else program.scope(row)):
                if isinstance(node, ast.Expr) and isinstance(node.value, ast.Attribute) and node.value.attr == method:
                    text, place = program.node_text(node.value), program.place(span_of(node.value))
                    name = text.removesuffix(f".{method}")
                    return Case(source.Mistake.UNCALLED, name, Event(Kind.UNKNOWN, name, place, text))
        return None

    def case(
        self,
        mistake: Enum,
        at: Entry | Event,
        trail: Sequence[Moment],
        loop: Loop | None,
        facts: dict[str, str],
        related: tuple[Related, ...] = (),
        deposits: Sequence[Entry] = (),
        parameters: Sequence[Tensor] = (),
    ) -> Case:
        """The case of `mistake` at an event."""
        return Case(
            mistake,
            self.subject,
            at if isinstance(at, Event) else at.site.event(self.subject),
            tuple(trail),
            related,
            {"loop": loop.text, **facts} if loop is not None else facts,
            tuple(dict.fromkeys(entry.iteration for entry in deposits)),
            self.names(parameters) if parameters else (),
        )


def relation_of(owner: object, account: Account) -> Relation:
    """What a clear of `owner` touches of the parameters that an account is about."""
    optimizer = account.optimizer()
    if owner is optimizer:
        return Relation.WHOLE
    if isinstance(owner, Optimizer):
        cleared = {id(p) for p in parameters_of(owner)}
    elif isinstance(owner, torch.nn.Module):
        cleared = {id(p) for p in owner.parameters()}
    else:
        return Relation.UNKNOWN
    held = set() if optimizer is None else {id(p) for p in parameters_of(optimizer) if p.requires_grad}
    if held <= cleared:
        return Relation.WHOLE
    return Relation.PART if held & cleared else Relation.OTHER


Verdict = Callable[[Telling], Case | None]
"""Returns a case, or None where what has happened proves too little."""


def common_loop(sites: Sequence[Site]) -> Loop | None:
    """The innermost loop that all of some sites are in."""
    found = None
    for loops in zip(*(site.loops for site in sites), strict=False):
        if any(loop is not loops[0] for loop in loops):
            break
        found = loops[0]
    return found


def window_of(program: Program, row: int, loop: Loop | None) -> Gate | None:
    """The gate around a row that opens once in so many iterations of a loop: not `i % 100`, as for a log line."""
    for gate in program.gates(row, loop):
        if loop is not None and gate.truth and gate.counts(loop) and not gate.size.isdecimal():
            return gate
    return None


def innermost(site: Site) -> Loop | None:
    """The innermost loop around a site."""
    return site.loops[-1] if site.loops else None
