"""`loopguard clean`: the cache of a project goes, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from loopguard.cache_folder import NAME, CacheFolder, CacheFolderError, called
from loopguard.commands.options import file_path
from loopguard.config import Options
from loopguard.errors import UsageError
from loopguard.escape import visible
from loopguard.paths import absolute, shown
from loopguard.report.terminal import warn
from loopguard.settings import Resolver

_NAMED = 4


@click.command("clean")
@click.option("--cache-dir", metavar="DIR", callback=file_path, help="Where the cache is.  [default: .loopguard_cache]")
def command(cache_dir: Path | None) -> int:
    """Remove the cache of the project that the current directory belongs to."""
    here = Path.cwd()
    root = Resolver(Options(base=str(here)), warn=warn).top.root
    path = absolute(cache_dir) if cache_dir is not None else root / NAME
    name = shown(path)  # while there is a current directory
    try:
        left = CacheFolder(path, [root, here]).clean()
    except CacheFolderError as error:
        raise UsageError(f"{name} {error}") from None
    name = visible(name)
    if left is None:
        click.echo("No cache found.")
    elif left:
        click.echo(f"Removed the cache in {name}, and left alone what else is there: {_listed(left)}.")
    else:
        click.echo(f"{'Emptied' if path.is_dir() else 'Removed'} {name}.")
    return 0


def _listed(names: Sequence[str]) -> str:
    """Some names, the first few of them written out."""
    told = [called(name) for name in names[:_NAMED]]
    more = len(names) - len(told)
    return ", ".join([*told, f"{more} more"] if more else told)
