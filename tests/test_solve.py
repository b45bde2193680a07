"""Stories: what follows from an event along every feasible path, and what is believed of the gradients there."""

from __future__ import annotations

from itertools import pairwise, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from programs import FORWARD, HEAD, codes, findings, lowered, marks

from loopguard.events import Kind
from loopguard.lifecycles.gradient import TRANSITIONS, Action, Mistake, State
from loopguard.static.paths.automaton import ANYTHING, GRADIENT, Belief, Effect
from loopguard.static.paths.effects import USED, Effects, subjects_of
from loopguard.static.paths.graph import FlowGraph
from loopguard.static.paths.solve import Story, tell

fixed = settings(derandomize=True, deadline=None, max_examples=100)

after = GRADIENT.after
UNKNOWN = GRADIENT.unknown

BELIEFS = st.frozensets(st.sampled_from(State), min_size=1)
EFFECTS = st.one_of(st.builds(Effect, st.sampled_from(Action), st.booleans()), st.just(ANYTHING), st.just(USED))
LOOP = f"for x in loader:\n{FORWARD}"


def story(text: str, kind: Kind, belief: State) -> tuple[FlowGraph, Story]:
    """The story of the first event of `kind` in a program with one optimizer, and the graph that it runs on."""
    graph = lowered(HEAD + text).graph
    effects = Effects(graph, subjects_of(graph)[0])
    start = next(event for event in graph.events() if event.kind is kind)
    given = effects.ways(graph).reached[start.number]
    return graph, tell(graph, effects, start.number, frozenset({belief}), given)


def told(text: str, kind: Kind, belief: State) -> list[tuple[Mistake, str]]:
    """The mistakes of a story, each with the event at which it happens."""
    graph, found = story(text, kind, belief)
    ends = [(item.mistake, graph.nodes[item.fact.node].event) for item in found.violations]
    return [(mistake, event.text) for mistake, event in ends if event is not None]


# Beliefs.


@pytest.mark.parametrize(("state", "action"), list(product(State, Action)))
def test_a_certain_state_and_a_sure_effect_follow_the_table(state: State, action: Action) -> None:
    to, mistake = TRANSITIONS[state, action]
    assert after(frozenset({state}), Effect(action)) == (frozenset({to}), mistake)


@fixed
@given(BELIEFS, EFFECTS)
def test_a_belief_never_becomes_empty(belief: Belief, effect: Effect) -> None:
    assert after(belief, effect)[0]


@fixed
@given(BELIEFS, BELIEFS, EFFECTS)
def test_knowing_less_before_is_knowing_less_after(belief: Belief, other: Belief, effect: Effect) -> None:
    assert after(belief, effect)[0] <= after(belief | other, effect)[0]


@fixed
@given(BELIEFS, st.sampled_from(Action))
def test_what_may_happen_may_also_not_happen(belief: Belief, action: Action) -> None:
    unsure, mistake = after(belief, Effect(action, sure=False))
    assert belief <= unsure
    assert after(belief, Effect(action))[0] <= unsure
    assert mistake is None


@fixed
@given(BELIEFS, st.sampled_from(Action))
def test_a_mistake_is_one_in_every_state_of_the_belief(belief: Belief, action: Action) -> None:
    _, mistake = after(belief, Effect(action))
    if mistake is not None:
        assert None not in {TRANSITIONS[state, action][1] for state in belief}


@fixed
@given(BELIEFS)
def test_after_unknown_code_nothing_is_a_mistake(belief: Belief) -> None:
    assert after(belief, ANYTHING) == (UNKNOWN, None)
    assert all(after(UNKNOWN, Effect(action))[1] is None for action in Action)


def test_a_sure_clear_ends_every_doubt() -> None:
    assert after(UNKNOWN, Effect(Action.CLEAR)) == (frozenset({State.CLEAN}), None)


def test_gradients_that_were_read_may_have_served() -> None:
    assert after(frozenset({State.FRESH}), USED)[0] == {State.FRESH, State.SPENT}
    assert after(frozenset({State.CLEAN}), USED)[0] == {State.CLEAN}


# Stories over loops.


def test_a_step_meets_its_own_gradients_round_the_back_edge() -> None:
    text = LOOP + "    loss.backward()\n    optimizer.step()\n"
    assert told(text, Kind.STEP, State.FRESH) == [(Mistake.STALE_STEP, "optimizer.step()")]


def test_without_the_back_edge_there_is_no_second_step() -> None:
    graph = lowered(HEAD + LOOP + "    loss.backward()\n    optimizer.step()\n").graph
    for node in graph.nodes:
        if node.again is not None:
            node.successors.clear()
    step = next(event for event in graph.events() if event.kind is Kind.STEP)
    effects = Effects(graph, subjects_of(graph)[0])
    assert tell(graph, effects, step.number, frozenset({State.FRESH}), [0]).violations == []


def next_stops(graph: FlowGraph, number: int) -> set[int]:
    """The nodes to which control gets from another without passing an event."""
    found: set[int] = set()
    todo = [number]
    while todo:
        fresh = {target for target, _ in graph.nodes[todo.pop()].successors} - found
        found |= fresh
        todo += [target for target in fresh if graph.nodes[target].event is None]
    return found


def test_the_path_of_a_violation_is_a_path_of_the_graph() -> None:
    graph, found = story(LOOP + "    loss.backward()\n    optimizer.step()\n", Kind.STEP, State.FRESH)
    path = found.violations[0].fact.path()
    assert path[0].node == found.start == path[-1].node
    for one, two in pairwise(path):
        assert two.node in next_stops(graph, one.node)


@pytest.mark.parametrize("where", range(4))
def test_a_clear_anywhere_in_the_body_ends_the_story(where: int) -> None:
    body = [FORWARD, "    loss.backward()\n", "    optimizer.step()\n"]
    body.insert(where, "    optimizer.zero_grad()\n")
    mistakes = told("for x in loader:\n" + "".join(body), Kind.STEP, State.FRESH)
    assert Mistake.STALE_STEP not in [mistake for mistake, _ in mistakes]


def test_a_story_ends_at_the_next_sure_step() -> None:
    text = LOOP + "    loss.backward()\n    optimizer.step()\n    loss.backward()\n    optimizer.step()\n"
    assert len(told(text, Kind.STEP, State.FRESH)) == 1


def test_unknown_code_ends_a_story_without_a_mistake() -> None:
    text = LOOP + "    loss.backward()\n    optimizer.step()\n    helper(optimizer)\n"
    assert told(text, Kind.STEP, State.FRESH) == []


def test_a_loop_that_is_left_after_its_step_has_no_second_iteration() -> None:
    text = LOOP + "    loss.backward()\n    optimizer.step()\n    break\n"
    assert told(text, Kind.STEP, State.FRESH) == []


def test_a_story_goes_on_behind_the_loop() -> None:
    text = LOOP + "    optimizer.zero_grad()\n    loss.backward()\n    optimizer.step()\noptimizer.step()\n"
    assert told(text, Kind.STEP, State.FRESH) == [(Mistake.REPEATED_STEP, "optimizer.step()")]


def test_evidence_numbers_the_iterations() -> None:
    (found,) = findings(HEAD + LOOP + "    loss.backward()\n    optimizer.step()\n")
    assert [(moment.event.text, moment.iteration) for moment in found.evidence] == [
        ("loss.backward()", 1),
        ("optimizer.step()", 1),
        ("loss.backward()", 2),
        ("optimizer.step()", 2),
    ]


def test_a_story_of_too_many_facts_says_nothing() -> None:
    flags = "".join(f"    if f{number}: loss.backward()\n" for number in range(30))
    uses = "".join(f"    if f{number}: log()\n    if f{number}: optimizer.step()\n" for number in range(30))
    assert "LG101" not in codes(HEAD + LOOP + flags + "    optimizer.step()\n    optimizer.zero_grad()\n" + uses)


# Conditions: what was chosen once stays chosen until what it reads is assigned.


def choices(first: str, second: str, between: str = "") -> str:
    """A loop that clears under `first` and steps under `second`."""
    return (
        f"for x in loader:\n    if {first}:\n        optimizer.zero_grad()\n{FORWARD}    loss.backward()\n"
        f"{between}    if {second}:\n        optimizer.step()\n"
    )


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("amp", "amp"),
        ("not amp", "not amp"),
        ("amp", "not not amp"),
        ("args.amp", "args.amp"),
        ("mode == 'a'", "mode == 'a'"),
        ("mode != 'a'", "mode == 'b'"),
        ("mode != 'a'", "not mode == 'a'"),
        ("n < 3", "not n >= 3"),
        ("n > 3", "not n <= 3"),
        ("scaler is not None", "scaler"),
        ("scaler is not None", "not scaler is None"),
        ("x in seen", "not x not in seen"),
        ("a and b", "a and b"),
        ("a or b", "a or b"),
        ("a or b", "a"),
        ("a", "a and b"),
        ("opts['amp']", "opts['amp']"),
    ],
)
def test_tests_that_must_agree_are_one_choice(first: str, second: str) -> None:
    assert told(choices(first, second), Kind.STEP, State.FRESH) == []


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("amp", "not amp"),
        ("amp", "other"),
        ("args.amp", "args.other"),
        ("mode == 'a'", "mode == 'b'"),
        ("mode == 'a'", "mode != 'a'"),
        ("n < 3", "n >= 3"),
        ("scaler is None", "scaler"),
        ("a and b", "a"),
        ("a", "a or b"),
    ],
)
def test_tests_that_may_differ_leave_a_path_without_the_clear(first: str, second: str) -> None:
    assert told(choices(first, second), Kind.STEP, State.FRESH) == [(Mistake.STALE_STEP, "optimizer.step()")]


def reassigned(condition: str, between: str, before: str = "") -> list[tuple[Mistake, str]]:
    """The mistakes of a loop that steps and clears under one condition, with an assignment before each."""
    text = (
        f"{before}for x in loader:\n{FORWARD}    loss.backward()\n    {between}\n    if {condition}:\n        optimizer.step()\n"
        f"    {between}\n    if {condition}:\n        optimizer.zero_grad()\n"
    )
    return told(text, Kind.STEP, State.FRESH)


@pytest.mark.parametrize(
    "between", ["a = other()", "a += 1", "for a in b: pass", "(a := 1)", "a: int = 1", "(a, c) = b"]
)
def test_an_assignment_ends_what_was_chosen(between: str) -> None:
    assert reassigned("a", between)
    assert reassigned("a.b", between)
    assert not reassigned("z", between)


def test_an_assignment_to_an_attribute_ends_what_was_chosen_by_it() -> None:
    assert reassigned("args.a", "args.a = 1")
    assert not reassigned("args.b", "args.a = 1")


def test_an_assignment_in_a_helper_ends_what_was_chosen() -> None:
    assert reassigned("a", "change()", "def change():\n    global a\n    a = other()\n")
    assert not reassigned("a", "change()", "def change():\n    a = other()\n")


def test_what_a_call_says_is_remembered_within_an_iteration_only() -> None:
    assert not told(choices("ready()", "ready()"), Kind.STEP, State.FRESH)
    late = f"for x in loader:\n{FORWARD}    loss.backward()\n    if ready():\n        optimizer.step()\n"
    cleared = late + "    if not ready():\n        optimizer.zero_grad()\n"
    assert told(cleared, Kind.STEP, State.FRESH)


def test_a_setting_is_remembered_from_one_iteration_to_the_next() -> None:
    text = "for x in loader:\n    if amp:\n        optimizer.zero_grad()\n" + FORWARD
    text += "    loss.backward()\n    if not amp:\n        optimizer.step()\n    if amp:\n        optimizer.step()\n"
    _, found = story(text, Kind.STEP, State.FRESH)
    ends = {item.fact.node for item in found.violations}
    assert ends == {found.start}


@pytest.mark.parametrize("count", [1, 5, 9, 15])
def test_independent_choices_in_any_number_hide_no_mistake(count: int) -> None:
    flags = "".join(f"    if args.f{number}:\n        log()\n" for number in range(count))
    text = HEAD + LOOP + f"{flags}    loss.backward()\n{flags}    optimizer.step()\n"
    assert codes(text) == ["LG101"]


@pytest.mark.parametrize(
    ("outer", "inner"), [("not a", "a"), ("a", "not a"), ("m == 1", "m == 2"), ("s is None", "s"), ("a and b", "not b")]
)
def test_what_contradicts_itself_never_happens(outer: str, inner: str) -> None:
    inside = f"            {FORWARD.strip()}\n            loss.backward()\n            if {inner}:\n                optimizer.step()\n"
    text = f"{HEAD}{LOOP}    if {outer}:\n        for y in x:\n{inside}"
    assert {str(codes(text)) for _ in range(50)} == {"[]"}


# The whole way: one gap in the protocol at a time.


LINES = {"F": FORWARD, "B": "    loss.backward()\n", "S": "    optimizer.step()\n", "C": "    optimizer.zero_grad()\n"}


def body(letters: str) -> str:
    """A loop of forward (F), backward (B), step (S) and clear (C)."""
    return f"{HEAD}for x in loader:\n{''.join(LINES[letter] for letter in letters)}"


@pytest.mark.parametrize(
    ("letters", "code", "index"),
    [
        ("FBS", "LG101", 2),
        ("FBCS", "LG103", 2),
        ("CFSB", "LG202", 2),
        ("CFB", "LG201", 2),
        ("CFS", "LG301", 2),
        ("CFBSS", "LG204", 4),
    ],
)
def test_one_gap_in_a_plain_loop_gives_one_finding(letters: str, code: str, index: int) -> None:
    row = HEAD.count("\n") + 2 + index
    assert marks(body(letters)) == [(row, code)]


@pytest.mark.parametrize("letters", ["CFBS", "FBSC", "FCBS", "CFBBS", "CFBSC", "CCFBS", "FB", "CF", "C", "F"])
def test_a_plain_loop_without_a_gap_is_silent(letters: str) -> None:
    assert marks(body(letters)) == []


def test_steps_on_both_sides_of_the_backward_pass_do_not_hide_that_nothing_clears() -> None:
    assert "LG101" in codes(body("FSBS"))


def test_a_clear_between_two_updates_is_not_one_behind_the_second() -> None:
    assert codes(body("FBSCFBS")) == ["LG105"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "for e in range(9):\n    optimizer.zero_grad()\n    for x in loader:\n        L\n        B\n        S\n",
            ["LG102"],
        ),
        ("optimizer.zero_grad()\nfor x in loader:\n    L\n    B\n    S\n", ["LG102"]),
        ("for x in loader:\n    Z\n    L\n    B\nS\n", ["LG203"]),
        ("for x in loader:\n    Z\n    L\n    S\nB\n", ["LG302"]),
        ("for x in loader:\n    if args.amp:\n        Z\n    L\n    B\n    S\n", ["LG105"]),
        ("while True:\n    L\n    B\n    S\n", ["LG101"]),
        ("while True:\n    L\n    B\n    S\n    if done: break\nZ\n", ["LG102"]),
        ("for x in loader:\n    with scope():\n        L\n        B\n    S\n", ["LG101"]),
        (
            "for x in loader:\n    try:\n        L\n        B\n        S\n    except ValueError:\n        raise\n",
            ["LG101"],
        ),
        ("for x in loader:\n    L\n    B\n    S\n    continue\n    Z\n", ["LG101"]),
        ("def train():\n    for x in loader:\n        L\n        B\n        S\ntrain()\n", ["LG101"]),
        ("def step(x):\n    L\n    B\n    S\nfor x in loader:\n    step(x)\n", ["LG101"]),
        ("def step(o):\n    o.step()\nfor x in loader:\n    L\n    B\n    step(optimizer)\n", ["LG101"]),
        ("async def f():\n    async for x in loader:\n        L\n        B\n        S\n", ["LG101"]),
        ("for x in loader: L; B; S\n", ["LG101"]),
        ("for x in (\n    loader\n):\n    L\n    B\n    optimizer.step(\n    )\n", ["LG101"]),
        ("[(model(x).sum().backward(), optimizer.step()) for x in loader]\n", ["LG101"]),
    ],
)
def test_a_gap_is_found_in_every_shape_of_loop(text: str, expected: list[str]) -> None:
    for short, long in {
        "L": "loss = model(x).sum()",
        "B": "loss.backward()",
        "S": "optimizer.step()",
        "Z": "optimizer.zero_grad()",
    }.items():
        text = text.replace(f" {short}", f" {long}").replace(f"\n{short}", f"\n{long}")
    assert codes(HEAD + text) == expected
