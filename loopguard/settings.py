"""The settings that hold for a file: the layers of its closest configuration file, then the command line.

A configuration may name folders of rules, and rules are code. They are run by consent alone: those of the project that
the command was started for, whose configuration is the closest to the current directory, or the one that `--config`
names. What else is found in a tree may say which rules are on, but not what is run.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path

from loopguard import config
from loopguard.config import Options
from loopguard.errors import ConfigError, LoopguardError, UsageError
from loopguard.globs import Globs
from loopguard.knowledge import Knowledge
from loopguard.paths import absolute, shown

_NAMES = """
    .bzr .direnv .eggs .git .git-rewrite .hg .ipynb_checkpoints .loopguard_cache .mypy_cache .nox .pants.d
    .pyenv .pytest_cache .pytype .ruff_cache .svn .tox .venv .vscode __pypackages__ _build buck-out dist
    node_modules site-packages venv
"""
DEFAULT_EXCLUDE = frozenset(_NAMES.split())
"""The names that are left out where no `exclude` is configured; ruff's, and that of our cache."""


class Settings:
    """The layers that hold for the files of some directories, the strongest last.

    `is_top` says that they are those of the command as a whole, `objection` why the rules in folders that they name
    are not run, `error` what is wrong with `file`: then the command line is the only layer.
    """

    def __init__(
        self,
        layers: tuple[Options, ...],
        file: Path | None = None,
        *,
        is_top: bool = False,
        objection: str | None = None,
        error: LoopguardError | None = None,
    ) -> None:
        self.layers = layers
        self.file = file
        self.is_top = is_top
        self.error = error
        self._objection = objection

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
    def named_folders(self) -> tuple[Path, ...]:
        """The folders of rules that the layers name."""
        return tuple(dict.fromkeys(folder for layer in self.layers for folder in layer.extend_rules))

    @property
    def rule_folders(self) -> tuple[Path, ...]:
        """The folders of the user's own rules, which may be run."""
        return self.named_folders if self._objection is None else ()

    @property
    def withheld(self) -> str | None:
        """Why rules that the layers name are not run, None if there are none or they are."""
        return self._objection if self.named_folders else None

    def must_know(self, layer: Options) -> bool:
        """Whether what a layer names must be a rule that is there.

        It may be one of those that are not run; and what the command line names may be there for other files.
        """
        return self.withheld is None and (layer.file is not None or self.is_top)

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

    `command_line` overrides them all. With `file` that one file holds for everything, with `isolated` none. With
    `runs_rules` the rules are run that there is consent to. `warn` gets a line about each file that cannot be read. One
    that makes no sense is the error of its settings, and is raised if they are those of the command as a whole.
    """

    def __init__(
        self,
        command_line: Options,
        file: Path | None = None,
        isolated: bool = False,
        *,
        runs_rules: bool = True,
        warn: Callable[[str], None] | None = None,
    ) -> None:
        self.command_line = command_line
        self._warn = warn
        self._unwanted = None if runs_rules else "rules are not run to show settings"
        self._found: dict[Path, Settings] = {}
        self._fixed: Settings | None = None
        if isolated:
            self._fixed = Settings((command_line,), is_top=True)
        elif file is not None:
            layers = (*self._named(file), command_line)
            self._fixed = Settings(layers, absolute(file), is_top=True, objection=self._unwanted)

    @cached_property
    def top(self) -> Settings:
        """The settings of the current directory, which decide what holds for the run as a whole.

        Raises `ConfigError` if they make no sense.
        """
        settings = self.settings(Path.cwd())
        if settings.error is not None:
            raise settings.error
        return settings

    def settings(self, directory: Path) -> Settings:
        """The settings of the files in `directory` (absolute)."""
        if self._fixed is not None:
            return self._fixed
        if not self._found:
            self._find(Path.cwd(), is_top=True)
        if directory not in self._found:
            self._find(directory, is_top=False)
        return self._found[directory]

    def all(self) -> Iterator[Settings]:
        """All settings that were found so far, each once."""
        yield from dict.fromkeys([self.top, *self._found.values()])

    @property
    def errors(self) -> list[LoopguardError]:
        """What is wrong with configurations that hold for a part of the tree only."""
        return [settings.error for settings in self.all() if settings.error is not None]

    def withheld(self) -> Iterator[str]:
        """A line about each file whose rules are not run, and how to consent to that."""
        for settings in self.all():
            if settings.withheld is not None and settings.file is not None:
                file = shown(settings.file)
                yield f"{file}: its `extend-rules` are not run: {settings.withheld} (`--config {file}` runs them)"

    def refuse(self, settings: Settings, error: LoopguardError) -> Settings:
        """Learn what is wrong with some settings. Returns what takes their place. Raises what is wrong with the top."""
        if settings.is_top:
            raise error
        refused = Settings((self.command_line,), settings.file, error=error)
        self._found = {folder: refused if one is settings else one for folder, one in self._found.items()}
        return refused

    def _find(self, directory: Path, *, is_top: bool) -> None:
        """Find the settings of a directory, which are those of the directories on the way to their file, too."""
        passed: list[Path] = []
        settings: Settings | None = None
        folder = directory
        while True:  # mostly, the next folder is known: `parents` would make all of them
            settings = self._found.get(folder) or self._in(folder, is_top)
            passed.append(folder)
            if settings is not None or folder == folder.parent:
                break
            folder = folder.parent
        self._found.update(dict.fromkeys(passed, settings or Settings((self.command_line,), is_top=is_top)))

    def _in(self, directory: Path, is_top: bool) -> Settings | None:
        """The settings that a file in a directory makes, if there is one."""
        for name in config.FILES:
            # Most directories have none. Nor has one that may not be entered, of which that is told elsewhere.
            if not os.path.lexists(f"{directory}{os.sep}{name}"):
                continue
            file = directory / name
            try:
                layers = config.load(file)
            except FileNotFoundError:
                continue
            except ConfigError as error:
                return Settings((self.command_line,), file, is_top=is_top, error=error)
            except OSError as error:
                if self._warn is not None:
                    self._warn(f"{shown(file)}: cannot be read, and is passed over: {error.strerror}")
                continue
            if layers is not None:
                objection = self._unwanted or (_objection(file) if is_top else "this command was started elsewhere")
                return Settings((*layers, self.command_line), file, is_top=is_top, objection=objection)
        return None

    def _named(self, file: Path) -> list[Options]:
        """The layers of a file that the command line names."""
        try:
            # As in ruff, patterns of a file that is named so are relative to the current directory.
            layers = config.load(absolute(file), Path.cwd())
        except FileNotFoundError:
            raise UsageError(f"--config: no such file: {shown(file)}") from None
        except OSError as error:
            raise UsageError(f"--config: {shown(file)}: cannot be read: {error.strerror}") from None
        if layers is None:
            raise UsageError(f"--config: {shown(file)} has no table `tool.loopguard`")
        return layers


def _objection(file: Path) -> str | None:
    """Why the rules that the closest file names are not run, None if there is consent to that.

    Whoever may write to a directory above, such as /tmp, could put a file there for all others: it must be the user's,
    the system's, or of whom the current directory is.
    """
    if not hasattr(os, "geteuid"):
        return None
    trusted = {0, os.geteuid(), Path.cwd().stat().st_uid}
    owners = {file.lstat().st_uid, file.stat().st_uid}
    return None if owners <= trusted else "this file is another user's"
