"""Accumulation windows as they were: how many deposits each step has used."""

from __future__ import annotations

import ast

from loopguard.case import Case
from loopguard.lifecycles.window import Mistake
from loopguard.runtime.entries import Entry
from loopguard.runtime.program import Gate, Loop
from loopguard.runtime.verdicts.telling import Telling


def misplaced(telling: Telling) -> Case | None:
    """The case of a gate that opens in the first iteration, or in all iterations but those that it should."""
    account, at = telling.account, telling.at
    found = gate_of(telling)
    sizes = _sizes(telling)
    if found is None or len(sizes) < 2 or any(item.discards for item in account.windows) or not _is_cleared(telling):
        return None
    gate, loop = found
    facts = {"window": gate.text, "size": gate.size}
    if _is_inverted(gate):
        return telling.case(Mistake.INVERTED, at, (), loop, facts, (), account.deposits)
    behind_gate = {text for entry in account.windows[-1].deposits for text in _open_gates(entry, loop)}
    if account.steps == len(sizes) == 2 and sizes[0] == 1 < sizes[1] and gate.text not in behind_gate:
        trail = [
            telling.moment(account.windows[0].step, "the step, after one batch"),
            telling.moment(at, f"the step, after {sizes[1]} batches"),
        ]
        return telling.case(Mistake.OFF_BY_ONE, at, trail, loop, facts, (), account.windows[0].deposits)
    return None


def remainder(telling: Telling) -> Case | None:
    """The case of a last window that is not full when its epoch ends: it leaks into the next, or is thrown away."""
    account, at = telling.account, telling.at
    found = gate_of(telling)
    if found is None or not _is_cleared(telling):
        return None
    gate, loop = found
    if isinstance(gate.test, ast.BoolOp) or _is_inverted(gate):
        return None  # it also opens for something else, such as the last batch
    sizes = _sizes(telling)
    if not sizes:
        return None  # a step that has never found gradients
    leaks = len(sizes) >= 2 and sizes[-1] > sizes[0] > 1
    leaves = bool(account.deposits) and account.deposits[-1].number > at.number and len(account.deposits) < sizes[-1]
    lost = bool(account.windows) and account.windows[-1].discards > 0 and sizes[-1] > 1
    if not (leaks or leaves or lost):
        return None
    facts = {"window": gate.text, "size": gate.size}
    return telling.case(Mistake.REMAINDER, at, (telling.moment(at, "the step"),), loop, facts, (), account.deposits)


def gate_of(telling: Telling) -> tuple[Gate, Loop] | None:
    """The gate around the step that looks at a remainder, and its loop."""
    site = telling.at.site
    if not site.loops:
        return None
    loop = site.loops[-1]
    for program, row in site.ways:
        for gate in program.gates(row, loop if loop in program.loops(row) else None):
            if gate.truth and gate.counts(loop):
                return gate, loop
    return None


def _sizes(telling: Telling) -> list[int]:
    """How many deposits each of the last steps from this place has added to what the step before it has left."""
    sizes, before = [], 0
    for item in telling.account.windows:
        if item.step.site is telling.at.site:
            sizes.append(sum(entry.number > before for entry in item.deposits))
        before = item.step.number
    return sizes


def _open_gates(entry: Entry, loop: Loop) -> list[str]:
    """The conditions of a loop that were true where an event happened."""
    return [gate.text for program, row in entry.site.ways for gate in program.gates(row, loop) if gate.truth]


def _is_inverted(gate: Gate) -> bool:
    """Whether a test is true where the remainder is not zero."""
    test = gate.test
    if isinstance(test, ast.BinOp):
        return True
    return isinstance(test, ast.Compare) and isinstance(test.ops[0], ast.NotEq) and "%" in ast.unparse(test.left)


def _is_cleared(telling: Telling) -> bool:
    """Whether the gradients are cleared for each window, and before it fills."""
    return telling.account.last_clear is not None or telling.account.steps > 1
