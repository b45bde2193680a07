"""What options of several commands share."""

from __future__ import annotations

from pathlib import Path

import click

from loopguard.errors import UsageError


def file_path(context: click.Context, parameter: click.Parameter, value: str | None) -> Path | None:
    """The path that an option names. An empty one, as an unset variable gives, is not the current directory."""
    if value == "":
        raise UsageError(f"{parameter.opts[0]}: the path is empty")
    return Path(value) if value is not None else None
