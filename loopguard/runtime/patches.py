"""Patches of torch that can be put and taken away again at any time, and wherever that was cut off.

An interrupt may come between any two instructions. So nothing remembers that it has been done: each patch is compared
with what is there, and put or taken away where that is not what is wanted.
"""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

import loopguard

_Answer = TypeVar("_Answer")

HERE = f"{Path(loopguard.__file__).parent}/"


class Patch:
    """One function of torch, and what stands in its place while somebody listens.

    Whoever patches torch, too, may put back later what they have found, and so what stood in its place long ago. So all
    that ever did are known, and for each original there is but one.
    """

    def __init__(self, owner: Any, name: str, watch: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
        self.owner = owner
        self.name = name
        self._watch = watch
        self._made: list[tuple[Callable[..., Any], Callable[..., Any]]] = []
        self._original: Callable[..., Any] | None = None

    @property
    def is_there(self) -> bool:
        """Whether it is called: it stands in the place, or below what somebody else has put there on top of it."""
        function = vars(self.owner).get(self.name)
        while function is not None and self._replaced_by(function) is None:
            function = getattr(function, "__wrapped__", None)
        return function is not None

    @property
    def is_removed(self) -> bool:
        """Whether somebody else has put back what was there before."""
        return self._original is not None and vars(self.owner).get(self.name) is self._original

    def put(self) -> None:
        """See to it that it is there."""
        if not self.is_there:
            self._original = vars(self.owner)[self.name]
            setattr(self.owner, self.name, self._replacement_of(self._original))

    def take(self) -> None:
        """See to it that it is not, unless somebody else has put something on top of it."""
        original = self._replaced_by(vars(self.owner).get(self.name))
        if original is not None:
            setattr(self.owner, self.name, original)

    def _replacement_of(self, original: Callable[..., Any]) -> Callable[..., Any]:
        for known, replacement in self._made:
            if known is original:
                return replacement
        made: Callable[..., Any] = wraps(original)(self._watch(original))
        if made.__code__.co_filename.startswith(HERE):
            made = not_compiled(made)
        self._made.append((original, made))
        return made

    def _replaced_by(self, function: Any) -> Callable[..., Any] | None:
        """What a function stands for, if it was put there."""
        return next((original for original, made in self._made if made is function), None)


class Hook:
    """A global hook of torch, told by what it calls and not by a handle, which an interrupt may keep from us."""

    def __init__(self, table: MutableMapping[int, Any], hook: Callable[..., Any], register: Callable[..., Any]) -> None:
        self.name = hook.__name__.strip("_")
        self._table = table
        self._hook = hook
        self._register = register

    @property
    def is_there(self) -> bool:
        """Whether it is called."""
        return any(hook is self._hook for hook in [*self._table.values()])

    @property
    def is_removed(self) -> bool:
        """Whether somebody else has taken it away, asked where it should be there."""
        return not self.is_there

    def put(self) -> None:
        """See to it that it is."""
        if not self.is_there:
            self._register(self._hook)

    def take(self) -> None:
        """See to it that it is not."""
        for key, hook in [*self._table.items()]:
            if hook is self._hook:
                self._table.pop(key, None)


def not_compiled(function: Callable[..., _Answer]) -> Callable[..., _Answer]:
    """Mark a function for Dynamo, which calls it as it is and never looks inside."""
    function._torchdynamo_disable = True  # type: ignore[attr-defined]
    return function
