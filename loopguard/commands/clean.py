"""`loopguard clean`: the cache of a project goes."""

from __future__ import annotations

from pathlib import Path

import click

from loopguard.cache import NAME, clean
from loopguard.config import Options
from loopguard.escape import visible
from loopguard.paths import absolute, shown
from loopguard.report.terminal import warn
from loopguard.settings import Resolver


@click.command("clean")
@click.option("--cache-dir", metavar="DIR", type=Path, help="Where the cache is.  [default: .loopguard_cache]")
def command(cache_dir: Path | None) -> int:
    """Remove the cache of the project that the current directory belongs to."""
    resolver = Resolver(Options(base=str(Path.cwd())), warn=warn)
    folder = absolute(cache_dir) if cache_dir is not None else resolver.top.root / NAME
    click.echo(f"Removed {visible(shown(folder))}." if clean(folder) else "No cache found.")
    return 0
