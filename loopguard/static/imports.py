"""The imports in a text, found without a parse: more than the text holds, if some stand in strings."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

_IMPORT = re.compile(
    rb"^[ \t]*(?:from[ \t]++(?P<dots>\.*+)(?P<module>[\w.]*+)[ \t]++import[ \t]*(?P<names>\([^()]*\)|[^\n]*)"
    rb"|import[ \t]+(?P<plain>[\w.][^\n;#]*))",
    re.MULTILINE,
)
_REMARK = re.compile(rb"#[^\n]*")
_NAME = re.compile(rb"([\w.]+|\*)(?:\s+as\s+(\w+))?")


class Imported(NamedTuple):
    """What an import binds: `name` to `attribute` of `module`, or to a module, if `attribute` is empty.

    `level` counts the dots of a relative import. The attribute of a star import is "*", and so is its name.
    """

    name: str
    module: str
    level: int = 0
    attribute: str = ""

    @property
    def submodule(self) -> str:
        """The module that `attribute` may be."""
        return f"{self.module}.{self.attribute}" if self.module else self.attribute

    @property
    def modules(self) -> tuple[str, ...]:
        """The modules that this may lead to."""
        return (self.module, self.submodule) if self.attribute else (self.module,)


def imports_in(data: bytes) -> Iterator[Imported]:
    """What imports anywhere in some bytes bind, in the order of the text."""
    for found in _IMPORT.finditer(data):
        names = found["plain"] or found["names"] or b""
        for name, bound in _NAME.findall(_REMARK.sub(b"", names) if b"#" in names else names):
            word, alias = name.decode("utf-8", "replace"), bound.decode("utf-8", "replace")
            if found["plain"]:
                yield Imported(alias or word.partition(".")[0], word)
            else:
                module = (found["module"] or b"").decode("utf-8", "replace")
                yield Imported(alias or word, module, len(found["dots"] or b""), word)
