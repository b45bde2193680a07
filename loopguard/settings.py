"""The settings that hold for a file: the layers of its closest configuration file, then the command line."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

from loopguard import config
from loopguard.config import Options
from loopguard.errors import UsageError
from loopguard.globs import Globs
from loopguard.knowledge import Knowledge
from loopguard.paths import absolute, shown

_NAMES = """
    .bzr .direnv .eggs .git .git-rewrite .hg .ipynb_checkpoints .mypy_cache .nox .pants.d .pyenv .pytest_cache
    .pytype .ruff_cache .svn .tox .venv .vscode __pypackages__ _build buck-out dist node_modules site-packages
    venv
"""
DEFAULT_EXCLUDE = frozenset(_NAMES.split())
"""The names that are left out where no `exclude` is configured; ruff's."""


class Settings:
    """The layers that hold for the files of some directories, the strongest last."""

    def __init__(self, layers: tuple[Options, ...], file: Path | None = None) -> None:
        self.layers = layers
        self.file = file

    @property
    def root(self) -> Path:
        """The directory of the project: that of the configuration file, else the current one."""
        return self.file.parent if self.file else Path.cwd()

    @property
    def force_exclude(self) -> bool:
        """Whether files named on the command line can be excluded, too."""
        return next((x.force_exclude for x in reversed(self.layers) if x.force_exclude is not None), False)

    @property
    def respect_gitignore(self) -> bool:
        """Whether what git ignores is left out of a walk."""
        given = (x.respect_gitignore for x in reversed(self.layers) if x.respect_gitignore is not None)
        return next(given, True)

    @property
    def output_format(self) -> str:
        """The name of the renderer."""
        return next((x.output_format for x in reversed(self.layers) if x.output_format is not None), "full")

    @cached_property
    def rule_folders(self) -> tuple[Path, ...]:
        """The folders of the user's own rules."""
        return tuple(dict.fromkeys(folder for layer in self.layers for folder in layer.extend_rules))

    @cached_property
    def knowledge(self) -> Knowledge:
        """What is said of an in-house framework, what is closest to a file first."""
        return Knowledge(item for layer in reversed(self.layers) for item in layer.events)

    @property
    def selects(self) -> bool:
        """Whether any layer says which rules are on, if only that none is (what it names must be checked to exist)."""
        return any(x.select is not None or x.ignore or x.extend_select or x.per_file_ignores for x in self.layers)

    @cached_property
    def excludes(self) -> tuple[Globs, ...]:
        """The patterns of what is left out. Default names are not among them (see `excludes_defaults`)."""
        replaced = [x for x in self.layers if x.exclude is not None]
        given = [Globs(x.base, x.exclude or ()) for x in replaced[-1:]]
        given += [Globs(x.base, x.extend_exclude) for x in self.layers if x.extend_exclude]
        return tuple(given)

    @cached_property
    def excludes_defaults(self) -> bool:
        """Whether the default names are left out, which an `exclude` of the user's replaces."""
        return all(x.exclude is None for x in self.layers)

    @cached_property
    def ignores(self) -> tuple[tuple[Globs, bool, Options, tuple[str, ...]], ...]:
        """`per-file-ignores`: patterns, whether they are negated (`!tests/*`), their layer, and selectors."""
        return tuple(
            (Globs(layer.base, [pattern.removeprefix("!")]), pattern.startswith("!"), layer, rules)
            for layer in self.layers
            for pattern, rules in layer.per_file_ignores.items()
        )


class Resolver:
    """Finds the settings of a directory: those of the closest configuration file above it.

    `command_line` overrides them all. With `file` that one file holds for everything, with `isolated` none.
    Raises `ConfigError` and `UsageError`.
    """

    def __init__(self, command_line: Options, file: Path | None = None, isolated: bool = False) -> None:
        self.command_line = command_line
        self._found: dict[Path, Settings] = {}
        self._fixed: Settings | None = None
        if isolated:
            self._fixed = self._settings((), None)
        elif file is not None:
            if not file.is_file():
                raise UsageError(f"--config: no such file: {shown(file)}")
            # As in ruff, patterns of a file that is named so are relative to the current directory.
            layers = config.load(absolute(file), Path.cwd())
            if layers is None:
                raise UsageError(f"--config: {shown(file)} has no table `tool.loopguard`")
            self._fixed = self._settings(tuple(layers), absolute(file))

    @cached_property
    def top(self) -> Settings:
        """The settings of the current directory, which decide what holds for the run as a whole."""
        return self.settings(Path.cwd())

    def settings(self, directory: Path) -> Settings:
        """The settings of the files in `directory` (absolute)."""
        if self._fixed:
            return self._fixed
        if directory not in self._found:
            self._found[directory] = self._closest(directory)
        return self._found[directory]

    def all(self) -> Iterator[Settings]:
        """All settings that were found so far, each once."""
        yield from dict.fromkeys([self.top, *self._found.values()])

    def _closest(self, directory: Path) -> Settings:
        for name in config.FILES:
            file = directory / name
            layers = config.load(file) if file.is_file() else None
            if layers is not None:
                return self._settings(tuple(layers), file)
        if directory.parent == directory:
            return self._settings((), None)
        return self.settings(directory.parent)

    def _settings(self, layers: tuple[Options, ...], file: Path | None) -> Settings:
        return Settings((*layers, self.command_line), file)
