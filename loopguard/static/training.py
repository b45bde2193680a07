"""Which files and definitions of a project may train, as their texts say: they name an event, or lead to what does.

Nothing is parsed. A wrong yes costs time, a wrong no a finding: where a text does not say what a name is, the answer
is that of its whole file.
"""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from loopguard.static.imports import Imported, imports_in
from loopguard.static.syntax import code_of
from loopguard.words import Words

if TYPE_CHECKING:
    from loopguard.static.project import Project

BACKWARD = r"backward(?:\b|(?!_(?:pre_)?hook)(?!\w*?backward)\w*+\s*+\()"
"""A backward pass, or a call of what is named after one: `backward_step(loss)`, no `ctx.backward_cache`, no hook."""
_STEP = r"\.step\b(?!\s*[-+*/%<>=!:}\]]|\((?:\s*[\w.\[\]]+\s*,){2}\s*[\w.\[\]]+\s*[,)])"
"""A step, no number of one: `self.step += 1`, `self.step % 10`. It takes a closure, that of a schedule a metric and an
epoch. With more arguments, another thing is meant: `scheduler.step(noise, time, sample)` samples from a diffusion
model."""
TRAINING = rf"zero_grad|{_STEP}|loss_scaler"
"""What code that trains names, besides a backward pass."""
_PLAIN = "backward", ".step", "zero_grad", "loss_scaler"
STRICT = Words(rf"{BACKWARD}|{TRAINING}", *_PLAIN)
"""What code that trains names."""
_STRICT_BYTES = Words(STRICT.pattern.encode(), *(word.encode() for word in _PLAIN))

_FAR = 4
"""How far away a call may lead to training: a file counts two, the `__init__.py` of a package one."""

_DEFINITION = re.compile(
    r"^(?P<indent>[ \t]*)(?:async[ \t]+def|def|class)[ \t]+(?P<name>\w+)"
    r"|^(?P<variable>\w+)[ \t]*(?::[^=\n]*)?=(?!=)",
    re.MULTILINE,
)
_WORD = re.compile(r"[A-Za-z_]\w*")


class Training:
    """Answers for the files of `project`, each question once."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._files: dict[tuple[Path, int], bool] = {}
        self._texts: dict[Path, Definitions] = {}
        self._names: dict[tuple[Path, int], set[str]] = {}

    def in_file(self, path: Path, far: int = _FAR) -> bool:
        """Whether a file may train, or call what does."""
        if (path, far) not in self._files:
            left = _left(path, far)
            self._files[path, far] = self._trains(path) or (
                left > 0 and any(self.in_file(target, left) for target in self._project.targets_of(path))
            )
        return self._files[path, far]

    def _trains(self, path: Path) -> bool:
        """Whether a file itself names what code that trains does."""
        if not self._project.holds_events(path):
            return False
        data = self._project.text(path)
        return _STRICT_BYTES.search(data) is not None or self._project.knowledge.mentioned_in_bytes(data)

    def in_definition(self, path: Path, name: str, far: int = _FAR) -> bool:
        """Whether what a file calls `name` may train, or call what does."""
        if not self.in_file(path, far):
            return False
        return name in self._training_names(path, far) or name not in self._texts[path].known

    def in_import(self, item: Imported, importer: str, far: int = _FAR) -> bool:
        """Whether what the file `importer` imports may train, or call what does."""
        path = self._project.place(item.module, item.level, importer)
        if item.attribute in ("", "*"):
            return path is not None and self.in_file(path, far)
        inner = self._project.place(item.submodule, item.level, importer)
        if inner is not None:
            return self.in_file(inner, far)
        return path is not None and self.in_definition(path, item.attribute, far)

    def in_imports(self, text: str, importer: str) -> bool:
        """Whether anything may train that the text of the file `importer` imports."""
        return any(self.in_import(item, importer) for item in imports_in(text.encode()))

    def _training_names(self, path: Path, far: int) -> set[str]:
        """Which names of a file may train."""
        if (path, far) not in self._names:
            if path not in self._texts:
                self._texts[path] = Definitions(self._project.text(path), self._project)
            text, left = self._texts[path], _left(path, far)
            names = self._names[path, far] = set(text.training)
            names |= {item.name for item in text.imports if left > 0 and self.in_import(item, str(path), left)}
            spread(names, text.words)
        return self._names[path, far]


class Definitions:
    """What a text defines and imports, and which of that trains by itself.

    `words` says by the names of definitions which other ones that are `known` they mention or hold.
    """

    def __init__(self, data: bytes, project: Project) -> None:
        self.imports = list(imports_in(data))
        self.training: set[str] = set()
        self.words: dict[str, set[str]] = {}
        parts = _parts(code_of(data.decode("utf-8", "replace")))
        self.known = {*(name for name, _, _ in parts), *(item.name for item in self.imports)}
        for name, part, inner in parts:
            if STRICT.search(part) or project.knowledge.mentioned_in(part):
                self.training.add(name)
            self.words.setdefault(name, set()).update(inner, self.known.intersection(_WORD.findall(part)))


def _left(path: Path, far: int) -> int:
    return far - (1 if path.name == "__init__.py" else 2)


def _parts(code: str) -> list[tuple[str, str, set[str]]]:
    """The definitions in a text: their names, what stands from one to the next, and the names of those within.

    What follows the last definition within another one is taken for a part of that, to which the outer one leads.
    """
    found = list(_DEFINITION.finditer(code))
    starts = [*(_decorated(code, match.start()) if match["name"] else match.start() for match in found), len(code)]
    around: list[tuple[int, set[str]]] = []
    parts: list[tuple[str, str, set[str]]] = []
    for match, (start, end) in zip(found, pairwise(starts), strict=True):
        indent, name, inner = len(match["indent"] or ""), match["name"] or match["variable"], set[str]()
        while around and around[-1][0] >= indent:
            around.pop()
        for _, names in around:
            names.add(name)
        if match["name"]:
            around.append((indent, inner))
        parts.append((name, code[start:end], inner))
    return parts


def _decorated(code: str, start: int) -> int:
    """Where the decorators begin that stand above the definition at `start`."""
    while start:
        above = code.rfind("\n", 0, start - 1) + 1
        if not code[above:start].lstrip(" \t").startswith("@"):
            break
        start = above
    return start


def spread(names: set[str], words: dict[str, set[str]]) -> None:
    """Add to `names` those of which the `words` lead to one of them, directly or through each other."""
    users: dict[str, list[str]] = {}
    for name, used in words.items():
        for word in used:
            if word in words or word in names:
                users.setdefault(word, []).append(name)
    todo = list(names)
    while todo:
        fresh = [name for name in users.pop(todo.pop(), ()) if name not in names]
        names.update(fresh)
        todo += fresh
