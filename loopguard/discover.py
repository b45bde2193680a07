"""Paths to files: walks directories, without what is excluded or ignored by git, and never in circles."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from loopguard.errors import UsageError, suggestion
from loopguard.globs import Globs
from loopguard.paths import absolute, shown
from loopguard.reading import read_regular
from loopguard.settings import DEFAULT_EXCLUDE, Resolver, Settings

SUFFIXES = (".py", ".pyi", ".pyw", ".ipynb")


def discover(paths: Sequence[Path], resolver: Resolver, warn: Callable[[str], None]) -> list[Path]:
    """The files to check (absolute), each once, ordered.

    A file that is named is taken whatever its suffix, and in spite of patterns unless `force-exclude` is set. What lies
    below a configuration that makes no sense is left out. `warn` gets a line about each directory, and each file of
    patterns, that cannot be read. Raises `UsageError` for a path that does not exist.
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
        if path.is_dir():
            found.update(dict.fromkeys(walk.below(path)))
        elif resolver.settings(path.parent).error is None:
            found[path] = None
    return sorted(found)


class _Walk:
    """A walk through directories, each of which it enters once, by whatever name it gets there."""

    def __init__(self, resolver: Resolver, warn: Callable[[str], None]) -> None:
        self._resolver = resolver
        self._warn = warn

    def below(self, top: Path) -> Iterator[Path]:
        """The files below the directory `top`, in no order."""
        entered: set[tuple[int, int]] = set()
        directories = [(top, [globs.sparing(str(top)) for globs in self._ignored_above(top)])]
        # Links to directories come last: a file is reported by its own path where it has one in the tree.
        links: list[tuple[Path, list[Globs]]] = []
        while directories or links:
            directory, inherited = (directories or links).pop()
            settings = self._resolver.settings(directory)
            excludes = [globs.sparing(str(top)) for globs in settings.excludes]
            entries = self._entries(directory, entered)
            ignored = [*inherited, *self._ignore_file(directory)] if entries and settings.respect_gitignore else []
            for entry in entries:
                is_directory = _true(entry.is_dir)
                if not is_directory and not (entry.name.endswith(SUFFIXES) and _true(entry.is_file)):
                    continue
                if _excluded(entry.name, entry.path, is_directory, settings, excludes):
                    continue
                if _ignored(entry.path, is_directory, ignored):
                    continue
                if is_directory:
                    (links if entry.is_symlink() else directories).append((directory / entry.name, ignored))
                elif settings.error is None:
                    yield directory / entry.name

    def _entries(self, directory: Path, entered: set[tuple[int, int]]) -> list[os.DirEntry[str]]:
        """What is in a directory; nothing if it was entered before."""
        try:
            # By its own name in itself: it may be that it can be listed, but that nothing in it can be had.
            status = os.stat(f"{directory}{os.sep}.")  # noqa: PTH116 -- pathlib drops the dot
            identity = (status.st_dev, status.st_ino)
            entries = [] if identity in entered else list(os.scandir(directory))
        except OSError as error:
            self._warn(f"{shown(directory)}: cannot be read: {error.strerror}")
            return []
        entered.add(identity)
        return entries

    def _ignored_above(self, top: Path) -> list[Globs]:
        """The ignore files between the root of the git repository and `top`, outermost first."""
        above: list[Path] = []
        for directory in (top, *top.parents):
            if os.path.lexists(directory / ".git"):
                outer = [*above, directory] if directory != top else []
                exclude = self._patterns(directory, f".git{os.sep}info{os.sep}exclude")
                return [*exclude, *(globs for one in reversed(outer) for globs in self._ignore_file(one))]
            if directory != top:
                above.append(directory)
        return []

    def _ignore_file(self, directory: Path) -> list[Globs]:
        return self._patterns(directory, ".gitignore")

    def _patterns(self, directory: Path, name: str) -> list[Globs]:
        """The patterns in a file of a directory, which are relative to that."""
        if not os.path.lexists(f"{directory}{os.sep}{name}"):
            return []
        file = directory / name
        try:
            lines = read_regular(file).decode("utf-8-sig", "replace").split("\n")
        except FileNotFoundError:
            return []
        except OSError as error:
            self._warn(f"{shown(file)}: cannot be read, and is passed over: {error.strerror}")
            return []
        return [Globs(str(directory), lines)]


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
    is_directory = os.path.isdir(path)  # noqa: PTH112 -- pathlib raises an error where it may not look
    settings = resolver.settings(path if is_directory else path.parent)
    for one in (path, *path.parents):
        if one == settings.root:
            return False
        directory = one != path or is_directory
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


def _near(given: Path) -> str:
    try:
        return suggestion(given.name, os.listdir(given.parent))  # noqa: PTH208 -- names are wanted
    except OSError:
        return ""
