"""Which rules are on: selectors (a code, a prefix of codes, a name, or ALL) and how they override each other.

As in ruff, the more specific selector wins within one layer (`select = ["LG1"]`, `ignore = ["LG104"]`), and a
layer that has a `select` forgets what the layers below it selected.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from loopguard.errors import suggestion
from loopguard.lifecycles.source import Mistake
from loopguard.rule import Level

if TYPE_CHECKING:
    from loopguard.catalogue import Catalogue, Entry
    from loopguard.config import Options

ALL = "ALL"


def enabled(
    layers: Sequence[Options], catalogue: Catalogue, must_know: Callable[[Options], bool] = lambda layer: True
) -> frozenset[str]:
    """The codes of the rules that are on, the last of `layers` being the strongest.

    Raises what `resolve` raises.
    """
    on = default(catalogue)
    for layer in layers:
        if layer.select is not None:
            # A file that cannot be parsed is no clean file, whatever is selected; only an `ignore` hides it.
            on = {e.code for e in catalogue if Mistake.INVALID_SYNTAX in e.rule.mistakes}
        wanted = [("select", one) for one in layer.select or ()]
        wanted += [("extend-select", one) for one in layer.extend_select]
        wanted += [("ignore", one) for one in layer.ignore]
        for option, selector in sorted(wanted, key=lambda item: (_specificity(item[1]), item[0] == "ignore")):
            codes = resolve([selector], catalogue, option, layer, must_know)
            on = on - codes if option == "ignore" else on | codes
    return frozenset(on)


def default(catalogue: Catalogue) -> set[str]:
    """The codes that are on where nothing is configured: all but advice."""
    return {entry.code for entry in catalogue if entry.rule.level is not Level.ADVICE}


def resolve(
    selectors: Sequence[str], catalogue: Catalogue, option: str, layer: Options, must_know: Callable[[Options], bool]
) -> set[str]:
    """The codes that selectors stand for.

    Raises the layer's own error, `ConfigError` or `UsageError`, for one that selects nothing, where the layer must know
    what there is.
    """
    codes: set[str] = set()
    for selector in selectors:
        found = {entry.code for entry in catalogue if _matches(selector, entry)}
        if not found and must_know(layer):
            near = suggestion(selector, [key for entry in catalogue for key in (entry.code, entry.name)])
            raise layer.error(f"unknown rule `{selector}` in `{layer.option(option)}`{near}")
        codes |= found
    return codes


def _matches(selector: str, entry: Entry) -> bool:
    if selector in (ALL, entry.name):
        return True
    prefix = re.fullmatch(r"[A-Z]+\d*", selector) is not None and len(selector) >= len(entry.prefix)
    return prefix and entry.code.startswith(selector)


def _specificity(selector: str) -> int:
    if selector == ALL:
        return 0
    return len(selector) if selector.isupper() else 1000
