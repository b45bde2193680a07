"""Jupyter notebooks: code cells to one text that parses, line for line.

Formats 3 and 4 are read (https://nbformat.readthedocs.io/en/latest/format_description.html). What only
IPython understands (`%matplotlib inline`, `!pip install x`, `model?`, a cell `ls data`) becomes a statement that does
nothing (https://ipython.readthedocs.io/en/stable/interactive/reference.html).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from loopguard.errors import SourceError

# Cell magics whose body is Python and runs in the notebook's own namespace.
_PYTHON_MAGICS = frozenset({"capture", "prun", "pypy", "python", "python3", "time", "timeit"})

_CELL_MAGIC = re.compile(r"\s*%%(\w*)")
_LINE_MAGIC = re.compile(r"(\s*)(?:[%!?/;,].*|%?[\w.*]+\?{1,2}\s*)$")
_ASSIGNED_MAGIC = re.compile(r"([^=#'\"]+=\s*)[%!](?!=)")
# What IPython takes for a magic without a percent sign, where it is all that is in a cell ("automagic").
_AUTOMAGIC = re.compile(
    r"\s*(?:alias|alias_magic|autoawait|autocall|automagic|bookmark|cat|cd|clear|code_wrap|colors|conda|config|cp|debug|dhist"
    r"|dirs|doctest_mode|ed(?:it)?|env|gui|hist|history|ldir|less|l[fklsx]|load|load_ext|loadpy|logstart|macro|magic|mamba|man"
    r"|matplotlib|micromamba|mkdir|more|mv|notebook|page|pastebin|pdb|p(?:def|doc|file|info2?|search|source)|pip|popd|pprint"
    r"|precision|prun|pushd|pwd|pycat|pylab|quickref|recall|reload_ext|rep|rerun|reset|reset_selective|rm|rmdir|run|save|sc"
    r"|set_env|sx|system|tb|time|timeit|unalias|unload_ext|uv|who|who_ls|whos|xdel|xmode)"
    r"[ \t]+(?![=,(:]|[-+*/%&|^@<>!]{1,2}=)\S"
)
_PIECE = re.compile(r"""\"{3}|'{3}|"(?:\\.|[^"\\])*+"?|'(?:\\.|[^'\\])*+'?|\#.*|[(\[{]|[)\]}]|\\$""")
_END_OF = {quote: re.compile(rf"(?:\\.|[^\\])*?{quote}") for quote in ('"""', "'''")}


@dataclass(frozen=True, slots=True)
class Cell:
    """A code cell: its number among all cells (from 1), the row of the text at which it starts, its lines."""

    number: int
    start: int
    lines: tuple[str, ...]


def read(data: bytes) -> tuple[list[Cell], str]:
    """The code cells of a notebook, and one text of them all. Raises `SourceError`."""
    cells: list[Cell] = []
    rows: list[str] = []
    for number, text in _code_cells(_load(data)):
        # JSON may hold lone surrogates, which are in no valid program.
        clean = text.encode("utf-8", "replace").decode().replace("\r\n", "\n").replace("\r", "\n")
        lines = clean.removesuffix("\n").split("\n")
        cells.append(Cell(number, len(rows) + 1, tuple(lines)))
        rows += neutralise(lines)
    return cells, "\n".join([*rows, ""]) if rows else ""


def neutralise(lines: Sequence[str]) -> list[str]:
    """The lines of a cell, with whatever only IPython understands replaced, and as many of them."""
    first = next((line for line in lines if line.strip()), "")
    magic = _CELL_MAGIC.match(first)
    if magic and magic[1] not in _PYTHON_MAGICS:
        return [""] * len(lines)
    if len(lines) == 1 and _AUTOMAGIC.match(first):
        return ["pass"]
    result: list[str] = []
    depth, quote, continued, in_magic = 0, "", False, False
    for line in lines:
        plain = depth <= 0 and not quote and not continued
        harmless = _replacement(line) if plain else None
        if in_magic or harmless is not None:
            result.append("" if in_magic else str(harmless))
            in_magic = line.endswith("\\")
            continue
        result.append(line)
        depth, quote, continued = _scan(line, max(depth, 0), quote)
    return result


def _replacement(line: str) -> str | None:
    found = _LINE_MAGIC.match(line)
    if found:
        return f"{found[1]}pass"
    found = _ASSIGNED_MAGIC.match(line)
    return f"{found[1]}None" if found else None


def _scan(line: str, depth: int, quote: str) -> tuple[int, str, bool]:
    """The bracket depth, the open triple quote and whether a backslash continues the line, after `line`."""
    position = 0
    while True:
        if quote:
            end = _END_OF[quote].match(line, position)
            if not end:
                return depth, quote, False
            position, quote = end.end(), ""
        piece = _PIECE.search(line, position)
        if not piece:
            return depth, "", False
        position = piece.end()
        if piece[0] in _END_OF:
            quote = piece[0]
        elif piece[0] == "\\":
            return depth, "", True
        else:
            depth += (piece[0] in "([{") - (piece[0] in ")]}")


def _load(data: bytes) -> dict[str, object]:
    try:
        content = json.loads(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise SourceError(f"not a notebook: {error.reason}") from None
    except json.JSONDecodeError as error:
        raise SourceError(f"not a notebook: invalid JSON: {error.msg}", error.lineno, error.colno) from None
    except (ValueError, RecursionError) as error:
        raise SourceError(f"not a notebook: invalid JSON: {error}") from None
    if not isinstance(content, dict):
        raise SourceError("not a notebook: the JSON is no object")
    return content


def _code_cells(content: dict[str, object]) -> Iterator[tuple[int, str]]:
    """The number and the text of each code cell; cells are numbered over all cells, as ruff does."""
    if _language(content) not in ("", "python", "python3", "ipython"):
        return
    cells = content.get("cells")
    if cells is None and isinstance(content.get("worksheets"), list):
        sheets = [sheet for sheet in _list(content["worksheets"]) if isinstance(sheet, dict)]
        cells = [cell for sheet in sheets for cell in _list(sheet.get("cells", []))]
    for number, cell in enumerate(_list(cells), start=1):
        if isinstance(cell, dict) and cell.get("cell_type") == "code":
            text = cell.get("source", cell.get("input", ""))
            parts = [text] if isinstance(text, str) else _list(text)
            yield number, "".join(part for part in parts if isinstance(part, str))


def _list(value: object) -> list[object]:
    if not isinstance(value, list):
        raise SourceError("not a notebook: it has no list of cells")
    return value


def _language(content: dict[str, object]) -> str:
    metadata = content.get("metadata")
    for key, name in (("language_info", "name"), ("kernelspec", "language")):
        info = metadata.get(key) if isinstance(metadata, dict) else None
        language = info.get(name) if isinstance(info, dict) else None
        if isinstance(language, str):
            return language.lower()
    return ""
