"""Rule files: found, loaded by path, checked, asked; ours and a user's."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import BROKEN, ROOT, Run, python

from loopguard import catalogue, page
from loopguard.catalogue import Catalogue, Entry
from loopguard.rule import Level, Rule

OWN = '''\
"""Every clear of gradients that is missing is a matter of taste.

## What it does

Says so.

## Why is this bad?

It is not.
"""

from dataclasses import dataclass

from loopguard.rule import Case, Level, Rule, gradient


@dataclass
class Helper:
    text: str


class Taste(Rule):
    code = "OWN1"
    level = Level.WARNING
    engines = "S"
    mistakes = frozenset({gradient.Mistake.STALE_STEP})
    bad = ("for x in y:\\n    step()  # expect: OWN1\\n",)
    good = ()

    def explain(self, case: Case) -> str | None:
        return Helper("a matter of taste").text

    def advise(self, case: Case) -> str:
        return "leave it"
'''


@pytest.fixture
def own(write) -> Path:  # type: ignore[no-untyped-def]
    """A project with a folder of rules of its own."""
    write("loopguard.toml", 'extend-rules = ["lint"]\nextend-exclude = ["lint"]\n')
    write("train.py")
    return write("lint/matter_of_taste.py", OWN)  # type: ignore[no-any-return]


def test_our_rules_are_those_of_the_checkout() -> None:
    files = {entry.file for entry in catalogue.load()}
    assert files == set((ROOT / "rules").glob("[!_]*.py"))


def test_the_name_is_that_of_the_file() -> None:
    entry = catalogue.load().find("LG101")
    assert (entry.name, entry.file.name) == ("missing-zero-grad", "missing_zero_grad.py")


def test_a_rule_of_the_users_is_asked_first(run: Run, own: Path) -> None:
    result = run("check", "--output-format", "concise")
    assert result.stdout.startswith("train.py:11:5: OWN1 matter-of-taste: a matter of taste\n")


def test_a_rule_of_the_users_can_be_selected_ignored_and_explained(run: Run, own: Path) -> None:
    assert run("check", "--ignore", "OWN").exit_code == 0
    assert run("check", "--select", "OWN1").exit_code == 1
    assert run("rule", "matter-of-taste").stdout.startswith("matter-of-taste (OWN1)\n")


@pytest.mark.parametrize("error", ["raise SystemExit(0)", "raise KeyboardInterrupt", "import sys; sys.exit('bye')"])
def test_a_rule_file_that_wants_to_leave_does_not_load(run: Run, own: Path, error: str) -> None:
    own.write_text(OWN + error)
    if "Keyboard" in error:
        assert run("check").exit_code == 130
    else:
        result = run("check")
        assert result.exit_code == 2
        assert result.stderr.startswith("loopguard: error: lint/matter_of_taste.py:35: SystemExit: ")


def test_a_rule_that_wants_to_leave_is_a_crash_that_names_the_file(run: Run, own: Path) -> None:
    own.write_text(OWN.replace('return Helper("a matter of taste").text', "raise SystemExit(0)"))
    result = run("check")
    assert result.exit_code == 2
    assert "train.py: internal error: SystemExit: 0" in result.stderr


def test_files_that_start_with_an_underscore_are_no_rules(run: Run, own: Path, write) -> None:
    write("lint/_shared.py", "1 / 0\n")
    assert run("check", "--select", "OWN1").exit_code == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("class Taste(:\n", "lint/matter_of_taste.py:1: invalid syntax"),
        ("import math\nmath.nothing\n", "lint/matter_of_taste.py:2: AttributeError: module 'math' has no"),
        ("import json\n\njson.loads('{')\n", "lint/matter_of_taste.py:3: JSONDecodeError: Expecting"),
        ("x = 1\n", "lint/matter_of_taste.py: a rule file holds one subclass of `Rule`, this one 0"),
        (OWN + OWN.partition("\n\n\n")[2].replace("Taste", "Other"), "one subclass of `Rule`, this one 2"),
        (OWN.replace('code = "OWN1"', "code = 1"), "lint/matter_of_taste.py: the rule's `code` is missing"),
        (OWN.replace("    good = ()\n", ""), "lint/matter_of_taste.py: the rule's `good` is missing"),
        (OWN.replace('"OWN1"', '"own1"'), "a code is capital letters and digits, not `own1`"),
        (OWN.replace('"OWN1"', '"LG101"'), "lint/matter_of_taste.py: `LG101` is taken by "),
    ],
)
def test_a_rule_file_that_does_not_load_is_one_line_that_names_it(run: Run, own: Path, text: str, message: str) -> None:
    own.write_text(text)
    result = run("check")
    assert result.exit_code == 2
    assert message in result.stderr.replace("lint/matter_of_taste.py` is", "")
    assert result.stderr.count("\n") == 1


def test_a_rule_of_the_users_cannot_take_a_name_of_ours(run: Run, own: Path, write) -> None:
    write("lint/missing_zero_grad.py", OWN.replace("OWN1", "OWN2"))
    assert "lint/missing_zero_grad.py: `missing-zero-grad` is taken by " in run("check").stderr


def test_a_rule_that_fails_is_a_crash_that_names_the_file(run: Run, own: Path) -> None:
    own.write_text(OWN.replace('return Helper("a matter of taste").text', "raise KeyError('boo')"))
    result = run("check")
    assert result.exit_code == 2
    assert "train.py: internal error: KeyError: 'boo'" in result.stderr


def test_a_rule_that_has_nothing_to_say_passes_the_case_on(run: Run, own: Path) -> None:
    own.write_text(OWN.replace('return Helper("a matter of taste").text', "return None"))
    assert "LG101" in run("check").stdout


def test_a_case_that_no_rule_explains_is_no_finding() -> None:
    from loopguard.case import Case
    from loopguard.events import Event, Kind, Place
    from loopguard.lifecycles.gradient import Mistake

    at = Event(Kind.STEP, "opt", Place("x.py", 1, 1, 1, 2), "opt.step()")
    assert Catalogue([]).judge(Case(Mistake.STALE_STEP, "opt", at)) is None


def test_a_rule_says_nothing_that_it_does_not_implement() -> None:
    with pytest.raises(NotImplementedError):
        Rule().explain(None)  # type: ignore[arg-type]
    with pytest.raises(NotImplementedError):
        Rule().advise(None)  # type: ignore[arg-type]


def test_in_a_wheel_the_rules_lie_in_the_package(place: Path) -> None:
    """As the wheel lays them out; `.ci/run` tries the wheel itself."""
    import shutil

    shutil.copytree(ROOT / "loopguard", place / "loopguard", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "rules", place / "loopguard" / "rules")
    (place / "train.py").write_text(BROKEN)
    result = python(place, "-m", "loopguard", "check", "-v", PYTHONPATH=str(place))
    assert "LG101 missing-zero-grad" in result.stdout
    code = "from loopguard.catalogue import load; print(next(iter(load())).file.parent)"
    assert python(place, "-c", code, PYTHONPATH=str(place)).stdout.strip() == str(place / "loopguard" / "rules")


def test_a_package_without_rules_says_so(place: Path) -> None:
    import shutil

    shutil.copytree(ROOT / "loopguard", place / "loopguard", ignore=shutil.ignore_patterns("__pycache__", "rules"))
    (place / "train.py").write_text(BROKEN)
    for arguments in (["rule", "--all"], ["check", "train.py"]):
        result = python(place, "-m", "loopguard", *arguments, PYTHONPATH=str(place))
        assert result.returncode == 2
        assert result.stderr == "loopguard: error: no such folder of rules: loopguard/rules\n"


@pytest.mark.parametrize("key", ["LG101", "missing-zero-grad"])
def test_a_page_is_found_by_code_and_by_name(run: Run, key: str) -> None:
    assert run("rule", key).stdout.startswith("missing-zero-grad (LG101)\n")


def test_a_markdown_page_has_the_examples_after_the_reason(run: Run) -> None:
    text = run("rule", "LG101", "--output-format", "markdown").stdout
    headings = [line for line in text.splitlines() if line.startswith("#")]
    assert headings == [
        "# missing-zero-grad (LG101)",
        "## What it does",
        "## Why is this bad?",
        "## Example",
        "## Known limits",
        "## References",
    ]
    example, instead = text.split("```python\n")[1:]
    assert "optimizer.step()\n```\n\nUse instead:\n\n" in example
    assert "optimizer.zero_grad()" in instead
    assert "expect:" not in text


def test_a_text_page_is_markdown_without_its_marks(run: Run) -> None:
    text = run("rule", "LG101").stdout
    assert "\nWhy is this bad?\n" in text
    assert "\n    for inputs, targets in loader:\n" in text
    assert "`Optimizer.zero_grad`: https://docs.pytorch.org/" in text
    assert "```" not in text and "\n#" not in text
    assert "\x1b[1mWhy is this bad?\x1b[0m" in run("rule", "LG101", "--color", "always").stdout


def test_a_json_page_has_everything(run: Run) -> None:
    fields = json.loads(run("rule", "LG101", "--output-format", "json").stdout)
    assert fields["name"] == "missing-zero-grad"
    assert fields["code"] == "LG101"
    assert fields["level"] == "error"
    assert fields["engines"] == ["static", "runtime"]
    assert fields["default"] is True
    assert fields["summary"].endswith(".") and "\n" not in fields["summary"]
    assert fields["explanation"].startswith(fields["summary"])
    assert fields["bad"] and fields["good"] and "expect:" not in "".join(fields["bad"])
    assert fields["url"].startswith("https://docs.pytorch.org/")


def test_all_pages_are_printed_in_the_order_of_codes(run: Run) -> None:
    pages = json.loads(run("rule", "--all", "--output-format", "json").stdout)
    codes = [fields["code"] for fields in pages]
    assert codes == sorted(entry.code for entry in catalogue.load())
    text = run("rule", "--all", "--output-format", "markdown").stdout
    assert [line for line in text.splitlines() if line.startswith("# ")] == [
        f"# {fields['name']} ({fields['code']})" for fields in pages
    ]


def test_a_page_without_sections_and_examples_is_its_docstring() -> None:
    class Bare(Rule):
        code, level, engines, mistakes, bad, good = "B1", Level.ADVICE, "R", frozenset(), (), ()

    entry = Entry(Bare(), Path("bare_rule.py"), "Only this.")
    assert page.markdown(entry) == (
        "# bare-rule (B1)\n\nLevel: advice, off by default. Found by a guarded run.\n\nOnly this."
    )
    assert entry.url is None


def test_a_reason_without_examples_stands_alone(own: Path) -> None:
    text = page.markdown(catalogue.load((own.parent,)).find("OWN1"))
    assert text.endswith("## Example\n\n```python\nfor x in y:\n    step()\n```")
