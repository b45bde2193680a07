"""The ways between events lead where the edges of the graph do, on the same assumptions, with less to walk on."""

from __future__ import annotations

from collections import deque

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from programs import FORWARD, HEAD, lowered

from loopguard.static.paths.automaton import Belief
from loopguard.static.paths.choices import Choices
from loopguard.static.paths.conditions import decide
from loopguard.static.paths.effects import Effects, subjects_of
from loopguard.static.paths.graph import Assumption, Condition, FlowGraph
from loopguard.static.paths.solve import tell
from loopguard.static.paths.ways import Ways

# What fails is shown as it is: to make it smaller takes minutes.
fixed = settings(derandomize=True, deadline=None, max_examples=150, phases=[Phase.explicit, Phase.generate])

Assumed = frozenset[Assumption]

TESTS = ["a", "not a", "b", "a and b", "m == 1", "m == 2", "m is None", "m", "ready()", "x.k"]
LINES = [
    "loss.backward()",
    "optimizer.step()",
    "optimizer.zero_grad()",
    "a = other()",
    "m = other()",
    "b += 1",
    "log()",
]
PLAIN = st.sampled_from([[line] for line in LINES])
LEFT = st.tuples(st.sampled_from(TESTS), st.sampled_from(["break", "continue"])).map(
    lambda pair: [f"if {pair[0]}:", f"    {pair[1]}"]
)


def block(parts: list[list[str]]) -> list[str]:
    """Statements, one after the other, further to the right."""
    return [f"    {line}" for part in parts for line in part]


def choice(test: str, then: list[list[str]], other: list[list[str]]) -> list[str]:
    """A choice, with both of its sides if the second has any statements."""
    return [f"if {test}:", *block(then), *(["else:", *block(other)] if other else [])]


def grown(inner: st.SearchStrategy[list[str]]) -> st.SearchStrategy[list[str]]:
    """Statements that are put together from others."""
    some = st.lists(inner, min_size=1, max_size=3)
    return st.one_of(
        st.builds(choice, st.sampled_from(TESTS), some, st.lists(inner, max_size=2)),
        some.map(lambda parts: ["for y in x:", *block(parts)]),
        some.map(lambda parts: ["try:", *block(parts), "except ValueError:", "    log()"]),
    )


BODIES = st.lists(st.recursive(st.one_of(PLAIN, PLAIN, LEFT), grown, max_leaves=12), min_size=2, max_size=7)


def solved(text: str) -> tuple[FlowGraph, list[Effects]]:
    """The graph of a program, and what it means to the optimizers in it."""
    graph = lowered(text).graph
    return graph, [Effects(graph, subject) for subject in subjects_of(graph)]


def onward(graph: FlowGraph, number: int, assumed: Assumed, worth: set[Condition]) -> list[tuple[int, Assumed]]:
    """Where the edges from a node lead: the plain meaning of a graph."""
    node = graph.nodes[number]
    held = frozenset(
        item
        for item in assumed
        if item.condition.names.isdisjoint(node.assigned) and not (node.again is not None and item.condition.volatile)
    )
    found = []
    for target, test in node.successors:
        known = decide(test.condition, held) if test is not None else None
        if test is None or known is test.truth:
            found.append((target, held))
        elif known is None:
            found.append((target, held | {test} if test.condition in worth else held))
    return found


def reached_by_edges(graph: FlowGraph, worth: set[Condition]) -> dict[int, set[Assumed]]:
    """What holds on arrival at each node."""
    found: dict[int, set[Assumed]] = {0: {frozenset()}}
    todo: deque[tuple[int, Assumed]] = deque([(0, frozenset())])
    while todo:
        for target, assumed in onward(graph, *todo.popleft(), worth):
            if assumed not in found.setdefault(target, set()):
                found[target].add(assumed)
                todo.append((target, assumed))
    return found


def told_by_edges(graph: FlowGraph, effects: Effects, start: int, belief: Belief, worth: set[Condition]) -> object:
    """The mistakes in a story and the beliefs that arrive at each event, found on the edges of the graph."""
    automaton = effects.automaton
    mistakes: set[tuple[object, int]] = set()
    arrivals: dict[int, set[Belief]] = {}
    firsts = [(start, belief, assumed) for assumed in reached_by_edges(graph, worth).get(start, ())]
    seen, todo = set(firsts), deque((*first, True) for first in firsts)
    while todo:
        number, belief, assumed, first = todo.popleft()
        over = False
        for effect in effects.of.get(number, ()):
            if not first:
                arrivals.setdefault(number, set()).add(belief)
            belief, mistake = automaton.after(belief, effect)
            if mistake is not None and not first:
                mistakes.add((mistake, number))
            over = over or automaton.settles(effect, belief)
        if belief == automaton.unknown or (over and not first):
            continue
        for target, further in onward(graph, number, assumed, worth):
            if (target, belief, further) not in seen:
                seen.add((target, belief, further))
                todo.append((target, belief, further, False))
    return mistakes, arrivals


@fixed
@given(BODIES)
def test_stories_come_to_what_the_edges_of_the_graph_lead_to(parts: list[list[str]]) -> None:
    graph, courses = solved(f"{HEAD}for x in loader:\n{FORWARD}" + "\n".join(block(parts)) + "\n")
    for effects in courses:
        if len(graph.nodes) > 60:
            continue  # not so many paths that the worklist gives up
        conditions = Choices(graph).conditions
        worth = {conditions[number] for number in effects.worth(conditions)}
        edges, ways = reached_by_edges(graph, worth), effects.ways(graph).reached
        for event in graph.events():
            assert (event.number in edges) == (event.number in ways)
            effect = effects.of.get(event.number, ())
            state = effects.automaton.found.get(effect[0].action) if effect and effect[0].sure else None
            if state is not None and event.number in ways:
                story = tell(graph, effects, event.number, frozenset({state}), ways[event.number])
                mistakes = {(violation.mistake, violation.fact.node) for violation in story.violations}
                expected = told_by_edges(graph, effects, event.number, frozenset({state}), worth)
                assert (mistakes, story.arrivals) == expected


def states(text: str) -> int:
    """How much there is to walk on where paths are kept apart by every condition."""
    graph = lowered(text).graph
    choices = Choices(graph)
    ways = Ways(choices, tuple(range(len(choices.conditions))))
    found, todo = {(0, 0)}, [(0, 0)]
    while todo:
        fresh = set(ways.onward(*todo.pop())) - found
        found |= fresh
        todo += fresh
    return len(found)


@pytest.mark.parametrize(
    "between",
    [
        "n = other()",
        "if a:\n        log()\n    else:\n        n = other()",
        "for y in x:\n        n = y",
        "if a:\n        n = other()\n    if n:\n        k = other()",
    ],
)
def test_what_holds_no_event_and_decides_nothing_is_left_out(between: str) -> None:
    rest = f"{FORWARD}    loss.backward()\n    optimizer.step()\n"
    assert states(f"{HEAD}for x in loader:\n    {between}\n{rest}") == states(f"{HEAD}for x in loader:\n{rest}")


def test_paths_become_one_behind_the_last_test_of_what_keeps_them_apart() -> None:
    pair = "    if f{0}:\n        loss.backward()\n    if f{0}:\n        optimizer.step()\n    f{0} = other()\n"
    sizes = [states(f"{HEAD}for x in loader:\n{FORWARD}" + "".join(map(pair.format, range(count)))) for count in (4, 8)]
    assert sizes[1] < 2.5 * sizes[0]
