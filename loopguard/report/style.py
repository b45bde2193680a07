"""Colours and links of a terminal, or none: https://no-color.org, https://force-color.org."""

from __future__ import annotations

from collections.abc import Mapping

_CODES = {"error": "1;91", "warning": "1;93", "advice": "1;96", "bold": "1", "frame": "1;94", "dim": "2"}


class Style:
    """Paints text. `links` says whether to write hyperlinks, which only a terminal understands."""

    __slots__ = ("colour", "links")

    def __init__(self, colour: bool = False, links: bool = False) -> None:
        self.colour = colour
        self.links = colour and links

    def __call__(self, kind: str, text: str) -> str:
        """`text` painted as `kind`: a level, "bold", "frame" (line numbers and the like) or "dim"."""
        return f"\x1b[{_CODES[kind]}m{text}\x1b[0m" if self.colour and text and kind in _CODES else text

    def link(self, url: str | None, text: str) -> str:
        """`text` as a hyperlink (OSC 8)."""
        return f"\x1b]8;;{url}\x1b\\{text}\x1b]8;;\x1b\\" if self.links and url else text


def choose(when: str, terminal: bool, environment: Mapping[str, str]) -> Style:
    """The style for the option `--color` (auto, always, never), a terminal or not, and the environment.

    FORCE_COLOR and NO_COLOR decide where the option is `auto`; links are for terminals alone.
    """
    if when == "auto":
        if environment.get("FORCE_COLOR"):
            colour = True
        elif environment.get("NO_COLOR") or environment.get("TERM") == "dumb":
            colour = False
        else:
            colour = terminal
    else:
        colour = when == "always"
    return Style(colour, terminal)
