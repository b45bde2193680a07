"""`loopguard rule`: the page of a rule."""

from __future__ import annotations

import os
import sys

import click

from loopguard import catalogue, page
from loopguard.config import Options
from loopguard.errors import UsageError
from loopguard.report.style import choose
from loopguard.report.terminal import warn
from loopguard.settings import Resolver


@click.command("rule")
@click.argument("rule", required=False)
@click.option("--all", "every", is_flag=True, help="All rules.")
@click.option("--output-format", type=click.Choice(page.FORMATS), default="text", show_default=True)
@click.option("--color", type=click.Choice(["auto", "always", "never"]), default="auto", show_default=True)
def command(rule: str | None, every: bool, output_format: str, color: str) -> None:
    """Explain a rule, given by its name or its code."""
    if every == (rule is not None):
        raise UsageError("name one rule, or use --all (`loopguard rule missing-zero-grad`)")
    # The rules of the user's own folders have pages, too.
    resolver = Resolver(Options(os.curdir), warn=warn)
    rules = catalogue.load(resolver.top.rule_folders)
    for line in resolver.withheld():
        warn(line)
    entries = list(rules) if rule is None else [rules.find(rule)]
    style = choose(color, sys.stdout.isatty(), os.environ)
    sys.stdout.write(page.render(entries, output_format, style, single=not every) + "\n")
