"""Records of the static engine: dataclasses that type checkers, and they alone, keep from being changed.

Python makes a dataclass that it freezes itself in twice the time, at each start, and fills it in three times the time,
for each value of a program that is analysed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeVar, dataclass_transform

_T = TypeVar("_T")


@dataclass_transform(frozen_default=True, eq_default=False, field_specifiers=(field,))
def record(kind: type[_T]) -> type[_T]:
    """A class of records, each equal to itself only."""
    return dataclass(slots=True, eq=False, repr=False)(kind)


@dataclass_transform(frozen_default=True, eq_default=True, field_specifiers=(field,))
def comparable(kind: type[_T]) -> type[_T]:
    """A class of records that are equal, and have the same hash, if all their fields are."""
    return dataclass(slots=True, unsafe_hash=True, repr=False)(kind)
