"""What a call does to gradients, told as data: what is known of libraries, and what a user says of code in-house.

A `KnownCall` names a call, and says which events it is, in which order, and on which of its arguments. The static
engine takes it for those events and reads no further, wherever the code behind it lies.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

ACTS = ("backward", "step", "clear", "clip", "unscale", "update", "schedule")
"""What a call may be said to do."""

RECEIVER = "self"
"""How the object is called that a method is called on."""

Argument = str | int
"""Which argument of a call: its name, its position from 0, or `RECEIVER`."""


class KnownCall(NamedTuple):
    """A call, and the events that it is.

    `call` is the dotted name of a function, of a method (`package.Class.method`) or of a class whose objects are
    called, or `.name` for a method of that name on anything; `receiver` narrows the latter to objects that are called
    so. `does` are some of `ACTS`, in their order. They are about the first of the arguments `on` that the call has,
    and a backward pass starts from the first of `loss`. With `when`, whatever follows the backward pass happens only
    if the argument of that name is true.
    """

    call: str
    does: tuple[str, ...]
    on: tuple[Argument, ...] = ()
    loss: tuple[Argument, ...] = ()
    when: tuple[str, ...] = ()
    receiver: re.Pattern[str] | None = None

    @property
    def name(self) -> str:
        """The last part of the name, by which the call shows in a text."""
        return self.call.rsplit(".", 1)[-1]


class Knowledge:
    """Known calls, to be looked up by name."""

    def __init__(self, calls: Iterable[KnownCall] = ()) -> None:
        self.calls = tuple(calls)
        self._by_name: dict[str, list[KnownCall]] = {}
        for item in self.calls:
            self._by_name.setdefault(item.name, []).append(item)
        names = "|".join(map(re.escape, sorted(self._by_name)))
        self._words = re.compile(rf"\b(?:{names})\b") if names else None
        self._bytes = re.compile(self._words.pattern.encode()) if self._words is not None else None

    def __bool__(self) -> bool:
        return bool(self.calls)

    def named(self, name: str) -> list[KnownCall]:
        """The calls whose names end in `name`."""
        return self._by_name.get(name, [])

    def method(self, name: str, receiver: str) -> KnownCall | None:
        """What is known of the method `name` of anything that is called `receiver`."""
        for item in self.named(name):
            if item.call == f".{name}" and (item.receiver is None or item.receiver.search(receiver)):
                return item
        return None

    def function(self, dotted: str) -> KnownCall | None:
        """What is known of the function, method or class with this dotted name."""
        return next((item for item in self.named(dotted.rsplit(".", 1)[-1]) if item.call == dotted), None)

    def mentioned_in(self, text: str) -> bool:
        """Whether a text holds the name of a known call."""
        return self._words is not None and self._words.search(text) is not None

    def mentioned_in_bytes(self, data: bytes) -> bool:
        """Whether a text that is not decoded yet holds the name of a known call."""
        return self._bytes is not None and self._bytes.search(data) is not None
