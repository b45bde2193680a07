"""The page of a rule: its docstring, with its first bad and first good example, as text, Markdown or JSON."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from loopguard.catalogue import Entry
from loopguard.escape import dumped, visible_lines
from loopguard.report.style import Style

FORMATS = ("text", "markdown", "json")

_ENGINES = {"S": "static analysis", "R": "a guarded run"}
_EXPECT = re.compile(r"[ \t]*# expect:.*$", re.MULTILINE)
_EXAMPLES_AFTER = "Why is this bad?"


def render(entries: Sequence[Entry], output_format: str, style: Style, single: bool) -> str:
    """The pages of some rules; as JSON one object if `single`, else a list."""
    if output_format == "json":
        objects = [_object(entry) for entry in entries]
        return dumped(objects[0] if single else objects, indent=2)
    pages = [visible_lines(markdown(entry)) for entry in entries]
    if output_format == "text":
        pages = [_plain(page, style) for page in pages]
    return "\n\n".join(pages)


def markdown(entry: Entry) -> str:
    """The whole page."""
    rule = entry.rule
    judges = " and ".join(text for engine, text in _ENGINES.items() if engine in rule.engines)
    default = "off by default" if entry.level == "advice" else "on by default"
    lines = [
        f"# {entry.name} ({entry.code})",
        f"Level: {entry.level}, {default}. Found by {judges}.",
        body(entry),
    ]
    return "\n\n".join(lines)


def body(entry: Entry) -> str:
    """The page without its title: summary, sections, and the examples after "Why is this bad?"."""
    summary, *sections = re.split(r"^## ", entry.page.strip(), flags=re.MULTILINE)
    parts = [summary.strip()]
    for section in sections:
        parts.append(f"## {section.strip()}")
        if section.startswith(_EXAMPLES_AFTER):
            parts.append(_examples(entry))
    return "\n\n".join(part for part in parts if part)


def example(text: str) -> str:
    """An example without the marks that say where a finding is expected."""
    return _EXPECT.sub("", text).strip("\n")


def _examples(entry: Entry) -> str:
    parts: list[str] = []
    for title, examples in (("## Example", entry.rule.bad), ("Use instead:", entry.rule.good)):
        if examples:
            parts.append(f"{title}\n\n```python\n{example(examples[0])}\n```")
    return "\n\n".join(parts)


def _object(entry: Entry) -> dict[str, Any]:
    return {
        "name": entry.name,
        "code": entry.code,
        "level": entry.level,
        "engines": [text for engine, text in (("S", "static"), ("R", "runtime")) if engine in entry.rule.engines],
        "default": entry.level != "advice",
        "summary": entry.page.strip().partition("\n\n")[0].replace("\n", " "),
        "explanation": body(entry),
        "bad": [example(text) for text in entry.rule.bad],
        "good": [example(text) for text in entry.rule.good],
        "url": entry.url,
    }


def _plain(page: str, style: Style) -> str:
    """Markdown as one reads it in a terminal: headings bold, code indented, links with their address."""
    lines: list[str] = []
    code = False
    for line in page.split("\n"):
        if line.startswith("```"):
            code = not code
        elif code:
            lines.append(f"    {line}".rstrip())
        elif line.startswith("#"):
            lines.append(style("bold", line.lstrip("# ")))
        else:
            lines.append(re.sub(r"\[(.+?)\]\((\S+?)\)", r"\1: \2", line))
    return "\n".join(lines)
