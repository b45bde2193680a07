"""`loopguard run`: a program under guard, from its first line to its last."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, ParamSpec

import click

from loopguard import atomic, catalogue, paths
from loopguard.check import Checker, Report
from loopguard.cli import REPORT_IT
from loopguard.commands.options import file_path
from loopguard.config import Options
from loopguard.crosscheck import Nobody, Witness, verdict
from loopguard.errors import UsageError
from loopguard.finding import Finding
from loopguard.report import Context
from loopguard.report import run as report
from loopguard.report.terminal import say, style, warn
from loopguard.runtime.launch import Program, find
from loopguard.runtime.rank import launched_rank
from loopguard.runtime.session import Session
from loopguard.runtime.termination import before_termination
from loopguard.settings import Resolver

_P = ParamSpec("_P")


@click.command("run", context_settings={"allow_interspersed_args": False})
@click.option(
    "--on-finding",
    type=click.Choice(["warn", "raise", "debug", "collect"]),
    default="warn",
    show_default=True,
    help="Print a finding, raise it, stop there in the debugger, or keep it for the summary.",
)
@click.option(
    "--ledger",
    type=click.Choice(["auto", "full"]),
    default="auto",
    show_default=True,
    help="How closely to look: at every parameter all the time, or only where it may matter.",
)
@click.option("--json", "json_file", metavar="FILE", callback=file_path, help="Write what was found as JSON, too.")
@click.option("-m", "is_module", is_flag=True, help="TARGET is a module, as in `python -m`.")
@click.argument("target")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[ARGS]...")
def command(
    on_finding: Literal["warn", "raise", "debug", "collect"],
    ledger: Literal["auto", "full"],
    json_file: Path | None,
    is_module: bool,
    target: str,
    arguments: tuple[str, ...],
) -> Callable[[], None]:
    """Run a training script and watch every backward pass and step.

    The script sees its own ARGS, and its exit code is that of this command. First it is checked as `loopguard check`
    does; the summary at the end says which of those findings the run has confirmed or refuted.
    """
    paths.pin()
    if json_file is not None and (problem := atomic.obstacle(json_file)):
        raise UsageError(f"--json: {json_file}: {problem}")
    program = find(target, is_module=is_module)
    if find_spec("torch") is None:
        raise UsageError("`loopguard run` needs torch: pip install 'torch-loopguard[runtime]'")
    resolver = Resolver(Options(base=str(Path.cwd())), warn=warn)
    rules = catalogue.load(resolver.top.rule_folders)
    checked = _check(program, resolver)
    return _Guarded(program, arguments, Session(on_finding, ledger), checked, rules, json_file)


def _check(program: Program, resolver: Resolver) -> Report:
    """What `loopguard check` says of the program. Raises `ConfigError`, `UsageError` or `RuleError`."""
    place = program.file.parent if program.file is not None else Path(program.place)
    checker = Checker(resolver, [resolver.top.root, Path.cwd(), place])
    checker.validate()
    for line in resolver.withheld():
        warn(line)
    if program.file is not None:
        checker.check(program.file)
    elif (text := program.text()) is not None:
        checker.check_bytes(text[0], paths.shown(text[1]), text[1])
    checked = checker.finish()
    for error in checked.errors:
        warn(f"{error}; the program is checked without this")
    for crash in checked.crashes:
        warn(f"{crash.path} could not be checked before it runs: {crash.kind}")
    return checked


@dataclass
class _Guarded:
    """A program, its guard, and what was said of it before."""

    program: Program
    arguments: tuple[str, ...]
    session: Session
    checked: Report
    rules: catalogue.Catalogue
    json: Path | None
    _outcome: report.Run | None = field(default=None, init=False)

    def __call__(self) -> None:
        """Run it. Raises what it raises."""
        before_termination(_harmless(self._terminated))
        self.session.begin()
        self.program.run(self.arguments, _harmless(self._ended), _harmless(self._summarise))

    def _ended(self, error: BaseException | None) -> None:
        """The program has ended, or is about to show what has ended it early."""
        if self._conclude(error, type(error).__name__ if error is not None else None) and (
            error is None or isinstance(error, SystemExit)
        ):
            self._summarise()

    def _terminated(self) -> None:
        """The program is told to end."""
        if self._conclude(SystemExit(), "SIGTERM"):
            self._summarise()

    def _conclude(self, error: BaseException | None, ended: str | None) -> bool:
        """Let the guard end, and write down what it has found. False where this is not the watched process."""
        if self._outcome is not None or not self.session.end(error):
            return False
        if launched_rank() == 0:
            self._outcome = self._judge(ended)
            self._write(self._outcome)
        return self._outcome is not None

    def _judge(self, ended: str | None) -> report.Run:
        watch = self.session.watch
        records = watch.records if watch is not None else []
        found = [(record.finding, record.count) for record in records]
        sees_all = watch is not None and watch.failed is None and not watch.unjudged
        witness: Witness | None = watch if sees_all else None
        if watch is None and "torch" not in sys.modules:
            witness = Nobody()
        said: list[Finding] = self.checked.findings
        return report.Run(
            found,
            [(finding, verdict(finding, [f for f, _ in found], witness, self.rules)) for finding in said],
            watch.optimizers if watch is not None else 0,
            watch.steps if watch is not None else 0,
            ended,
            repr(watch.failed) if watch is not None and watch.failed is not None else None,
            watch.unjudged if watch is not None else 0,
        )

    def _write(self, outcome: report.Run) -> None:
        if self.json is None:
            return
        try:
            atomic.write(paths.absolute(self.json), report.document(outcome, self._context()))
        except OSError as error:
            warn(f"{self.json} could not be written: {error.strerror}")

    def _summarise(self) -> None:
        if self._outcome is not None:
            say("\n".join(report.summary(self._outcome, self._context())))

    def _context(self) -> Context:
        return Context(style(), self.checked.source)


def _harmless(work: Callable[_P, None]) -> Callable[_P, None]:
    """The same work, of which no bug gets into the program: that ends with its own exit code."""

    def attempt(*args: _P.args, **kwargs: _P.kwargs) -> None:
        try:
            work(*args, **kwargs)
        except Exception as error:
            say(f"loopguard: warning: internal error: {error!r}; {REPORT_IT}")

    return attempt
