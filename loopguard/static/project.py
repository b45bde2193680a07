"""The files around the one that is checked: imports that stay within the project are followed there."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from loopguard.footprint import Absence, Footprint, Untraced
from loopguard.knowledge import Knowledge
from loopguard.static.bare.tree import quick_tree
from loopguard.static.imports import imports_in
from loopguard.static.outline import outline
from loopguard.static.scope import Defined, File, Names
from loopguard.static.syntax import TextError
from loopguard.static.training import Training
from loopguard.static.values import FileValue, Inert, Value
from loopguard.words import Words

if TYPE_CHECKING:
    from loopguard.source import Source

_EVENT_WORDS = Words(
    rb"backward|zero_grad|\.step\b|\.grad\b|[Oo]ptim|\.eval\(\)|\.train\(|set_epoch",
    *(b"optim", b"backward", b".step", b"Optim", b".eval()", b".train(", b".grad", b"zero_grad", b"set_epoch"),
)
Found = tuple[Path | None, Sequence[Absence]]
"""Where a module is, and where there is no such file."""


class Project:
    """Finds and parses modules of the project, once each.

    `roots` are the folders that hold top-level packages and modules. A file that holds no word of any event is not
    parsed: whatever it defines is `Inert`. `knowledge` is what a user says of calls. `size` is the number of characters
    that were parsed so far, `footprint` what was asked on behalf of whom.
    """

    def __init__(
        self, roots: Sequence[Path] = (), knowledge: Knowledge | None = None, footprint: Footprint | None = None
    ) -> None:
        self.knowledge = knowledge if knowledge is not None else Knowledge()
        self._roots = [str(folder) for folder in (*roots, *(root / "src" for root in roots))]
        self.footprint = footprint or Untraced()
        self.size = 0
        self._files: dict[Path, Value | None] = {}
        self._places: dict[tuple[str, int, str], Found] = {}
        self._rooted: dict[str, Found] = {}
        self._homes: dict[tuple[str, tuple[str, ...]], tuple[Sequence[str], Absence]] = {}
        self._asked: dict[tuple[str, int, str], Path | None] = {}
        self._eventful: dict[Path, bool] = {}
        self._leading: dict[Path, bool] = {}
        self._names: dict[Path, Names | None] = {}
        self._targets: dict[Path, list[Path]] = {}
        self.training = Training(self)
        self._opened: list[Names] = []

    def close(self) -> None:
        """Let go of all files. No project, and no file that it has found, is of use afterwards."""
        for file in self._opened:
            file.close()
        self._opened.clear()
        self._files.clear()
        self._names.clear()

    def find(self, module: str, level: int, importer: str) -> Value | None:
        """The project's module called `module`, seen from the file `importer`; None if it is not the project's.

        `level` counts the dots of a relative import.
        """
        path = self.place(module, level, importer)
        return self._load(path) if path is not None else None

    def may_hold_events(self, module: str, level: int, importer: str) -> bool:
        """Whether there is such a module, and its text holds words of events. Nothing is parsed."""
        path = self.place(module, level, importer)
        return path is not None and self.holds_events(path)

    def place(self, module: str, level: int, importer: str) -> Path | None:
        """Where the project's module called `module` is, seen from the file `importer`; None if there is none."""
        asked = (module, level, importer)
        if asked not in self._asked:
            key = (module, level, os.path.dirname(importer))  # noqa: PTH120 -- pathlib is slow, and there are many
            if key not in self._places:
                self._places[key] = self._search(*key)
            self._asked[asked], missing = self._places[key]
            self.footprint.asked(importer, self._asked[asked], missing)
        return self._asked[asked]

    def _search(self, module: str, level: int, folder: str) -> Found:
        """Where a module is, and where it was looked for in vain."""
        if level:
            return self._look(module, os.path.join(folder, *[".."] * (level - 1)))  # noqa: PTH118
        path, missing = self._look(module, folder)
        if path is not None:
            return path, missing
        # Most are in packages that are not of the project at all, wherever they are asked for.
        if module not in self._rooted:
            self._rooted[module] = self._look(module, *self._roots)
        path, further = self._rooted[module]
        return path, [*missing, *further]

    def _look(self, module: str, *bases: str) -> Found:
        """Look for a module in some folders, one after the other."""
        package, _, rest = module.partition(".")
        if not rest:
            return self._first([os.path.join(base, package) for base in bases] if package else list(bases), package)  # noqa: PTH118
        key = (package, bases)
        if key not in self._homes:
            self._homes[key] = self._homes_of(package, bases)
        homes, missing = self._homes[key]
        if not homes:
            return None, [missing]
        path, further = self._first([os.path.join(home, *rest.split(".")) for home in homes], rest)  # noqa: PTH118
        return path, [missing, *further]

    def _homes_of(self, package: str, bases: Sequence[str]) -> tuple[Sequence[str], Absence]:
        """The directories for a package in some folders, and that there is none in the others."""
        places = [os.path.join(base, package) for base in bases]  # noqa: PTH118
        homes = [place for place in places if self.footprint.folders.is_there(place)]
        missing = [os.path.join(place, "__init__.py") for place in places if place not in homes]  # noqa: PTH118
        return homes, self.footprint.absence(missing)

    def _first(self, stems: Sequence[str], name: str) -> Found:
        """The first module that there is of those with these paths; a package itself has no `name`."""
        missing: list[str] = []
        for stem in stems:
            for path in ([f"{stem}.py"] if name else []) + [os.path.join(stem, "__init__.py")]:  # noqa: PTH118
                if self.footprint.folders.hold(path):
                    return Path(path).resolve(), [self.footprint.absence(missing)]
                missing.append(path)
        return None, [self.footprint.absence(missing)]

    def holds_events(self, path: Path) -> bool:
        """Whether a file holds words of events."""
        if path not in self._eventful:
            data = self.text(path)
            self._eventful[path] = _EVENT_WORDS.search(data) is not None or self.knowledge.mentioned_in_bytes(data)
        return self._eventful[path]

    def _load(self, path: Path) -> Value | None:
        if path not in self._files:
            self._files[path] = None  # a file that imports itself, by whatever way, finds nothing there
            try:
                self._files[path] = self._parse(path)
            except RecursionError:
                del self._files[path]  # it is there for whoever comes by a shorter way
                raise
        return self._files[path]

    def _parse(self, path: Path) -> Value | None:
        if not self.holds_events(path):
            return Inert(path.stem, not self._leads_to_events(path), lambda name: self._passed_on(path, name))
        return self._open(path)

    def _passed_on(self, path: Path, name: str) -> Value | None:
        """What a file that holds no events has imported under `name`."""
        inner = self._beside(path, name)
        if inner is not None:
            return self._load(inner)
        if not any(item.attribute and item.name in ("*", name) for item in imports_in(self.text(path))):
            return None
        names = self._names_of(path)
        if names is not None and not isinstance(names.env.variables.get(name), Defined):
            return names.env.lookup(name)
        opened = self._open(path)
        return opened.file.env.lookup(name) if isinstance(opened, FileValue) else None

    def _names_of(self, path: Path) -> Names | None:
        """The names that a file without events binds, which needs no tree; None if Python would not read the file."""
        if path not in self._names:
            self._names[path] = None  # for circles, as in `_load`
            source = self._source(path)
            short = outline(source.text) if source is not None else None
            if source is not None and short is not None:
                names = self._names[path] = Names(source.path, self, short.bindings)
                self._opened.append(names)
        return self._names[path]

    def _beside(self, path: Path, name: str) -> Path | None:
        """The submodule `name` of the package whose `__init__.py` is at `path`."""
        if path.name != "__init__.py":
            return None
        return self.place(name, 1, str(path))

    def submodule(self, package: str, name: str) -> Value | None:
        """The submodule `name` of the package whose `__init__.py` is at `package`."""
        inner = self._beside(Path(package), name)
        return self._load(inner) if inner is not None else None

    def _leads_to_events(self, path: Path) -> bool:
        """Whether a file imports one of the project that may hold events, directly or through others."""
        way = [(path, self.targets_of(path))]
        seen = {path}
        while way and path not in self._leading:
            target = next(way[-1][1], None)
            if target is None:
                way.pop()
            elif self.holds_events(target) or self._leading.get(target, False):
                self._leading.update((file, True) for file, _ in way)
            elif target not in seen and target not in self._leading:
                seen.add(target)
                way.append((target, self.targets_of(target)))
        if path not in self._leading:
            self._leading.update((file, False) for file in seen)  # all that they lead to was looked at
        return self._leading[path]

    def targets_of(self, path: Path) -> Iterator[Path]:
        """The files of the project that a file imports."""
        if path in self._targets:
            yield from self._targets[path]
            return
        targets: list[Path] = []
        for target in self._imported_by(self.text(path), str(path)):
            if target != path:
                targets.append(target)
                yield target
        self._targets[path] = targets

    def _imported_by(self, data: bytes, importer: str) -> Iterator[Path]:
        """The files of the project that the imports in some bytes lead to, as far as no parse is needed for that."""
        for item in imports_in(data):
            for module in item.modules:
                target = self.place(module, item.level, importer) if module or item.level else None
                if target is not None:
                    yield target

    def text(self, path: Path) -> bytes:
        """The content of a file, nothing if it cannot be read."""
        return self.footprint.read(path)

    def _open(self, path: Path) -> Value | None:
        source = self._source(path)
        self.size += len(source.text) if source is not None else 0
        try:
            file = File(source, self, quick_tree(source.text)) if source is not None else None
        except TextError:
            return None
        if file is None:
            return None
        self._opened.append(file)
        return FileValue(file)

    def _source(self, path: Path) -> Source | None:
        from loopguard.paths import shown
        from loopguard.source import Source, SourceError

        try:
            return Source.from_bytes(self.text(path), shown(path), path)
        except SourceError:
            return None
