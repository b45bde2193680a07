"""The command `loopguard`: its subcommands, and how every error ends.

Exit codes are ruff's: 0 nothing found, 1 something found, 2 wrong usage, wrong configuration or a failure of
loopguard itself, which are one line on stderr each. A program that is run has its own exit code.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from importlib import import_module
from io import TextIOWrapper
from typing import Any

import click

from loopguard import __version__
from loopguard.errors import LoopguardError, UsageError, suggestion
from loopguard.escape import visible_lines
from loopguard.examine import PATIENCE
from loopguard.report.terminal import note

REPORT_IT = "please report this as a bug of loopguard, with the file if you can"

_INTERRUPTED = 130


class _Commands(click.Group):
    """Subcommands that are imported when they are called, and errors of one line."""

    _names = ("check", "clean", "rule", "run")

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self._names)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        command: click.Command = import_module(f"loopguard.commands.{cmd_name}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in self._names:
            near = suggestion(name, self._names)
            if os.path.exists(name):  # noqa: PTH110 -- no pathlib needed for a guess
                near = f"; did you mean `loopguard check {name}`?"
            raise click.UsageError(f"no such command `{name}`{near}", ctx)
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            code = super().invoke(ctx)
            sys.stdout.flush()
        except BrokenPipeError:
            # The reader has seen enough (`loopguard check | head`): nothing may be flushed to it at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 0
        return code

    def main(self, *args: Any, **kwargs: Any) -> Any:
        kwargs["standalone_mode"] = False
        try:
            code = super().main(*args, **kwargs)
        except click.Abort:
            code = _INTERRUPTED
        except click.ClickException as error:
            code = _failed(_one_line(error))
        except LoopguardError as error:
            code = _failed(str(error))
        except Exception as error:
            import traceback

            click.echo(visible_lines("".join(traceback.format_exception(error))), err=True, nl=False)
            code = _failed(f"internal error: {type(error).__name__}: {error}; {REPORT_IT}")
        if callable(code):
            return code
        sys.exit(code or 0)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]}, no_args_is_help=False)
@click.version_option(__version__, "-V", "--version", prog_name="loopguard", message="%(prog)s %(version)s")
def app() -> None:
    """Find missing and misplaced zero_grad, backward and step in PyTorch training loops."""
    try:
        os.getcwd()  # noqa: PTH109 -- no pathlib needed
    except OSError:
        raise UsageError("the current directory is gone") from None


def main() -> Callable[[], None]:
    """Run the command line and exit, unless something is left to do that is not ours: the user's program."""
    with _at_home():
        program: Callable[[], None] = app(prog_name="loopguard")
    return program


@contextmanager
def _at_home() -> Iterator[None]:
    """Have the process as it is best for us, and then again as it was."""
    threshold = gc.get_threshold()
    gc.set_threshold(*PATIENCE)
    with ExitStack() as stack:
        for stream in (sys.stdout, sys.stderr):
            # Source lines and file names may hold what the terminal's encoding does not.
            if isinstance(stream, TextIOWrapper):
                stack.callback(stream.reconfigure, errors=stream.errors)
                stream.reconfigure(errors="backslashreplace")
        yield
    # A program follows. Who leaves by an exception is at the end, and nothing need be collected there.
    gc.set_threshold(*threshold)


def _one_line(error: click.ClickException) -> str:
    if isinstance(error, click.NoSuchOption):
        near = suggestion(error.option_name, error.possibilities or ())
        return f"no such option `{error.option_name}`{near}"
    text = " ".join(error.format_message().split()).removesuffix(".")
    if text == "Missing command":
        return "name a command, `check`, `run`, `rule` or `clean` (see `loopguard --help`)"
    return text[:1].lower() + text[1:]


def _failed(message: str) -> int:
    note(f"error: {message}")
    return 2
