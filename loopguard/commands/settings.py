"""`loopguard check --show-settings`: what holds for a file, and where it comes from."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from loopguard import catalogue, select
from loopguard.config_events import described
from loopguard.settings import DEFAULT_EXCLUDE, Resolver


def describe(resolver: Resolver, file: Path | None) -> Iterator[str]:
    """The settings of `file`, or of the current directory, written as TOML."""
    settings = resolver.settings(file.parent) if file else resolver.top
    rules = catalogue.load(settings.rule_folders)
    on = select.enabled(settings.layers, rules)
    yield f"# file: {file or 'none'}"
    yield f"# configuration: {settings.file or 'none'}"
    yield f"root = {json.dumps(str(settings.root))}"
    yield "select = ["
    for entry in rules:
        if entry.code in on:
            yield f'    "{entry.code}", # {entry.name}'
    yield "]"
    excluded = sorted(DEFAULT_EXCLUDE) if settings.excludes_defaults else []
    excluded += [pattern for globs in settings.excludes for pattern in globs.patterns]
    yield f"exclude = {json.dumps(excluded)}"
    yield f"extend-rules = {json.dumps([str(folder) for folder in settings.rule_folders])}"
    yield f"respect-gitignore = {json.dumps(settings.respect_gitignore)}"
    yield f"force-exclude = {json.dumps(settings.force_exclude)}"
    yield f'output-format = "{resolver.top.output_format}"'
    yield "[per-file-ignores]"
    for globs, negated, _, codes in settings.ignores:
        pattern = ("!" if negated else "") + globs.patterns[0]
        yield f"{json.dumps(pattern)} = {json.dumps(list(codes))}"
    for item in settings.knowledge.calls:
        yield "[[events]]"
        yield from (f"{key} = {json.dumps(value)}" for key, value in described(item).items())
