"""What is in directories, each listed once: most modules that a file imports are looked for in vain."""

from __future__ import annotations

import os


class Folders:
    """Directories, as they were when they were first asked for."""

    def __init__(self) -> None:
        self._names: dict[str, frozenset[str] | None] = {}

    def is_there(self, folder: str) -> bool:
        """Whether there is such a directory."""
        return self._listed(folder) is not None

    def hold(self, path: str) -> bool:
        """Whether there is such a file."""
        folder, name = os.path.split(path)
        names = self._listed(folder)
        return names is not None and name in names and os.path.isfile(path)  # noqa: PTH113

    def _listed(self, folder: str) -> frozenset[str] | None:
        if folder not in self._names:
            above, name = os.path.split(folder)
            around = self._names.get(above)
            absent = around is not None and name not in around and name not in (os.curdir, os.pardir, "")
            self._names[folder] = None if absent else _list(folder)
        return self._names[folder]


def _list(folder: str) -> frozenset[str] | None:
    try:
        return frozenset(os.listdir(folder or os.curdir))  # noqa: PTH208 -- thousands of them
    except (OSError, ValueError):  # a name may be none in the encoding of the file system
        return None
