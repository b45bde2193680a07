"""Clips: whether one bounds anything, and whether it is about the gradients of a subject."""

from __future__ import annotations

from loopguard.events import Kind, Relation
from loopguard.static.paths.effects import Effects
from loopguard.static.paths.graph import FlowGraph, Happening, Loop
from loopguard.static.wording import Wording

_MEASURES = Wording(r"\binf\b|1e\+?[5-9]|1e\+?\d\d")
"""A bound that nothing exceeds: the call is there for the norm that it returns."""


def clips_of(graph: FlowGraph, where: Loop | None = None) -> list[Happening]:
    """The clips that bound something, all or those within a loop."""
    return [event for event in graph.events(Kind.CLIP, where=where) if not _MEASURES.search(event.text)]


def concerns(graph: FlowGraph, effects: Effects, clip: Happening) -> bool:
    """Whether a clip is surely about the subject: it holds what is clipped, or it is all that steps here."""
    relation = effects.relation(clip)
    if relation is Relation.UNKNOWN:
        return len(graph.targets(Kind.STEP)) == 1
    return relation is not Relation.OTHER
