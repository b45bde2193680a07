"""A case: one mistake in one loop, with everything a rule needs to name it. Both engines make these."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum

from loopguard.events import Event, Kind, Moment, Reach, Related, Relation


@dataclass(frozen=True, slots=True)
class Case:
    """One mistake that an engine has proved, before a rule has named it.

    `mistake` is a member of one of the lifecycles' `Mistake` enumerations.
    `subject` names what it is about as the user wrote it (`optimizer`, `self.opt_d`, `loss`).
    `at` is the event that shows the mistake; its place is where the finding is reported.
    `trail` is the evidence, in the order in which it happens.
    `related` are the other events that bear on it. `facts` holds what a message may quote.
    A run also knows the `iterations` whose gradients are concerned, and the names of the `parameters`.
    """

    mistake: Enum
    subject: str
    at: Event
    trail: tuple[Moment, ...] = ()
    related: tuple[Related, ...] = ()
    facts: Mapping[str, str] = field(default_factory=dict)
    iterations: tuple[int, ...] = ()
    parameters: tuple[str, ...] = ()

    def events(self, kind: Kind, relation: Relation | None = None, reach: Reach | None = None) -> Iterator[Event]:
        """The related events of `kind`, narrowed by what they touch and by where they lie."""
        for item in self.related:
            if item.event.kind is kind and relation in (None, item.relation) and reach in (None, item.reach):
                yield item.event

    def has(self, kind: Kind, relation: Relation | None = None, reach: Reach | None = None) -> bool:
        """Whether there is such an event (see `events`)."""
        return next(self.events(kind, relation, reach), None) is not None
