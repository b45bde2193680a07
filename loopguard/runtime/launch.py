"""Runs a program as `python FILE` or `python -m MODULE` would, so that nothing in it can tell the difference.

https://docs.python.org/3/using/cmdline.html#interface-options
"""

from __future__ import annotations

import builtins
import io
import os
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from importlib.util import find_spec
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any, NoReturn

from loopguard.errors import UsageError
from loopguard.paths import absolute
from loopguard.runtime.traces import show_as_theirs

_launchers: list[ModuleType] = []
"""The main modules that ours have taken the place of: those who called us still need them."""


@dataclass(frozen=True)
class Program:
    """A script, or a module that can be run, and the file in which it is written."""

    name: str
    file: Path
    is_module: bool

    def run(
        self, arguments: Sequence[str], ended: Callable[[BaseException | None], None], shown: Callable[[], None]
    ) -> None:
        """Be that program. Raises whatever it raises, `SystemExit` in particular.

        `ended` is called when it has ended, with what has ended it early. `shown` is called when the traceback of
        its failure has been printed.
        """
        main = ModuleType("__main__")
        main.__dict__.update(__annotations__={}, __builtins__=builtins)
        _launchers.append(sys.modules["__main__"])
        sys.modules["__main__"] = main
        sys.argv = [self.name, *arguments]
        _put_first(Path.cwd() if self.is_module else Path(os.path.realpath(self.file)).parent)
        try:
            _execute(self, main)
        except SystemExit as leaving:
            ended(leaving if leaving.code else None)
            raise
        except BaseException as error:
            ended(error)
            show_as_theirs(_execute, shown)
            raise
        ended(None)

    def load(self, main: ModuleType) -> CodeType:
        """Its code, with the main module made as Python makes it."""
        if self.is_module:
            spec, loader = _imported(self.name)
            main.__loader__ = loader
            sys.argv[0] = str(spec.origin)
            main.__dict__.update(__file__=spec.origin, __cached__=spec.cached, __package__=spec.parent, __spec__=spec)
            code: CodeType = loader.get_code(spec.name)
            return code
        path = os.path.join(Path.cwd(), self.name)  # noqa: PTH118 -- as it was given
        main.__loader__ = SourceFileLoader("__main__", path)
        main.__dict__.update(__file__=path, __cached__=None, __package__=None)
        with io.open_code(path) as file:
            return compile(file.read(), path, "exec", dont_inherit=True)


def find(target: str, *, is_module: bool) -> Program:
    """The program called so. Nothing of it is executed. Raises `UsageError` if there is none."""
    if is_module:
        _put_first(Path.cwd())
        return Program(target, _file(target), is_module=True)
    file = absolute(Path(target))
    if not file.is_file():
        raise UsageError(f"{'not a file' if file.exists() else 'no such file'}: {target}")
    return Program(target, file, is_module=False)


def _execute(program: Program, main: ModuleType) -> None:
    exec(program.load(main), main.__dict__)
    # Python, too, waits for the threads before it ends a program.
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and not thread.daemon:
            thread.join()


def _put_first(folder: Path) -> None:
    """Let the program import from a folder before all others, as Python does unless it is told not to."""
    if not sys.flags.safe_path:
        sys.path[0] = str(folder)


def _file(name: str) -> Path:
    """The file of a module that can be run, found without an import of the packages around it."""
    head, *inner = name.split(".")
    try:
        spec = find_spec(head) if head else None
    except ValueError:  # there is such a module, made by hand
        spec = None
    for part in inner:
        spec = _within(spec, part)
    if spec is not None and spec.submodule_search_locations is not None:
        spec = _within(spec, "__main__")
        if spec is None:
            raise UsageError(f"`{name}` is a package without a `__main__`, which cannot be run")
    if spec is None or spec.origin is None:
        near = f"; without -m, {name} is run as a file" if Path(name).is_file() else ""
        raise UsageError(f"no module named `{name}`{near}")
    if not spec.origin.endswith(".py"):
        raise UsageError(f"`{name}` is not a module written in Python")
    return Path(spec.origin)


def _within(package: ModuleSpec | None, name: str) -> ModuleSpec | None:
    if package is None or package.submodule_search_locations is None:
        return None
    return PathFinder.find_spec(f"{package.name}.{name}", package.submodule_search_locations)


def _imported(name: str) -> tuple[ModuleSpec, Any]:
    """The spec and the loader of a module that can be run, with the packages around it imported."""
    spec = find_spec(name)
    if spec is not None and spec.submodule_search_locations is not None:
        spec = find_spec(f"{name}.__main__")
    if spec is None or spec.loader is None:
        _missing(name)
    return spec, spec.loader


def _missing(name: str) -> NoReturn:
    raise ModuleNotFoundError(f"No module named {name!r}", name=name)
