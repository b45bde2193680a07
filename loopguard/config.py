"""One layer of configuration: a `pyproject.toml`, a `loopguard.toml`, or the command line.

Keys are ruff's. `extend` names a file whose settings come first; lists that start with `extend-` add up, the
others replace what they extend. Patterns are relative to the directory of the file that holds them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from loopguard.config_events import known_calls
from loopguard.errors import ConfigError, LoopguardError, UsageError, suggestion
from loopguard.knowledge import KnownCall
from loopguard.paths import absolute, shown

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

    None if the file is a `pyproject.toml` without the table. Raises `ConfigError`.
    """
    return _load(file, base, ())


def _load(file: Path, base: Path | None, seen: tuple[Path, ...]) -> list[Options] | None:
    if file in seen:
        raise ConfigError(f"{shown(file)}: `extend` leads back to this file")
    try:
        data = file.read_bytes()
    except OSError as error:
        raise ConfigError(f"{shown(file)}: cannot be read: {error.strerror}") from None
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
    layers: list[Options] = []
    if "extend" in table:
        target = absolute(file.parent / Path(os.path.expandvars(table["extend"])).expanduser())
        layers = _load(target, None, (*seen, file)) or []
    return [*layers, _options(file, base or file.parent, table)]


def _parse(file: Path, data: bytes) -> dict[str, Any]:
    import tomllib

    try:
        return tomllib.loads(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise ConfigError(f"{shown(file)}: is not UTF-8: {error.reason}") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{shown(file)}: is not valid TOML: {error}") from None


def _check(file: Path, table: Mapping[str, object]) -> None:
    for key, value in table.items():
        kind = _KEYS.get(key)
        if kind is None:
            raise ConfigError(f"{shown(file)}: unknown key `{key}`{suggestion(key, _KEYS)}")
        if kind == "table":
            if not (isinstance(value, dict) and all(_is(item, "strings") for item in value.values())):
                raise ConfigError(f"{shown(file)}: `{key}` must be {_TABLE}")
        elif kind == "events":
            known_calls(value, lambda message: ConfigError(f"{shown(file)}: {message}"))
        elif not _is(value, kind):
            raise ConfigError(f"{shown(file)}: `{key}` must be {_KINDS[kind]}")
    shape = table.get("output-format", "full")
    if shape not in FORMATS:
        near = suggestion(str(shape), FORMATS) or f"; it is one of {', '.join(FORMATS)}"
        raise ConfigError(f"{shown(file)}: unknown `output-format` `{shape}`{near}")


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
            value = tuple(absolute(file.parent / Path(folder).expanduser()) for folder in value)
        elif key == "events":
            value = known_calls(value, ConfigError)
        elif isinstance(value, list):
            value = tuple(value)
        if key != "extend":
            fields[key.replace("-", "_")] = value
    return Options(str(base), file, **fields)
