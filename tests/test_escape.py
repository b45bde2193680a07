"""What is somebody else's text is shown and never obeyed, in every format and on every way to a terminal or a CI log."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import BROKEN, Run, python
from hypothesis import given
from hypothesis import strategies as st

from loopguard.errors import TrainingLoopError
from loopguard.escape import dumped, visible, visible_lines
from loopguard.events import Event, Kind, Moment, Place
from loopguard.finding import Finding
from loopguard.report import Context, render
from loopguard.report.json import fields
from loopguard.report.run import Run as Outcome
from loopguard.report.run import document, summary
from loopguard.report.style import Style
from loopguard.report.summary import statistics, statistics_json
from loopguard.source import Source

FOR_PEOPLE = ("full", "concise", "github")
FOR_PROGRAMS = ("json", "json-lines")

TITLE = "\x1b]0;title\x07"
NASTY = (
    TITLE,
    "\x1b[2J\x1b[32mAll checks passed!\x1b[8m",
    "\x9b31m",
    "\u202e\u2066\u200b\ufeff\u00ad",
    "\r\n::error file=app.py,line=1::forged\n",
    "::stop-commands::token",
    "##[add-matcher]x.json",
    "##vso[task.setvariable variable=PATH]",
    "##teamcity[buildStatus status='SUCCESS']",
    "\x85\u2028\u2029\x0b\x0c",
    "\x7f\x08\x00",
    "\udcff",
    "\U000e0041",
)

# Of the halves of pairs, those stand for bytes that are in no encoding: https://peps.python.org/pep-0383/
CHARACTER = st.characters() | st.characters(min_codepoint=0xDC80, max_codepoint=0xDCFF, categories=["Cs"])
TEXT = st.lists(st.sampled_from(NASTY) | st.text(CHARACTER, max_size=8), max_size=4).map("".join)

_OURS = re.compile(r"\x1b\[[0-9;]*m|\x1b\]8;;[!-~]*\x1b\\")
"""What a style adds: colours, and links to printable addresses."""


def is_harmless(output: str, commands: str = "") -> bool:
    """Whether nothing in some lines is obeyed, but for lines that begin with one of the `commands`."""
    return all(
        line.isprintable()
        and re.search(r"##\w*\[", line) is None
        and (not line.lstrip().startswith("::") or (commands != "" and re.match(commands, line) is not None))
        for line in output.split("\n")
    )


@st.composite
def findings(draw: st.DrawFn) -> Finding:
    """A finding in which every text is anything."""
    path, row = draw(TEXT) or "x", draw(st.integers(1, 3))
    place = Place(path, row, draw(st.integers(1, 40)), row, 41, draw(st.sampled_from([None, 1])))
    event = Event(Kind.STEP, draw(TEXT), place, draw(TEXT))
    parameters = tuple(draw(st.lists(TEXT, max_size=6)))
    level = draw(st.sampled_from(["error", "warning", "advice"]))
    evidence = (Moment(event, draw(TEXT), draw(st.integers(0, 2))),)
    texts = draw(TEXT), level, draw(TEXT), draw(TEXT)
    return Finding("LG101", *texts, place, evidence, (1,), parameters, draw(st.none() | TEXT))


def context(text: str, style: Style | None = None) -> Context:
    return Context(style or Style(), lambda path: Source(path, text))


@pytest.mark.parametrize("name", FOR_PEOPLE)
@given(finding=findings(), text=TEXT)
def test_nothing_in_a_report_for_people_is_obeyed(name: str, finding: Finding, text: str) -> None:
    commands = r"::(error|warning|notice) title=loopguard" if name == "github" else ""
    assert is_harmless("\n".join(render(name, [finding], context(text))), commands)
    coloured = "\n".join(render(name, [finding], context(text, Style(True, True))))
    assert is_harmless(_OURS.sub("", coloured), commands)


@given(finding=findings(), text=TEXT)
def test_colours_change_nothing_that_is_said(finding: Finding, text: str) -> None:
    plain = list(render("full", [finding], context(text)))
    assert [_OURS.sub("", line) for line in render("full", [finding], context(text, Style(True, True)))] == plain


@pytest.mark.parametrize("name", FOR_PROGRAMS)
@given(finding=findings())
def test_json_is_harmless_and_loses_nothing(name: str, finding: Finding) -> None:
    output = "\n".join(render(name, [finding], context("")))
    assert is_harmless(output) and output.isascii()
    told = json.loads(output)
    assert (told[0] if name == "json" else told) == fields(finding, context(""))


@given(finding=findings(), failure=TEXT)
def test_nothing_in_the_summary_of_a_run_is_obeyed(finding: Finding, failure: str) -> None:
    run = Outcome([(finding, 2)], [], 1, 1, failed=failure)
    assert is_harmless("\n".join(summary(run, context(""))))
    assert is_harmless(document(run, context("")).rstrip("\n"))
    assert json.loads(document(run, context("")))["findings"][0]["message"] == finding.message


@given(finding=findings())
def test_nothing_in_statistics_is_obeyed(finding: Finding) -> None:
    assert is_harmless("\n".join(line.expandtabs() for line in statistics([finding], Style())))
    assert json.loads(statistics_json([finding]))[0]["name"] == finding.name
    assert is_harmless(statistics_json([finding]))


@given(finding=findings())
def test_nothing_in_the_exception_of_a_guard_is_obeyed(finding: Finding) -> None:
    assert is_harmless(str(TrainingLoopError(finding)))


@given(TEXT)
def test_what_can_be_shown_stays_as_it_is(text: str) -> None:
    shown = visible(text)
    assert is_harmless(shown)
    assert visible(shown) == shown
    if is_harmless(text) and "\n" not in text:
        assert shown == text
    assert visible_lines("\n".join([text, "a"])).endswith("\na")


@given(st.recursive(TEXT, lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner)))
def test_json_holds_whatever_was_written(value: object) -> None:
    assert json.loads(dumped(value)) == value
    assert dumped(value).isprintable()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("naïve 漢字 👍🏽 e\u0301 a\\b ~", "naïve 漢字 👍🏽 e\u0301 a\\b ~"),
        ("\x1b[31m", "\\x1b[31m"),
        ("a\nb\tc", "a\\nb\\tc"),
        ("\u202eevil", "\\u202eevil"),
        ("caf\udce9.py", "caf\\udce9.py"),
        ("::error::", "\\x3a:error::"),
        ("a::b", "a::b"),
        ("x = 1  ## note [1]", "x = 1  ## note [1]"),
        ("##vso[a]", "#\\x23vso[a]"),
    ],
)
def test_a_person_can_read_what_was_escaped(text: str, shown: str) -> None:
    assert visible(text) == shown


NAMES = (f"{TITLE}.py", "a\n::error file=b.py::c.py", "::stop-commands::d.py", "##vso[e].py", "\udcff\u202e\u2028.py")


@pytest.fixture
def hostile(place: Path) -> Path:
    """A tree of files that are all called something nasty, with nasty texts in them."""
    texts = BROKEN.replace("optimizer.step()", f"opts['{TITLE}\u202e\x9b ##vso[x]'].step")
    texts = texts.replace("for inputs", f"opts = {{'{TITLE}\u202e\x9b ##vso[x]': optimizer}}\nfor inputs")
    for name in NAMES:
        (place / name).write_text(BROKEN, "utf-8")
        (place / f"1{name}").write_text(texts, "utf-8")
        (place / f"2{name}").write_text(f"optimizer.step()  # loopguard: ignore[{TITLE}\u202e ##vso[a\n", "utf-8")
        (place / f"3{name}").write_text(f"optimizer.step('{TITLE}\u202e\n", "utf-8")
    return place


# Arguments that make every kind of output, and what may begin with two colons there.
WAYS: Mapping[str, tuple[tuple[str, ...], str]] = {
    "full": ((), ""),
    "concise": (("--output-format", "concise"), ""),
    "github": (("--output-format", "github"), r"::(error|warning|notice) title=loopguard"),
    "json": (("--output-format", "json"), ""),
    "json-lines": (("--output-format", "json-lines"), ""),
    "statistics": (("--statistics", "--output-format", "json"), ""),
    "files": (("--show-files",), ""),
    "settings": (("--show-settings",), ""),
    "verbose": (("-v", "-j", "1"), ""),
}


@pytest.mark.parametrize("way", WAYS)
def test_nothing_in_a_tree_is_obeyed(run: Run, hostile: Path, way: str) -> None:
    arguments, commands = WAYS[way]
    result = run("check", "--no-cache", *arguments)
    assert is_harmless(result.stdout.removesuffix("\n"), commands)
    assert is_harmless(result.stderr.removesuffix("\n"))
    if way in FOR_PROGRAMS:
        told = json.loads(result.stdout) if way == "json" else map(json.loads, result.stdout.splitlines())
        assert {item["filename"] for item in told} == {
            str(hostile / f"{kind}{name}") for kind in ("", "1", "2", "3") for name in NAMES
        }


@pytest.mark.parametrize("name", NAMES)
def test_nothing_in_a_message_is_obeyed(run: Run, hostile: Path, write, name: str) -> None:
    """Names that come from the command line, from a directory, and from a configuration."""
    gone, folder = name.replace("py", "txt"), hostile / name.removesuffix(".py")
    folder.mkdir()
    (folder / "loopguard.toml").write_bytes(f'"{visible(name)}" = 1\n'.replace("\\x", "\\u00").encode())
    (folder / "pyproject.toml").symlink_to(folder / "pyproject.toml")
    (folder / ".gitignore").mkdir()
    for arguments in (
        ["check", gone],
        ["check", "--select", gone, "."],
        ["check", "--config", gone],
        ["check", "--config", str(folder)],
        ["check", f"--{gone}"],
        ["check", str(folder)],
        ["rule", gone],
        ["clean", "--cache-dir", gone],
        [gone],
    ):
        result = run(*arguments)
        assert is_harmless(result.stdout.removesuffix("\n")), arguments
        assert is_harmless(result.stderr.removesuffix("\n")), arguments
        assert result.exit_code in (0, 2), arguments
        assert result.exit_code == 0 or result.stderr.startswith("loopguard: "), arguments
    for arguments in ([gone], [str(folder)], ["--json", f"{gone}/a", name]):  # these are for a process of their own
        ended = python(hostile, "-m", "loopguard", "run", *arguments)
        assert is_harmless(ended.stderr.removesuffix("\n")), arguments
        assert ended.returncode == 2 and ended.stderr.startswith("loopguard: "), arguments


RULE = '''\
"""{page}

## Why is this bad?

See [this]({link}).
"""

from loopguard.rule import Case, Level, Rule, gradient


class Nasty(Rule):
    code = "OWN1"
    level = Level.WARNING
    engines = "S"
    mistakes = frozenset({{gradient.Mistake.STALE_STEP}})
    bad = ({page!r},)
    good = ({page!r},)

    def explain(self, case: Case) -> str | None:
        return {page!r}

    def advise(self, case: Case) -> str:
        return {page!r}
'''


@pytest.mark.parametrize("form", ["text", "markdown", "json"])
def test_nothing_in_a_page_of_a_users_rule_is_obeyed(run: Run, write, place: Path, form: str) -> None:
    write("loopguard.toml", 'extend-rules = ["lint"]\n')
    page = "".join(text for text in NASTY if not set(text) & {"\x00", "\udcff"})
    (place / "lint").mkdir()
    (place / "lint" / f"{TITLE}.py").write_text(RULE.format(page=page, link=f"https://a.b/{TITLE}"), "utf-8")
    result = run("rule", "OWN1", "--output-format", form, "--color", "always")
    assert result.exit_code == 0
    assert is_harmless(_OURS.sub("", result.stdout.removesuffix("\n")))
    if form == "json":
        assert json.loads(result.stdout)["bad"] == [page.strip("\n")]


def test_a_link_to_what_is_no_address_is_no_link() -> None:
    finding = Finding("LG101", "a", "error", "b", "c", Place("x.py", 1, 1, 1, 2), url="https://a.b/c")
    style = Style(True, True)
    assert "\x1b]8;;https://a.b/c" in "".join(render("concise", [finding], context("", style)))
    for url in (f"https://a.b/{TITLE}", "https://a.b/\u202e"):
        assert "\x1b]8" not in "".join(render("concise", [replace(finding, url=url)], context("", style)))


TRAINING = """\
import torch
import loopguard

model = torch.nn.Linear(2, 1)
name = {name!r}
opts = {{name: torch.optim.SGD(model.parameters(), lr=0.1)}}
with loopguard.guard(on_finding="collect") as watch:
    for _ in range(3):
        model(torch.ones(1, 2)).sum().backward()
        opts[name].step()
print(watch.ledger_text())
for _ in range(3):
    model(torch.ones(1, 2)).sum().backward()
    opts[name].step()  # {name_as_it_is}
"""


@pytest.mark.parametrize("policy", ["warn", "raise"])
def test_nothing_that_a_guard_says_is_obeyed(place: Path, policy: str) -> None:
    """The finding, the ledger, the traceback, the summary and the document of a run."""
    nasty = f"{TITLE}\u202e ##vso[a]"
    script = place / f"a\n{nasty}::error::.py"
    script.write_text(TRAINING.format(name=nasty, name_as_it_is=nasty), "utf-8")
    result = python(place, "-m", "loopguard", "run", "--on-finding", policy, "--json", "run.json", script.name)
    assert "LG101" in result.stderr
    assert policy == "raise" or "SGD" in result.stdout
    assert is_harmless(result.stdout.removesuffix("\n"))
    # What Python itself says of where an exception was raised is Python's.
    lines = result.stderr.removesuffix("\n").split("\n")
    ours = [line for line in lines if "LG101" in line or line.startswith("loopguard")] if policy == "raise" else lines
    assert ours and is_harmless("\n".join(ours))
    told = json.loads((place / "run.json").read_text())["findings"]
    assert told[0]["filename"] == str(script)


def test_a_failure_of_ours_is_told_without_what_it_was_about(
    run: Run, hostile: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from loopguard import static

    def fail(*arguments: object) -> None:
        raise RuntimeError(f"{TITLE}\n::error::\u202e")

    monkeypatch.setattr(static, "analyse", fail)
    result = run("check", "--no-cache", "-v", "-j", "1")
    assert result.exit_code == 2
    assert "RuntimeError: \\x1b]0;title\\x07" in result.stderr
    assert is_harmless(result.stderr.removesuffix("\n"))


def test_names_that_a_terminal_cannot_write_are_still_told(place: Path) -> None:
    (place / "漢\udcff.py").write_text(BROKEN, "utf-8")
    result = python(place, "-m", "loopguard", "check", "--output-format", "concise", PYTHONIOENCODING="ascii")
    assert result.stdout.startswith("\\u6f22\\udcff.py:11:5: LG101")
    assert os.fsdecode(b"\xff") == "\udcff" and sys.getfilesystemencoding() == "utf-8"
