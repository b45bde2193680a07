"""The arrival of a module: what is to be done as soon as the program has imported it, and not before.

A guard that imported torch by itself would change the program that it is to watch: the environment variables that
scripts set before their own import (threads, allocators, devices) would come too late.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType


def on_arrival(name: str, action: Callable[[], None]) -> None:
    """Do something once a module is there: at once, or right after its import."""
    if name in sys.modules:
        action()
    else:
        sys.meta_path.insert(0, _Lookout(name, action))


class _Lookout(MetaPathFinder):
    """Finds nothing by itself, but has the one module loaded by a loader that acts afterwards."""

    def __init__(self, name: str, action: Callable[[], None]) -> None:
        self._name = name
        self._action = action
        self._asking = False

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The module as all the others find it."""
        if fullname != self._name or self._asking:
            return None
        self._asking = True
        try:
            spec = find_spec(fullname)
        finally:
            self._asking = False
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader, self._arrived)
        return spec

    def _arrived(self) -> None:
        if self in sys.meta_path:
            sys.meta_path.remove(self)
            self._action()


class _Loader(Loader):
    """Loads a module as its own loader does, and says so."""

    def __init__(self, loader: Loader, arrived: Callable[[], None]) -> None:
        self._loader = loader
        self._arrived = arrived

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """The module, empty."""
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        """Fill it, with its own loader in place as if nothing had been there."""
        module.__loader__ = self._loader
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        self._loader.exec_module(module)
        self._arrived()
