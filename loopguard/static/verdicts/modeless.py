"""Modules that surely compute the same in training and in evaluation: all that they are made of is known, and does."""

from __future__ import annotations

import re

from loopguard.lifecycles.mode import DEPENDS_ON_MODE
from loopguard.static.library import TORCH_FAMILY
from loopguard.static.lowering.objects import has_unread_base, mro
from loopguard.static.steps import spend
from loopguard.static.syntax import text_of
from loopguard.static.values import Class, Inert, Ref, Role, Thing

_ASKS_FOR_MODE = re.compile(r"dropout|\.training\b|\bdrop_?\w*\s*=", re.IGNORECASE)
_CONTAINERS = frozenset({"Sequential", "ModuleList", "ModuleDict"})
_ADAPTS = re.compile(r"Transformer")
"""Layers that drop something unless they are told not to."""

_CALLED = re.compile(r"\bself\.(\w+)(?:\[[^\[\]]*\])?\(")
_MADE = re.compile(r"\bself\.(\w+)\s*(?::[^=\n]{1,200})?=\s*(?:\w+\.)*([A-Z]\w*)\(\s*([^\s)]*)")
_BUILT = re.compile(r"(?<![\w.])(?:(\w+)\.)?(?:\w+\.)*([A-Z]\w*)\(")
_DEPTH = 6


def is_modeless(module: Thing) -> bool:
    """Whether a module, or one that it is a part of, surely has only one mode."""
    return any(_is_plain(thing, _DEPTH) for thing in (module, *module.owners()))


def is_unreadable(module: Thing) -> bool:
    """Whether a module comes from code that cannot be read, so that nothing is known of its modes."""
    outside = module.dotted.split(".")[0] not in TORCH_FAMILY
    return outside and module.cls is None and module.call is not None and module.role is Role.OPAQUE


def _is_plain(module: Thing, depth: int) -> bool:
    spend()
    if depth == 0:
        return False
    if module.cls is not None:
        return _is_plain_class(module.cls, depth)
    if module.call is None or module.role is not Role.MODULE:
        return False
    text = text_of(module.call)
    name = text_of(module.call.func).rsplit(".", 1)[-1]
    if name in _CONTAINERS:
        parts = [thing for thing in module.captured if thing.role is Role.MODULE]
        spend(len(parts))
        return bool(parts) and len(parts) == len(module.call.args) and all(_is_plain(part, depth - 1) for part in parts)
    return not (DEPENDS_ON_MODE.search(text) or _ADAPTS.search(text) or _ASKS_FOR_MODE.search(text))


def _is_plain_class(cls: Class, depth: int) -> bool:
    if depth not in cls.plain:
        cls.plain[depth] = _has_one_mode(cls, depth)
    return cls.plain[depth]


def _has_one_mode(cls: Class, depth: int) -> bool:
    if has_unread_base(cls):
        return False
    text = "\n".join(item.file.tree.source(item.node) for item in mro(cls))
    if _ASKS_FOR_MODE.search(text) or DEPENDS_ON_MODE.search(text) or _ADAPTS.search(text):
        return False
    made = {name: (layer, first) for name, layer, first in _MADE.findall(text)}
    methods = {name for item in mro(cls) for name in item.methods}
    if not made or any(name not in made and name not in methods for name in _CALLED.findall(text)):
        return False
    if any(layer in _CONTAINERS and first and first[0] not in "[*nO" for layer, first in made.values()):
        return False  # made of what somebody else has built
    return all(_is_plain_name(cls, package, name, depth) for package, name in _BUILT.findall(text) if name != cls.name)


def _is_plain_name(cls: Class, package: str, name: str, depth: int) -> bool:
    """Whether what a class calls `name`, perhaps in `package`, makes nothing with two modes."""
    found = cls.env.lookup(package or name)
    if package:
        return isinstance(found, Ref) and found.dotted.split(".")[0] == "torch"
    if isinstance(found, Class):
        return found is not cls and _is_plain_class(found, depth - 1) if depth > 1 else False
    if isinstance(found, Ref):
        return found.dotted.startswith("torch.")
    return found is None and not isinstance(found, Inert) and name.endswith(("Error", "Exception"))
