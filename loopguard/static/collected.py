"""What collections hold: tuples, lists and dicts of known elements, which may share them, and hold each other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from loopguard.static.steps import spend
from loopguard.static.values import Group, Table, Value

_MANY = 32


def leaves(value: Value | None, *, tables: bool = True) -> Iterator[Value]:
    """A value, or the elements of a collection at any depth, each once however often it is shared.

    Without `tables`, dicts are elements like others.
    """
    todo: list[Value | None] = [value]
    seen: set[int] = set()
    while todo:
        spend()
        item = todo.pop()
        if item is None or id(item) in seen:
            continue
        seen.add(id(item))
        if isinstance(item, Group):
            todo += reversed(item.items)
        elif isinstance(item, Table) and tables:
            todo += reversed(item.items.values())
        else:
            yield item


def add(group: Group, values: Iterable[Value]) -> None:
    """Append to a group. Past a bound only what is new is kept, and never the group itself, which would have no end."""
    more = list(values)
    spend(len(more))
    for value in more:
        if isinstance(value, Group | Table) and (value is group or group in collections_in(value)):
            group.open = True
        elif len(group.items) < _MANY:
            group.items.append(value)
        elif not _has(group, value):
            group.items.append(value)
            group.open = True


def _has(group: Group, value: Value) -> bool:
    """Whether a value is an element of a group, which nothing ever leaves."""
    group.known.update(map(id, group.items[group.counted :]))
    group.counted = len(group.items)
    return id(value) in group.known


def extended(items: list[Value], more: Sequence[Value]) -> bool:
    """Append to what becomes a group, as `add` does. Returns whether that is open then."""
    group = Group(items)
    add(group, more)
    return group.open


def collections_in(value: Value) -> list[Group | Table]:
    """A collection and those within it, at any depth."""
    return list(_collections_in(value, Group | Table))


def groups_in(group: Group) -> list[Group]:
    """A group, and those that are elements of it, at any depth."""
    return [item for item in _collections_in(group, Group) if isinstance(item, Group)]


def _collections_in(value: Value, kinds: Any) -> Iterator[Group | Table]:
    seen: set[int] = set()
    todo: list[Value] = [value]
    while todo:
        spend()
        item = todo.pop()
        if isinstance(item, kinds) and id(item) not in seen:
            seen.add(id(item))
            yield item
            todo += item.items if isinstance(item, Group) else item.items.values()
