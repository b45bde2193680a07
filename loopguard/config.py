"""One layer of configuration: a `pyproject.toml`, a `loopguard.toml`, or the command line.

Keys are ruff's. `extend` names a file whose settings come first; lists that start with `extend-` add up, the
others replace what they extend. Patterns are relative to the directory of the file that holds them.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from loopguard.config_events import known_calls
from loopguard.errors import ConfigError, LoopguardError, UsageError, suggestion
from loopguard.globs import senseless
from loopguard.knowledge import KnownCall
from loopguard.paths import absolute, shown
from loopguard.reading import read_regular

FORMATS = ("full", "concise", "json", "json-lines", "github")
FILES = (".loopguard.toml", "loopguard.toml", "pyproject.toml")

_KEYS = {
    "extend": "string",
    "select": "strings",
    "ignore": "strings",
    "extend-select": "strings",
    "exclude": "strings",
    "extend-exclude": "strings",
    "extend-rules": "strings",
    "per-file-ignores": "table",
    "events": "events",
    "respect-gitignore": "flag",
    "force-exclude": "flag",
    "output-format": "string",
}
_KINDS = {"string": "a string", "strings": "a list of strings", "flag": "true or false"}
_TABLE = "a table that maps patterns to lists of strings"


class Options(NamedTuple):
    """What one layer says. None means that it says nothing.

    `base` is the directory that patterns are relative to, `file` where it says so (None: the command line).
    """

    base: str
    file: Path | None = None
    select: tuple[str, ...] | None = None
    ignore: tuple[str, ...] = ()
    extend_select: tuple[str, ...] = ()
    exclude: tuple[str, ...] | None = None
    extend_exclude: tuple[str, ...] = ()
    extend_rules: tuple[Path, ...] = ()
    per_file_ignores: Mapping[str, tuple[str, ...]] = MappingProxyType({})
    events: tuple[KnownCall, ...] = ()
    respect_gitignore: bool | None = None
    force_exclude: bool | None = None
    output_format: str | None = None

    def option(self, key: str) -> str:
        """How a key of this layer is called in messages."""
        return key if self.file else f"--{key}"

    def error(self, message: str) -> LoopguardError:
        """An error that names the layer."""
        return ConfigError(f"{shown(self.file)}: {message}") if self.file else UsageError(message)


def load(file: Path, base: Path | None = None) -> list[Options] | None:
    """The layers of a configuration file, the ones that it extends first.

    None if the file is a `pyproject.toml` without the table. Raises `OSError` if the file itself cannot be read, and
    `ConfigError` for whatever else is wrong with it or with one that it extends.
    """
    table = _table(file)
    if table is None:
        return None
    layers = [_options(file, base or file.parent, table)]
    seen = {os.path.realpath(file)}
    while "extend" in table:
        target = _path(file, "extend", os.path.expandvars(table["extend"]))
        if os.path.realpath(target) in seen:
            raise ConfigError(f"{shown(target)}: `extend` leads back to this file")
        seen.add(os.path.realpath(target))
        try:
            extended = _table(target) or {}
        except OSError as error:
            # By its name as it is written: the environment that is in it is nobody else's business.
            what = f"{table['extend']}: cannot be read: {error.strerror}"
            raise ConfigError(f"{shown(file)}: `extend`: {what}") from None
        file, table = target, extended
        layers.append(_options(file, file.parent, table))
    return layers[::-1]


def _table(file: Path) -> dict[str, Any] | None:
    """What a file says, None if it is a `pyproject.toml` that says nothing. Raises `OSError` and `ConfigError`."""
    data = read_regular(file)
    # The TOML parser is not even imported for somebody else's pyproject.toml.
    if file.name == "pyproject.toml" and b"loopguard" not in data:
        return None
    table = _parse(file, data)
    if file.name == "pyproject.toml":
        tool = table.get("tool")
        if not isinstance(tool, dict) or "loopguard" not in tool:
            return None
        table = tool["loopguard"]
        if not isinstance(table, dict):
            raise ConfigError(f"{shown(file)}: `tool.loopguard` must be a table")
    _check(file, table)
    return table


def _parse(file: Path, data: bytes) -> dict[str, Any]:
    import tomllib

    try:
        return tomllib.loads(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise ConfigError(f"{shown(file)}: is not UTF-8: {error.reason}") from None
    except RecursionError:
        raise ConfigError(f"{shown(file)}: is nested too deeply") from None
    except ValueError as error:  # of TOML, and of what is written in it: a number of too many digits
        raise ConfigError(f"{shown(file)}: is not valid TOML: {error}") from None


def _path(file: Path, key: str, written: str) -> Path:
    """The path that is `written` in a file."""
    if "\0" in written:
        raise ConfigError(f"{shown(file)}: `{key}` holds a null character")
    try:
        return absolute(file.parent / Path(written).expanduser())
    except RuntimeError:
        raise ConfigError(f"{shown(file)}: `{key}` begins with a home directory that is not there") from None


def _check(file: Path, table: Mapping[str, object]) -> None:
    for key, value in table.items():
        kind = _KEYS.get(key)
        if kind is None:
            raise ConfigError(f"{shown(file)}: unknown key `{key}`{suggestion(key, _KEYS)}")
        if kind == "table":
            if not (isinstance(value, dict) and all(_is(item, "strings") for item in value.values())):
                raise ConfigError(f"{shown(file)}: `{key}` must be {_TABLE}")
            _check_patterns(file, key, value)
        elif kind == "events":
            known_calls(value, lambda message: ConfigError(f"{shown(file)}: {message}"))
        elif not _is(value, kind):
            raise ConfigError(f"{shown(file)}: `{key}` must be {_KINDS[kind]}")
        elif key.endswith("exclude") and isinstance(value, list):
            _check_patterns(file, key, value)
    shape = table.get("output-format", "full")
    if shape not in FORMATS:
        near = suggestion(str(shape), FORMATS) or f"; it is one of {', '.join(FORMATS)}"
        raise ConfigError(f"{shown(file)}: unknown `output-format` `{shape}`{near}")


def _check_patterns(file: Path, key: str, patterns: Iterable[str]) -> None:
    wrong = senseless(patterns)
    if wrong is not None:
        raise ConfigError(f"{shown(file)}: `{wrong}` in `{key}` is no pattern")


def _is(value: object, kind: str) -> bool:
    if kind == "strings":
        return isinstance(value, list) and all(isinstance(item, str) for item in value)
    return isinstance(value, bool if kind == "flag" else str)


def _options(file: Path, base: Path, table: Mapping[str, Any]) -> Options:
    fields: dict[str, Any] = {}
    for key, value in table.items():
        if key == "per-file-ignores":
            value = {pattern: tuple(rules) for pattern, rules in value.items()}
        elif key == "extend-rules":
            value = tuple(_path(file, key, folder) for folder in value)
        elif key == "events":
            value = known_calls(value, ConfigError)
        elif isinstance(value, list):
            value = tuple(value)
        if key != "extend":
            fields[key.replace("-", "_")] = value
    return Options(str(base), file, **fields)
