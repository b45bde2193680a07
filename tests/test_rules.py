"""Every rule: its place in the catalogue, its page, its examples, and which cases it explains."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from enum import Enum
from itertools import product

import pytest

from examples import PREAMBLE, expected, in_the_text, program
from loopguard import catalogue
from loopguard.case import Case
from loopguard.events import Event, Kind, Place, Reach, Related, Relation
from loopguard.lifecycles import (
    automation,
    clipping,
    closure,
    construction,
    coverage,
    gradient,
    loss,
    mode,
    ranks,
    sampling,
    scaling,
    schedule,
    source,
    window,
)
from loopguard.rule import Level
from loopguard.source import Source
from loopguard.static import Project, analyse
from loopguard.suppress import Suppressions

TABLE = """
LG000 invalid-syntax                  error    S
LG001 uncalled-method                 error    S
LG002 unused-ignore                   warning  S
LG101 missing-zero-grad               error    SR
LG102 zero-grad-outside-loop          error    SR
LG103 zero-grad-before-step           error    SR
LG104 zero-grad-wrong-target          error    SR
LG105 zero-grad-on-some-paths         warning  SR
LG106 foreign-gradients               warning  SR
LG201 missing-step                    error    SR
LG202 step-before-backward            error    SR
LG203 step-outside-loop               warning  SR
LG204 repeated-step                   error    SR
LG205 closure-misuse                  error    SR
LG206 manual-step-in-automatic-optimization error S
LG301 missing-backward                error    SR
LG302 backward-outside-loop           warning  SR
LG303 backward-without-graph          error    SR
LG304 retained-loss-graph             warning  SR
LG401 accumulation-cleared            error    SR
LG402 accumulation-unscaled           warning  S
LG403 accumulation-remainder          advice   SR
LG404 accumulation-off-by-one         warning  SR
LG405 accumulation-partial-gate       warning  S
LG406 accumulation-double             error    S
LG501 missing-scaler-update           error    SR
LG502 scaler-bypassed                 error    SR
LG503 clip-before-unscale             error    SR
LG504 clip-misplaced                  error    SR
LG505 unscale-misplaced               error    SR
LG506 clip-wrong-parameters           warning  SR
LG601 scheduler-before-optimizer      error    SR
LG602 missing-scheduler-step          warning  SR
LG603 scheduler-wrong-period          warning  S
LG604 plateau-without-metric          error    SR
LG701 eval-not-restored               warning  SR
LG702 missing-eval-mode               warning  SR
LG703 missing-no-grad                 advice   SR
LG704 training-without-grad           error    SR
LG801 optimizer-rebuilt-in-loop       warning  SR
LG802 optimizer-holds-old-parameters  error    SR
LG803 frozen-or-uncovered-parameters  warning  SR
LG901 missing-set-epoch               warning  S
LG902 ranks-diverge                   error    R
LG903 missing-no-sync                 advice   SR
"""

SECTIONS = ["What it does", "Why is this bad?", "Known limits", "References"]

CATALOGUE = catalogue.load()
RULES = [pytest.param(entry, id=entry.name) for entry in CATALOGUE]
# Those before are about the text of a file, not about training.
TRAINING_RULES = [rule for entry, rule in zip(CATALOGUE, RULES, strict=True) if entry.code >= "LG1"]
EXAMPLES = [
    pytest.param(entry, text, id=f"{entry.name}-{kind}-{number}")
    for entry in CATALOGUE
    for kind in ("bad", "good")
    for number, text in enumerate(getattr(entry.rule, kind))
]


def found(text: str, *extra: str) -> list[tuple[int, str]]:
    """Return (row, code) of every finding in a program, by the rules that are on by default and `extra`."""
    file = Source("example.py", text)
    default = frozenset(entry.code for entry in CATALOGUE if entry.rule.level is not Level.ADVICE)
    enabled = default | {*extra}
    comments = Suppressions(file)
    findings = [CATALOGUE.judge(case) for case in analyse(file, Project([]))]
    kept = [item for item in findings if item and item.code in enabled and not comments.hides(item)]
    kept += filter(None, map(CATALOGUE.judge, comments.unused(enabled, default, CATALOGUE)))
    return sorted((item.place.row, item.code) for item in kept)


def test_the_catalogue_is_the_table() -> None:
    rows = [[e.code, e.name, e.level, e.rule.engines] for e in CATALOGUE]
    assert rows == [line.split() for line in TABLE.strip().splitlines()]


def test_the_preamble_of_the_examples_is_silent() -> None:
    assert found(PREAMBLE, *(entry.code for entry in CATALOGUE)) == []


@pytest.mark.parametrize(("entry", "example"), EXAMPLES)
def test_an_example_gives_exactly_its_marked_findings(entry: catalogue.Entry, example: str) -> None:
    """Of the marks, those that can be judged without a run: tests of the runtime judge the others."""
    judged = [(row, code) for row, code in in_the_text(example) if "S" in CATALOGUE.find(code).rule.engines]
    assert found(program(example), entry.code) == judged


@pytest.mark.parametrize("entry", RULES)
def test_bad_examples_mark_the_rule_and_good_ones_nothing(entry: catalogue.Entry) -> None:
    assert all(entry.code in {code for _, code in expected(text)} for text in entry.rule.bad)
    assert not any(expected(text) for text in entry.rule.good)


@pytest.mark.parametrize("entry", RULES)
def test_a_rule_has_several_examples_and_none_twice(entry: catalogue.Entry) -> None:
    bad, good = entry.rule.bad, entry.rule.good
    assert len(bad) >= 2
    assert len(good) >= 3
    assert len({*bad, *good}) == len(bad) + len(good)


@pytest.mark.parametrize("entry", RULES)
def test_a_page_opens_with_one_sentence_and_has_its_sections_in_order(entry: catalogue.Entry) -> None:
    summary, _, rest = entry.page.partition("\n\n")
    assert re.fullmatch(r"[A-Z][^\n]*[^.]\.", summary)
    assert re.findall(r"^## (.+)$", rest, re.MULTILINE) == SECTIONS
    texts = re.split(r"^## .+$", rest, flags=re.MULTILINE)[1:]
    assert all(text.strip() for text in texts)


@pytest.mark.parametrize("entry", RULES)
def test_the_references_of_a_page_are_links(entry: catalogue.Entry) -> None:
    references = entry.page.partition("## References\n")[2]
    items = re.split(r"^- ", references, flags=re.MULTILINE)[1:]
    assert items
    assert all(re.match(r"\[[^\]]+\]\(https://[^\s)]+\)", item) for item in items)


@pytest.mark.parametrize("entry", TRAINING_RULES)
def test_the_page_of_a_training_rule_refers_to_the_documentation_of_pytorch(entry: catalogue.Entry) -> None:
    assert "https://docs.pytorch.org/docs/stable/" in entry.page.partition("## References\n")[2]


@pytest.mark.parametrize("entry", RULES)
def test_a_rule_imports_nothing_but_the_rule_module(entry: catalogue.Entry) -> None:
    tree = ast.parse(entry.file.read_text())
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    assert [getattr(node, "module", None) for node in imports] == ["loopguard.rule"]


@pytest.mark.parametrize("entry", RULES)
def test_a_class_is_called_after_its_file(entry: catalogue.Entry) -> None:
    assert type(entry.rule).__name__ == entry.file.stem.title().replace("_", "")


# Which rule explains which case. The cases below are all that the engines can make, up to texts.

PLACE = Place("example.py", 1, 1, 1, 2)
ORDERS = {
    "cleared after backward": "LG103",
    "step before backward": "LG202",
    "backward after loop": "LG302",
    "no backward": "LG301",
}
PLAIN: dict[Enum, str] = {
    source.Mistake.INVALID_SYNTAX: "LG000",
    source.Mistake.UNCALLED: "LG001",
    gradient.Mistake.MIXED_STEP: "LG106",
    gradient.Mistake.REPEATED_STEP: "LG204",
    **dict.fromkeys(closure.Mistake, "LG205"),
    automation.Mistake.BY_HAND: "LG206",
    loss.Mistake.LAST_ONLY: "LG302",
    loss.Mistake.NO_GRAPH: "LG303",
    loss.Mistake.RETAINED: "LG304",
    window.Mistake.CLEARED: "LG401",
    window.Mistake.UNSCALED: "LG402",
    window.Mistake.REMAINDER: "LG403",
    window.Mistake.OFF_BY_ONE: "LG404",
    window.Mistake.INVERTED: "LG404",
    window.Mistake.PARTIAL_GATE: "LG405",
    window.Mistake.STEP_OUTSIDE: "LG405",
    window.Mistake.DOUBLE: "LG406",
    scaling.Mistake.NO_UPDATE: "LG501",
    scaling.Mistake.BYPASSED: "LG502",
    scaling.Mistake.UNSCALED_LOSS: "LG502",
    scaling.Mistake.CLIPPED_SCALED: "LG503",
    scaling.Mistake.UNSCALED_TWICE: "LG505",
    scaling.Mistake.UNSCALED_LATE: "LG505",
    clipping.Mistake.AFTER_STEP: "LG504",
    clipping.Mistake.BEFORE_BACKWARD: "LG504",
    clipping.Mistake.WRONG_PARAMETERS: "LG506",
    schedule.Mistake.BEFORE_OPTIMIZER: "LG601",
    schedule.Mistake.NEVER_STEPPED: "LG602",
    schedule.Mistake.PER_EPOCH: "LG603",
    schedule.Mistake.PER_BATCH: "LG603",
    schedule.Mistake.NO_METRIC: "LG604",
    mode.Mistake.NOT_RESTORED: "LG701",
    mode.Mistake.NOT_EVAL: "LG702",
    mode.Mistake.BUILDS_GRAPH: "LG703",
    mode.Mistake.GRAD_OFF: "LG704",
    construction.Mistake.REBUILT: "LG801",
    construction.Mistake.REPLACED: "LG802",
    **dict.fromkeys(coverage.Mistake, "LG803"),
    sampling.Mistake.NO_EPOCH: "LG901",
    sampling.Mistake.NO_SYNC: "LG903",
    **dict.fromkeys(ranks.Mistake, "LG902"),
}
FACTS = {
    "reason": "expected ':'",
    "foreign": "g_loss.backward()",
    "other": "opt_g",
    "how": "`.item()`",
    "into": "total",
    "window": "(i + 1) % k == 0",
    "size": "k",
    "wrapper": "accelerator.accumulate",
    "learn": "loss.backward()",
    "class": "Adam",
    "replaced": "model.fc",
    "first": "fc.weight",
    "count": "2",
    "period": "step_size=30",
    "ranks": "0 and 1",
    "framework": "Lightning",
    "method": "training_step",
}


def event(kind: Kind, text: str) -> Event:
    """Return an event of some optimizer."""
    return Event(kind, "optimizer", PLACE, text)


def subsets(kind: Kind, text: str, relations: tuple[Relation, ...]) -> Iterator[tuple[Related, ...]]:
    """Yield every set of related events of one kind."""
    every = [Related(event(kind, text), *where) for where in product(relations, Reach)]
    for chosen in product((False, True), repeat=len(every)):
        yield tuple(item for item, taken in zip(every, chosen, strict=True) if taken)


def stale_steps() -> Iterator[tuple[Case, str]]:
    """Yield every stale step and the code that it has to get."""
    at = event(Kind.STEP, "optimizer.step()")
    for clears in subsets(Kind.CLEAR, "x.zero_grad()", tuple(Relation)):
        places = {(item.relation, item.reach) for item in clears}
        whole, partly, other = ((r, Reach.INSIDE) in places for r in (Relation.WHOLE, Relation.PART, Relation.OTHER))
        for in_loop, other_is_stepped, has_path in product((False, True), repeat=3):
            facts = {"loop": "for x in loader"} if in_loop else {}
            if partly or (other and not other_is_stepped):
                facts["wrong_target"] = "x.zero_grad()"
            if whole and has_path:
                facts["path"] = "`use_amp` is false"
            if whole:
                code = "LG105"
            elif "wrong_target" in facts:
                code = "LG104"
            elif (Relation.WHOLE, Reach.OUTSIDE) in places:
                code = "LG102"
            else:
                code = "LG101"
            yield Case(gradient.Mistake.STALE_STEP, "optimizer", at, related=clears, facts=facts), code


def empty_steps() -> Iterator[tuple[Case, str]]:
    """Yield every step without gradients and the code that it has to get."""
    steps = [*subsets(Kind.STEP, "optimizer.step()", (Relation.WHOLE,))]
    backwards = [*subsets(Kind.BACKWARD, "loss.backward()", (Relation.WHOLE, Relation.UNKNOWN))]
    for (order, code), step, backward in product(ORDERS.items(), steps, backwards):
        at = event(Kind.CLEAR, "optimizer.zero_grad()") if code == "LG103" else event(Kind.STEP, "optimizer.step()")
        facts = {"order": order, "loop": "for x in loader"}
        yield Case(gradient.Mistake.EMPTY_STEP, "optimizer", at, related=step + backward, facts=facts), code


def unused_gradients() -> Iterator[tuple[Case, str]]:
    """Yield every backward pass in vain and the code that it has to get."""
    at = event(Kind.BACKWARD, "loss.backward()")
    for steps in subsets(Kind.STEP, "optimizer.step()", (Relation.WHOLE, Relation.OTHER)):
        places = {(item.relation, item.reach) for item in steps}
        if (Relation.WHOLE, Reach.INSIDE) not in places:
            code = "LG203" if (Relation.WHOLE, Reach.OUTSIDE) in places else "LG201"
            yield Case(gradient.Mistake.UNUSED, "optimizer", at, related=steps), code


def plain_cases() -> Iterator[tuple[Case, str]]:
    """Yield the cases whose mistake alone decides, at every kind of event, and of unused comments."""
    for (mistake, code), kind in product(PLAIN.items(), Kind):
        yield Case(mistake, "optimizer", event(kind, "optimizer.step()"), facts=FACTS), code
    for codes, why in product(("LG101", "ALL"), ("unused", "unknown code")):
        at = event(Kind.UNKNOWN, "# noqa: LG101")
        yield Case(source.Mistake.UNUSED_IGNORE, at.text, at, facts={"codes": codes, "why": why}), "LG002"


def all_cases() -> Iterator[tuple[Case, str]]:
    """Yield every case and its code."""
    yield from stale_steps()
    yield from empty_steps()
    yield from unused_gradients()
    yield from plain_cases()


def test_every_case_is_explained_by_the_one_rule_it_belongs_to() -> None:
    for case, code in all_cases():
        explained = [
            entry.code
            for entry in CATALOGUE
            if case.mistake in entry.rule.mistakes and entry.rule.explain(case) is not None
        ]
        assert explained == [code], case


def test_messages_and_advice_are_one_line_without_a_full_stop() -> None:
    for case, code in all_cases():
        rule = CATALOGUE.find(code).rule
        for text in (rule.explain(case), rule.advise(case)):
            assert text
            assert "\n" not in text
            assert text == text.strip()
            assert not text.endswith(".")
            assert "{" not in text


def test_messages_name_what_they_are_about() -> None:
    for case, code in all_cases():
        message = CATALOGUE.find(code).rule.explain(case)
        assert message
        assert code == "LG000" or f"`{case.subject}`" in message or case.at.text in message


def test_every_mistake_of_every_lifecycle_has_a_rule() -> None:
    judged = {mistake for entry in CATALOGUE for mistake in entry.rule.mistakes}
    lifecycles = (automation, clipping, closure, construction, coverage, gradient, loss, mode, ranks, sampling, scaling)
    lifecycles = (*lifecycles, schedule, source, window)
    assert judged == {mistake for lifecycle in lifecycles for mistake in lifecycle.Mistake}
