r"""Text that is somebody else's, so that it can be shown: names, source lines, and whatever is made of them.

Printed as it is, a name could move the cursor, reorder or erase what stands around it, begin a line of its own, or tell
a CI service to set a variable. So what a terminal or a service would act upon is written as Python would write it
in a string: `\x1b`, `\n`, `\u202e`, `\udcff` (a byte of a file's name that is in no encoding). All else stays.

https://trojansource.codes
https://docs.github.com/actions/reference/workflow-commands-for-github-actions
https://learn.microsoft.com/azure/devops/pipelines/scripts/logging-commands
"""

from __future__ import annotations

import re

# GitHub obeys a line that begins with `::`, and it, Azure Pipelines and TeamCity what follows `##`, anywhere in a line.
_LEADING = re.compile(r" *:(?=:)")
_INNER = re.compile(r"(?<=#)#(?=\w*\[)", re.ASCII)


def visible(text: str) -> str:
    """One line of text without anything that is obeyed instead of shown."""
    if not text.isprintable() or "##" in text:
        text = "".join(characters(text))
    found = _LEADING.match(text) if "::" in text else None
    return f"{text[: found.end() - 1]}{_code(':')}{text[found.end() :]}" if found else text


def visible_lines(text: str) -> str:
    """The same of several lines, which stay lines."""
    return "\n".join(visible(line.expandtabs()) for line in text.split("\n"))


def characters(text: str) -> list[str]:
    """Each character of a part of a line, as it is shown."""
    shown = [one if one.isprintable() else one.encode("unicode_escape").decode() for one in text]
    for found in _INNER.finditer(text):
        shown[found.start()] = _code("#")
    return shown


def dumped(value: object, *, indent: int | None = None, separators: tuple[str, str] | None = None) -> str:
    """A value as JSON, in printable ASCII and new lines. Reading it gives what was written, whatever that holds."""
    import json

    text = json.dumps(value, indent=indent, separators=separators)
    return _INNER.sub(r"\\u0023", text.replace("\x7f", r"\u007f"))


def _code(character: str) -> str:
    return f"\\x{ord(character):02x}"
