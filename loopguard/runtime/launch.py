"""Runs a program as `python TARGET` or `python -m MODULE` would, so that nothing in it can tell the difference.

https://docs.python.org/3/using/cmdline.html#interface-options
"""

from __future__ import annotations

import builtins
import io
import linecache
import os
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader, SourcelessFileLoader
from importlib.util import MAGIC_NUMBER, find_spec
from pathlib import Path
from pkgutil import get_importer
from stat import S_ISREG
from types import CodeType, ModuleType
from typing import Any, ClassVar, NoReturn

from loopguard.errors import UsageError
from loopguard.paths import absolute
from loopguard.runtime.traces import show_as_theirs

_launchers: list[ModuleType] = []
"""The main modules that ours have taken the place of: those who called us still need them."""


@dataclass(frozen=True)
class Program:
    """A program by the `name` it was called by, and the `file` in which its text is, if it is in one.

    `place` is where it imports from before it looks anywhere else; `holds_all` says that this is the program itself.
    """

    name: str
    file: Path | None
    place: str
    holds_all: ClassVar[bool] = False

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
        _put_first(self.place, even_if_safe=self.holds_all)
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
        raise NotImplementedError

    def text(self) -> tuple[bytes, Path] | None:
        """Its text, if that is in no file of its own, and the path that goes by."""
        return None


class _Script(Program):
    """A file of Python, or of what Python has compiled it to."""

    def load(self, main: ModuleType) -> CodeType:
        path = os.path.join(Path.cwd(), self.name)  # noqa: PTH118 -- as it was given
        compiled = self.file is None
        loader = SourcelessFileLoader("__main__", path) if compiled else SourceFileLoader("__main__", path)
        main.__loader__ = loader
        main.__dict__.update(__file__=path, __cached__=None, __package__=None)
        if compiled:
            return _code_of(loader, "__main__")
        with io.open_code(path) as file:
            return compile(file.read(), path, "exec", dont_inherit=True)


class _Module(Program):
    """A module, or a package that has a main one."""

    def load(self, main: ModuleType) -> CodeType:
        spec, loader = _imported(self.name)
        sys.argv[0] = str(spec.origin)
        return _of_spec(main, spec, loader)


@dataclass(frozen=True)
class _Bundle(Program):
    """A directory or an archive with a module `__main__`: https://docs.python.org/3/library/zipapp.html."""

    spec: ModuleSpec
    holds_all: ClassVar[bool] = True

    def load(self, main: ModuleType) -> CodeType:
        code = _of_spec(main, self.spec, self.spec.loader)
        if self.spec.origin is not None and self.file is None:
            linecache.lazycache(self.spec.origin, main.__dict__)  # what lies in an archive is no file to read
        return code

    def text(self) -> tuple[bytes, Path] | None:
        origin = str(self.spec.origin)
        if self.file is not None or not origin.endswith(".py"):
            return None
        loader: Any = self.spec.loader
        try:
            return loader.get_data(origin), Path(origin)
        except OSError:
            return None


def find(target: str, *, is_module: bool) -> Program:
    """The program called so. Nothing of it is executed. Raises `UsageError` if there is none."""
    if is_module:
        place = str(Path.cwd())
        _put_first(place)
        return _Module(target, _file(target), place)
    file = absolute(Path(target))
    try:
        mode = file.stat().st_mode
        path = os.path.join(Path.cwd(), target)  # noqa: PTH118 -- as it was given
        importer = get_importer(path)
        if importer is not None:
            return _bundle(target, path, importer)
        if not S_ISREG(mode):
            raise UsageError(f"not a file: {target}")
        return _Script(target, None if _is_compiled(file) else file, str(Path(os.path.realpath(file)).parent))
    except FileNotFoundError:
        raise UsageError(f"no such file: {target}") from None
    except OSError as error:
        raise UsageError(f"{target}: cannot be read: {error.strerror}") from None


def _bundle(target: str, path: str, importer: Any) -> Program:
    spec = importer.find_spec("__main__")
    if spec is None or spec.loader is None or spec.submodule_search_locations is not None:
        raise UsageError(f"{target} has no file `__main__.py`, without which it cannot be run")
    origin = Path(str(spec.origin))
    return _Bundle(target, origin if origin.suffix == ".py" and origin.is_file() else None, path, spec)


def _is_compiled(file: Path) -> bool:
    """Whether Python takes a file for one that it has compiled."""
    if file.suffix == ".pyc":
        return True
    with file.open("rb") as stream:
        return stream.read(len(MAGIC_NUMBER)) == MAGIC_NUMBER


def _of_spec(main: ModuleType, spec: ModuleSpec, loader: Any) -> CodeType:
    main.__loader__ = loader
    main.__dict__.update(__file__=spec.origin, __cached__=spec.cached, __package__=spec.parent, __spec__=spec)
    return _code_of(loader, spec.name)


def _code_of(loader: Any, name: str) -> CodeType:
    code: CodeType = loader.get_code(name)
    return code


def _put_first(place: str, *, even_if_safe: bool = False) -> None:
    """Let the program import from a place before all others, as Python does unless it is told not to."""
    if not sys.flags.safe_path:
        sys.path[0] = place
    elif even_if_safe:
        sys.path.insert(0, place)


def _execute(program: Program, main: ModuleType) -> None:
    exec(program.load(main), main.__dict__)
    # Python, too, waits for the threads before it ends a program.
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and not thread.daemon:
            thread.join()


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
