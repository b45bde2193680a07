"""The key `events` of a configuration: what the calls of an in-house framework do.

Each table holds

- `call`: the dotted name of a function, of a method, or of a class whose objects are called; `.name` is a method of
  that name on anything;
- `does`: the events that it is, in their order;
- `on`: the argument that they are about, by its name or its position from 0; "self" is what a method is called on. Of
  a list, the first that the call has counts;
- `loss`: the argument that a backward pass starts from, if that is known;
- `when`: the argument that must be true for whatever follows the backward pass, if there is one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from loopguard.errors import suggestion
from loopguard.knowledge import ACTS, RECEIVER, Argument, KnownCall

_KEYS = ("call", "does", "on", "loss", "when")
_CALL = re.compile(r"\.[^\W\d]\w*|[^\W\d]\w*(?:\.[^\W\d]\w*)+")

Refuse = Callable[[str], Exception]
"""Makes the error of a message."""


def known_calls(value: object, refuse: Refuse) -> tuple[KnownCall, ...]:
    """The calls that a value of the key `events` tells of. Raises what `refuse` makes of a mistake in it."""
    if not (isinstance(value, list) and all(isinstance(item, dict) for item in value)):
        raise refuse("`events` must be a list of tables")
    return tuple(_known_call(f"events[{number}]", item, refuse) for number, item in enumerate(value))


def _known_call(where: str, table: Mapping[str, Any], refuse: Refuse) -> KnownCall:
    for key in table:
        if key not in _KEYS:
            near = suggestion(key, _KEYS) or f"; it is one of {', '.join(_KEYS)}"
            raise refuse(f"unknown key `{key}` in `{where}`{near}")
    for key in ("call", "does"):
        if key not in table:
            raise refuse(f"`{where}` needs a `{key}`")
    call = table["call"]
    if not (isinstance(call, str) and _CALL.fullmatch(call)):
        raise refuse(f"`{where}.call` must be a dotted name, or a method's name behind a dot (`.update`)")
    does = _does(where, table["does"], refuse)
    loss = _arguments(where, "loss", table, refuse)
    if loss and "backward" not in does:
        raise refuse(f'`{where}.loss` goes with "backward" in `{where}.does`')
    on = _arguments(where, "on", table, refuse)
    if not on and call.startswith("."):
        on = (RECEIVER,)
    if not on and set(does) != {"backward"}:
        raise refuse(f"`{where}` needs an `on`: the argument that is stepped or cleared")
    when = table.get("when")
    if when is not None and not isinstance(when, str):
        raise refuse(f"`{where}.when` must be an argument's name")
    return KnownCall(call, does, on, loss, (when,) if when else ())


def _does(where: str, value: object, refuse: Refuse) -> tuple[str, ...]:
    words = value if isinstance(value, list) else [value]
    if not words or not all(isinstance(word, str) for word in words):
        raise refuse(f"`{where}.does` must be a list of events: {', '.join(ACTS)}")
    for word in words:
        if word not in ACTS:
            near = suggestion(str(word), ACTS) or f"; it is one of {', '.join(ACTS)}"
            raise refuse(f"unknown event `{word}` in `{where}.does`{near}")
    return tuple(words)


def _arguments(where: str, key: str, table: Mapping[str, Any], refuse: Refuse) -> tuple[Argument, ...]:
    if key not in table:
        return ()
    value = table[key]
    items = value if isinstance(value, list) else [value]
    named = all(isinstance(item, str) and item.isidentifier() for item in items if not _is_position(item))
    if not items or not named:
        raise refuse(f"`{where}.{key}` must be an argument's name, its position from 0, or a list of these")
    return tuple(items)


def _is_position(value: object) -> bool:
    return type(value) is int and value >= 0


def described(item: KnownCall) -> Mapping[str, object]:
    """A known call as it would be configured."""
    table: dict[str, object] = {"call": item.call, "does": list(item.does)}
    for key, given in (("on", item.on), ("loss", item.loss)):
        if given:
            table[key] = given[0] if len(given) == 1 else list(given)
    if item.when:
        table["when"] = item.when[0]
    return table
