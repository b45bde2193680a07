"""`loopguard check`: the options, and the order in which things happen."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, TypeVar

import click

from loopguard.check import Checker, Report
from loopguard.cli import REPORT_IT
from loopguard.commands.options import file_path
from loopguard.config import FORMATS, Options
from loopguard.discover import discover, excluded
from loopguard.errors import LoopguardError, UsageError
from loopguard.escape import visible, visible_lines
from loopguard.globs import senseless
from loopguard.paths import absolute, shown
from loopguard.report.progress import progress
from loopguard.report.style import Style, choose
from loopguard.report.terminal import note, warn
from loopguard.settings import Resolver
from loopguard.survey import processors

if TYPE_CHECKING:
    from loopguard.cache import Cache

_LONGEST_ERROR = 120

_Command = TypeVar("_Command", bound=Callable[..., int])


def _several(*names: str, help: str) -> Callable[[_Command], _Command]:
    """An option that takes a list, comma separated or repeated."""
    return click.option(*names, multiple=True, metavar="LIST", callback=_split, help=help)


def _split(context: click.Context, parameter: click.Parameter, values: Sequence[str]) -> tuple[str, ...]:
    return tuple(part.strip() for value in values for part in value.split(",") if part.strip())


@click.command("check")
@click.argument("paths", nargs=-1, metavar="[PATHS|-]")
@_several("--select", help="Rules to turn on, and no others: codes, prefixes such as LG1, names, or ALL.")
@_several("--ignore", help="Rules to turn off.")
@_several("--extend-select", help="Rules to turn on besides the selected ones.")
@_several("--exclude", help="Patterns of paths to leave out, instead of the default ones.")
@_several("--extend-exclude", help="Patterns of paths to leave out, besides the others.")
@click.option("--force-exclude/--no-force-exclude", default=None, help="Leave out excluded files though named.")
@click.option("--respect-gitignore/--no-respect-gitignore", default=None, help="Leave out what git ignores.")
@click.option("--output-format", type=click.Choice(FORMATS), help="How to print findings.  [default: full]")
@click.option("--statistics", is_flag=True, help="Print how often each rule was broken, not where.")
@click.option("--exit-zero", is_flag=True, help="Exit with 0 even if something was found.")
@click.option("--stdin-filename", metavar="PATH", callback=file_path, help="The path of what is read from stdin.")
@click.option("--config", "config_file", metavar="FILE", callback=file_path, help="One configuration for all files.")
@click.option("--isolated", is_flag=True, help="Read no configuration file.")
@click.option("--show-files", is_flag=True, help="Print the files that would be checked.")
@click.option("--show-settings", is_flag=True, help="Print the settings that hold for the first file.")
@click.option("-n", "--no-cache", is_flag=True, help="Read and write no cache.")
@click.option("--cache-dir", metavar="DIR", callback=file_path, help="Where the cache is.  [default: .loopguard_cache]")
@click.option("-j", "--jobs", type=click.IntRange(min=1), help="How many processes.  [default: as many as processors]")
@click.option("-q", "--quiet", is_flag=True, help="Print findings, nothing else.")
@click.option("-v", "--verbose", is_flag=True, help="Print what was done, and the traceback of a failure.")
@click.option("--color", type=click.Choice(["auto", "always", "never"]), default="auto", show_default=True)
def command(paths: tuple[str, ...], **options: Any) -> int:
    """Check training loops in files, directories (default: the current one) or stdin (-)."""
    started = perf_counter()
    if options["isolated"] and options["config_file"]:
        raise UsageError("--isolated and --config exclude each other")
    if "" in paths:
        raise UsageError("a path is empty")
    shows = options["show_files"] or options["show_settings"]
    command_line, config_file = _command_line(options), options["config_file"]
    resolver = Resolver(command_line, config_file, options["isolated"], runs_rules=not shows, warn=warn)
    stdin = "-" in paths
    if stdin and len(paths) > 1:
        raise UsageError("`-` (stdin) and paths exclude each other")
    if options["stdin_filename"] and not stdin:
        raise UsageError("--stdin-filename goes with `-` (stdin)")
    if stdin:
        files = [absolute(options["stdin_filename"])] if options["stdin_filename"] else []
        if files and resolver.top.force_exclude and excluded(files[0], resolver):
            return 0
        if files and (error := resolver.settings(files[0].parent).error) is not None:
            raise error
    else:
        files = discover([Path(path) for path in paths or (".",)], resolver, warn)
    roots = _roots(resolver, paths)
    checker = Checker(resolver, roots)
    checker.validate()
    files = [file for file in files if resolver.settings(file.parent).error is None]
    told = _tell(resolver.errors)
    if options["show_files"]:
        _print(visible(str(file)) for file in files)
        return 2 if told else 0
    if options["show_settings"]:
        from loopguard.commands.settings import describe

        _print(describe(resolver, files[0] if files else None))
        return 2 if told else 0
    for line in resolver.withheld():
        warn(line)
    if stdin:
        from loopguard.streams import read_stdin

        path = shown(files[0]) if files else "-"
        checker.check_bytes(read_stdin(), path, files[0] if files else None)
    else:
        if not files and not told:
            warn("no Python files found under the given paths")
        cache = _cache(resolver, roots, options)
        files = _without_streams(files, paths, checker)
        done = checker.check_all(files, cache, options["jobs"] or processors())
        for _ in progress(done, len(files), sys.stderr, wanted=not options["quiet"]):
            pass
        if cache is not None and cache.problem is not None:
            warn(f"{shown(cache.path)} {cache.problem}: the cache is not up to date")
    report = checker.finish()
    _tell(error for error in report.errors if error not in told)
    _show_crashes(report, options["verbose"])
    _show(report, resolver.top.output_format, options)
    if options["verbose"]:
        for item in report.unjudged:
            note(str(item))
        seconds = perf_counter() - started
        note(f"{report.files} files, {report.analysed} of them analysed, in {seconds:.2f} s")
    if report.crashes or report.errors:
        return 2
    return 1 if report.findings and not options["exit_zero"] else 0


def _without_streams(files: list[Path], named: Sequence[str], checker: Checker) -> list[Path]:
    """Check what can be read only once, which is among what is named. Returns the other files."""
    if not named:
        return files
    from loopguard.streams import read_once

    contents = read_once(sorted({absolute(Path(path)) for path in named}.intersection(files)))
    for file, data in contents.items():
        checker.check_bytes(data, shown(file), file)
    return [file for file in files if file not in contents]


def _command_line(options: dict[str, Any]) -> Options:
    for option in ("exclude", "extend_exclude"):
        wrong = senseless(options[option])
        if wrong is not None:
            raise UsageError(f"`{wrong}` in `--{option.replace('_', '-')}` is no pattern")
    return Options(
        base=str(Path.cwd()),
        select=options["select"] or None,
        ignore=options["ignore"],
        extend_select=options["extend_select"],
        exclude=options["exclude"] or None,
        extend_exclude=options["extend_exclude"],
        respect_gitignore=options["respect_gitignore"],
        force_exclude=options["force_exclude"],
        output_format=options["output_format"],
    )


def _tell(errors: Iterable[LoopguardError]) -> list[LoopguardError]:
    """Tell of the errors of projects that are a part of what is checked."""
    told = list(errors)
    for error in told:
        note(f"error: {error}; this project is not checked")
    return told


def _roots(resolver: Resolver, paths: Sequence[str]) -> list[Path]:
    """The folders that imports within the project start from."""
    given = [absolute(Path(path)) for path in paths if Path(path).is_dir()]
    roots = [settings.root for settings in resolver.all()]
    return list(dict.fromkeys([*roots, Path.cwd(), *given]))


def _cache(resolver: Resolver, roots: Sequence[Path], options: dict[str, Any]) -> Cache | None:
    """The cache of the project that the current directory belongs to, None if none is wanted."""
    if options["no_cache"]:
        return None
    from loopguard.cache import Cache, way
    from loopguard.cache_folder import NAME, CacheFolder, CacheFolderError

    given: Path | None = options["cache_dir"]
    path = absolute(given) if given is not None else resolver.top.root / NAME
    try:
        return Cache(CacheFolder(path, roots, given=given is not None), way(roots))
    except CacheFolderError as error:
        if given is not None:
            raise UsageError(f"--cache-dir: {given}: {error}") from None
        warn(f"{shown(path)} {error}: there is no cache")
        return None


def _show(report: Report, name: str, options: dict[str, Any]) -> None:
    style = choose(options["color"], sys.stdout.isatty(), os.environ)
    for_people = name in ("full", "concise")
    if report.findings or not for_people:
        _print(_rendered(report, name, style, options["statistics"]))
    # Silence about files that were not checked must not read as praise.
    if for_people and not options["quiet"] and (report.findings or not (report.crashes or report.errors)):
        from loopguard.report.summary import summary

        _print([summary(report.findings, style, report.given_up)])


def _rendered(report: Report, name: str, style: Style, counts: bool) -> Iterable[str]:
    from loopguard.report import Context, render
    from loopguard.report.summary import statistics, statistics_json

    if not counts:
        return render(name, report.findings, Context(style, report.source, report.given_up))
    if name.startswith("json"):
        return [statistics_json(report.findings)]
    return statistics(report.findings, style)


def _show_crashes(report: Report, verbose: bool) -> None:
    for crash in report.crashes:
        error = " ".join(f"{crash.kind}: {crash.text}".split())
        # The text of an error may be that of a whole syntax tree.
        error = error if len(error) <= _LONGEST_ERROR else f"{error[:_LONGEST_ERROR]}..."
        note(f"error: {crash.path}: internal error: {error}; {REPORT_IT}")
        if verbose:
            click.echo(visible_lines(crash.trace), err=True, nl=False)


def _print(lines: Iterable[str]) -> None:
    for line in lines:
        sys.stdout.write(line + "\n")
