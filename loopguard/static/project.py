"""The files around the one that is checked: imports that stay within the project are followed there."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from loopguard.static.scope import File
from loopguard.static.syntax import TextError, Tree
from loopguard.static.values import FileValue, Inert, Value

_EVENT_WORDS = re.compile(rb"backward|zero_grad|\.step\b|\.grad\b|[Oo]ptim")
_FOREIGN_LIMIT = 1_000_000


class Project:
    """Finds and parses modules of the project, once each.

    `roots` are the folders that hold top-level packages and modules. A file that holds no word of any event is not
    parsed: whatever it defines is `Inert`.
    """

    def __init__(self, roots: Sequence[Path] = ()) -> None:
        self._roots = [*roots, *(root / "src" for root in roots)]
        self._files: dict[Path, Value | None] = {}
        self._places: dict[tuple[str, int, str], Path | None] = {}
        self._data: dict[Path, bytes | None] = {}

    def find(self, module: str, level: int, importer: str) -> Value | None:
        """The project's module called `module`, seen from the file `importer`; None if it is not the project's.

        `level` counts the dots of a relative import.
        """
        path = self._place(module, level, importer)
        return self._load(path) if path is not None else None

    def may_hold_events(self, module: str, level: int, importer: str) -> bool:
        """Whether there is such a module, and its text holds words of events. Nothing is parsed."""
        path = self._place(module, level, importer)
        return path is not None and self._read(path) is not None

    def _place(self, module: str, level: int, importer: str) -> Path | None:
        folder = Path(importer).parent
        key = (module, level, str(folder))
        if key not in self._places:
            self._places[key] = self._search(module, level, folder)
        return self._places[key]

    def _search(self, module: str, level: int, folder: Path) -> Path | None:
        parts = module.split(".") if module else []
        bases = [folder.joinpath(*[".."] * (level - 1))] if level else [folder, *self._roots]
        for base in bases:
            stem = base.joinpath(*parts)
            for path in (stem.with_suffix(".py") if parts else None, stem / "__init__.py"):
                if path is not None and path.is_file():
                    return path.resolve()
        return None

    def _read(self, path: Path) -> bytes | None:
        """The bytes of a file that may hold events; None for any other."""
        if path not in self._data:
            try:
                data = path.read_bytes()
            except OSError:
                data = b""
            worth = len(data) <= _FOREIGN_LIMIT and _EVENT_WORDS.search(data) is not None
            self._data[path] = data if worth else None
        return self._data[path]

    def _load(self, path: Path) -> Value | None:
        if path not in self._files:
            self._files[path] = None  # a file that imports itself, by whatever way, finds nothing there
            self._files[path] = self._parse(path)
        return self._files[path]

    def _parse(self, path: Path) -> Value | None:
        data = self._read(path)
        if data is None:
            return Inert(path.stem)
        from loopguard.paths import shown
        from loopguard.source import Source, SourceError

        try:
            source = Source.from_bytes(data, shown(path), path)
            return FileValue(File(source, self, Tree(source.text)))
        except (TextError, SourceError):
            return None
