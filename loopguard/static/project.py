"""The files around the one that is checked: imports that stay within the project are followed there."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from loopguard.static.scope import File
from loopguard.static.syntax import SyntaxProblem, Tree
from loopguard.static.values import FileValue, Inert, Value

if TYPE_CHECKING:
    from loopguard.source import Source

_EVENT_WORDS = re.compile(rb"backward|zero_grad|\.step\b|\.grad\b|optim", re.IGNORECASE)
_FOREIGN_LIMIT = 1_000_000


class Project:
    """Finds and parses modules of the project, once each.

    `roots` are the folders that hold top-level packages and modules. A file that holds no word of any event is not
    parsed: whatever it defines is `Inert`.
    """

    def __init__(self, roots: Sequence[Path] = ()) -> None:
        self._roots = [*roots, *(root / "src" for root in roots)]
        self._files: dict[Path, Value | None] = {}
        self._places: dict[tuple[str, int, str], Value | None] = {}

    def find(self, module: str, level: int, importer: str) -> Value | None:
        """The project's module called `module`, seen from the file `importer`; None if it is not the project's.

        `level` counts the dots of a relative import.
        """
        folder = Path(importer).parent
        key = (module, level, str(folder))
        if key not in self._places:
            self._places[key] = self._search(module, level, folder)
        return self._places[key]

    def _search(self, module: str, level: int, folder: Path) -> Value | None:
        parts = module.split(".") if module else []
        if level:
            bases = [folder.joinpath(*[".."] * (level - 1))]
        else:
            bases = [folder, *self._roots]
        for base in bases:
            stem = base.joinpath(*parts)
            for path in (stem.with_suffix(".py") if parts else None, stem / "__init__.py"):
                if path is not None and path.is_file():
                    return self._load(path.resolve())
        return None

    def _load(self, path: Path) -> Value | None:
        if path not in self._files:
            self._files[path] = None
            self._files[path] = self._parse(path)
        return self._files[path]

    def _parse(self, path: Path) -> Value | None:
        from loopguard.source import SourceError, read

        try:
            data = path.read_bytes()
        except OSError:
            return None
        if len(data) > _FOREIGN_LIMIT:
            return None
        if _EVENT_WORDS.search(data) is None:
            return Inert(path.stem)
        try:
            source: Source = read(path)
            return FileValue(File(source, self, Tree(source.text)))
        except (SyntaxProblem, SourceError):
            return None
