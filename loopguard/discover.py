"""Paths to files: walks directories, without what is excluded or ignored by git, and never in circles."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from loopguard.errors import UsageError, suggestion
from loopguard.globs import Globs
from loopguard.paths import absolute, shown
from loopguard.settings import DEFAULT_EXCLUDE, Resolver, Settings

SUFFIXES = (".py", ".pyi", ".pyw", ".ipynb")


def discover(paths: Sequence[Path], resolver: Resolver, warn: Callable[[str], None]) -> list[Path]:
    """The files to check (absolute), each once, ordered.

    A file that is named is taken whatever its suffix, and in spite of patterns unless `force-exclude` is set.
    `warn` gets a line about each directory that cannot be read. Raises `UsageError` for a path that does not
    exist.
    """
    found: dict[Path, None] = {}
    walk = _Walk(resolver, warn)
    for given in paths:
        path = absolute(given)
        try:
            path.stat()
        except OSError as error:
            raise UsageError(f"{given}: {error.strerror}{_near(given)}") from None
        if resolver.top.force_exclude and excluded(path, resolver):
            continue
        found.update(dict.fromkeys(walk.below(path) if path.is_dir() else [path]))
    return sorted(found)


class _Walk:
    """A walk through directories, each of which it enters once, by whatever name it gets there."""

    def __init__(self, resolver: Resolver, warn: Callable[[str], None]) -> None:
        self._resolver = resolver
        self._warn = warn

    def below(self, top: Path) -> Iterator[Path]:
        """The files below the directory `top`, in no order."""
        entered: set[tuple[int, int]] = set()
        directories = [(top, [globs.sparing(str(top)) for globs in _ignored_above(top)])]
        # Links to directories come last: a file is reported by its own path where it has one in the tree.
        links: list[tuple[Path, list[Globs]]] = []
        while directories or links:
            directory, inherited = (directories or links).pop()
            settings = self._resolver.settings(directory)
            ignored = [*inherited, *_ignore_file(directory)] if settings.respect_gitignore else []
            excludes = [globs.sparing(str(top)) for globs in settings.excludes]
            for entry in self._entries(directory, entered):
                is_directory = _true(entry.is_dir)
                if not is_directory and not (entry.name.endswith(SUFFIXES) and _true(entry.is_file)):
                    continue
                if _excluded(entry.name, entry.path, is_directory, settings, excludes):
                    continue
                if _ignored(entry.path, is_directory, ignored):
                    continue
                if is_directory:
                    (links if entry.is_symlink() else directories).append((Path(entry.path), ignored))
                else:
                    yield Path(entry.path)

    def _entries(self, directory: Path, entered: set[tuple[int, int]]) -> list[os.DirEntry[str]]:
        """What is in a directory; nothing if it was entered before."""
        try:
            status = directory.stat()
            identity = (status.st_dev, status.st_ino)
            entries = [] if identity in entered else list(os.scandir(directory))
        except OSError as error:
            self._warn(f"{shown(directory)}: cannot be read: {error.strerror}")
            return []
        entered.add(identity)
        return entries


def _true(question: Callable[[], bool]) -> bool:
    """The answer, or False for a link that leads nowhere or to itself."""
    try:
        return question()
    except OSError:
        return False


def _excluded(name: str, path: str, directory: bool, settings: Settings, excludes: Iterable[Globs]) -> bool:
    if settings.excludes_defaults and name in DEFAULT_EXCLUDE:
        return True
    return any(globs.verdict(path, directory) for globs in excludes)


def excluded(path: Path, resolver: Resolver) -> bool:
    """Whether `path` (absolute) or a directory above it, within the project, is excluded."""
    settings = resolver.settings(path if path.is_dir() else path.parent)
    for one in (path, *path.parents):
        if one == settings.root:
            return False
        directory = one != path or path.is_dir()
        if _excluded(one.name, str(one), directory, settings, settings.excludes):
            return True
    return False


def _ignored(path: str, directory: bool, ignored: Sequence[Globs]) -> bool:
    """What the closest `.gitignore` with an opinion says."""
    for globs in reversed(ignored):
        verdict = globs.verdict(path, directory)
        if verdict is not None:
            return verdict
    return False


def _ignored_above(top: Path) -> list[Globs]:
    """The ignore files between the root of the git repository and `top`, outermost first."""
    above: list[Path] = []
    for directory in (top, *top.parents):
        if (directory / ".git").exists():
            outer = [*above, directory] if directory != top else []
            exclude = Globs(str(directory), _lines(directory / ".git" / "info" / "exclude"))
            return [exclude, *(globs for one in reversed(outer) for globs in _ignore_file(one))]
        if directory != top:
            above.append(directory)
    return []


def _ignore_file(directory: Path) -> list[Globs]:
    lines = _lines(directory / ".gitignore")
    return [Globs(str(directory), lines)] if lines else []


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text("utf-8", "replace").splitlines()
    except OSError:
        return []


def _near(given: Path) -> str:
    try:
        return suggestion(given.name, os.listdir(given.parent))  # noqa: PTH208 -- names are wanted
    except OSError:
        return ""
