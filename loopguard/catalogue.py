"""The catalogue: finds rule files, loads each by its path, and lets the rules name a case.

Ours lie in `loopguard/rules` (in a wheel) or in `rules` beside the package (in a checkout); a user's own lie
in the folders of `extend-rules`. The file's name is the rule's name: `missing_zero_grad.py` is
`missing-zero-grad`.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import CodeType, ModuleType

from loopguard.case import Case
from loopguard.errors import RuleError, UsageError, suggestion
from loopguard.finding import Finding
from loopguard.paths import shown
from loopguard.rule import Level, Rule

_CODE = re.compile(r"[A-Z]+[0-9]+")
_PARTS: dict[str, type | tuple[type, ...]] = {
    "code": str,
    "level": Level,
    "engines": str,
    "mistakes": frozenset,
    "bad": tuple,
    "good": tuple,
}


class Entry:
    """A rule with its name, its page and its file."""

    def __init__(self, rule: Rule, file: Path, page: str) -> None:
        self.rule = rule
        self.file = file
        self.page = page
        self.code = rule.code
        self.name = file.stem.replace("_", "-")
        self.level = rule.level.value

    @property
    def prefix(self) -> str:
        """The letters of the code."""
        return self.code.rstrip("0123456789")

    @property
    def url(self) -> str | None:
        """Where to read more: the first reference of the page."""
        references = self.page.partition("## References")[2]
        found = re.search(r"https?://[^\s)>]+", references)
        return found[0] if found else None


class Catalogue:
    """All rules, ordered by code. Raises `RuleError` if two of them share a code or a name."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        self._by_key: dict[str, Entry] = {}
        # Ours come last: of two that collide, the user's is the one to change.
        for entry in reversed(entries):
            for key in (entry.code, entry.name):
                other = self._by_key.setdefault(key, entry)
                if other is not entry:
                    raise RuleError(f"{shown(entry.file)}: `{key}` is taken by {shown(other.file)}")
        # A user's rule may explain what one of ours would explain: the user's is asked first.
        self._asked = entries
        self._sorted = sorted(entries, key=lambda entry: entry.code)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._sorted)

    def get(self, key: str) -> Entry | None:
        """The entry with this code or name."""
        return self._by_key.get(key)

    def find(self, key: str) -> Entry:
        """The entry with this code or name. Raises `UsageError` with a suggestion."""
        entry = self.get(key)
        if entry is None:
            raise UsageError(f"unknown rule `{key}`{suggestion(key, self._by_key)}")
        return entry

    def judge(self, case: Case) -> Finding | None:
        """The finding of the first rule that explains the case, None if no rule does."""
        for entry in self._asked:
            if case.mistake in entry.rule.mistakes:
                message = entry.rule.explain(case)
                if message is not None:
                    advice = entry.rule.advise(case)
                    return Finding(
                        entry.code,
                        entry.name,
                        entry.level,
                        message,
                        advice,
                        case.at.place,
                        case.trail,
                        case.iterations,
                        case.parameters,
                        entry.url,
                    )
        return None


@cache
def load(folders: tuple[Path, ...] = ()) -> Catalogue:
    """The catalogue of our rules and those in `folders`, which come first. Raises `RuleError`."""
    entries: list[Entry] = []
    own = _own_folder()
    for number, folder in enumerate([*folders, own]):
        if not folder.is_dir():
            raise RuleError(f"no such folder of rules: {shown(folder)}")
        files = sorted(file for file in folder.glob("*.py") if not file.name.startswith("_"))
        loader = SourceFileLoader if folder == own else _AsItIsNow
        entries += [_entry(file, f"_loopguard_rules_{number}_{file.stem}", loader) for file in files]
    return Catalogue(entries)


def _own_folder() -> Path:
    package = Path(__file__).parent
    candidates = (package / "rules", package.parent / "rules")
    return next((folder for folder in candidates if folder.is_dir()), candidates[0])


def _entry(file: Path, module_name: str, loader: type[SourceFileLoader]) -> Entry:
    module = _load_module(file, module_name, loader)
    rules = [value for value in vars(module).values() if _is_own_rule(value, module_name)]
    if len(rules) != 1:
        raise RuleError(f"{shown(file)}: a rule file holds one subclass of `Rule`, this one {len(rules)}")
    for part, kind in _PARTS.items():
        if not isinstance(getattr(rules[0], part, None), kind):
            raise RuleError(f"{shown(file)}: the rule's `{part}` is missing or has the wrong type")
    if not _CODE.fullmatch(rules[0].code):
        raise RuleError(f"{shown(file)}: a code is capital letters and digits, not `{rules[0].code}`")
    return Entry(rules[0](), file, module.__doc__ or "")


def _is_own_rule(value: object, module_name: str) -> bool:
    return isinstance(value, type) and issubclass(value, Rule) and value.__module__ == module_name


class _AsItIsNow(SourceFileLoader):
    """Loads a file as it is now.

    Python takes byte code for current if the size and the second of the last change are the same.
    """

    def get_code(self, fullname: str) -> CodeType:
        """The code of the module, compiled anew."""
        code: CodeType = self.source_to_code(self.get_data(self.path), self.path)
        return code


def _load_module(file: Path, name: str, loader: type[SourceFileLoader]) -> ModuleType:
    spec = spec_from_file_location(name, file, loader=loader(name, str(file)))
    assert spec is not None and spec.loader is not None  # it was made from a path and a loader
    module = module_from_spec(spec)
    # Dataclasses and enumerations of the file look their module up there.
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except SyntaxError as error:
        raise RuleError(f"{shown(file)}:{error.lineno or 1}: {error.msg}") from error
    except (Exception, SystemExit) as error:
        row = _row_in(file, error)
        raise RuleError(f"{shown(file)}:{row}: {type(error).__name__}: {error}") from error
    return module


def _row_in(file: Path, error: BaseException) -> int:
    """The last row of `file` on the way to the error."""
    row, trace = 1, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == str(file):
            row = trace.tb_lineno
        trace = trace.tb_next
    return row
