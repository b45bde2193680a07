"""`loopguard check --show-settings`: what holds for a file, and where it comes from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from loopguard import catalogue, select
from loopguard.config_events import described
from loopguard.escape import dumped, visible
from loopguard.settings import DEFAULT_EXCLUDE, Resolver


def describe(resolver: Resolver, file: Path | None) -> Iterator[str]:
    """The settings of `file`, or of the current directory, written as TOML."""
    settings = resolver.settings(file.parent) if file else resolver.top
    rules = catalogue.load()
    on = select.enabled(settings.layers, rules, settings.must_know)
    yield visible(f"# file: {file or 'none'}")
    yield visible(f"# configuration: {settings.file or 'none'}")
    yield f"root = {dumped(str(settings.root))}"
    yield "select = ["
    for entry in rules:
        if entry.code in on:
            yield visible(f'    "{entry.code}", # {entry.name}')
    if settings.named_folders:
        yield "    # and those of `extend-rules`, which are not run to show settings"
    yield "]"
    excluded = sorted(DEFAULT_EXCLUDE) if settings.excludes_defaults else []
    excluded += [pattern for globs in settings.excludes for pattern in globs.patterns]
    yield f"exclude = {dumped(excluded)}"
    yield f"extend-rules = {dumped([str(folder) for folder in settings.named_folders])}"
    yield f"respect-gitignore = {dumped(settings.respect_gitignore)}"
    yield f"force-exclude = {dumped(settings.force_exclude)}"
    yield f'output-format = "{resolver.top.output_format}"'
    yield "[per-file-ignores]"
    for globs, negated, _, codes in settings.ignores:
        pattern = ("!" if negated else "") + globs.patterns[0]
        yield f"{dumped(pattern)} = {dumped(list(codes))}"
    for item in settings.knowledge.calls:
        yield "[[events]]"
        yield from (f"{key} = {dumped(value)}" for key, value in described(item).items())
