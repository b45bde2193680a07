"""Clips: whether one bounds anything, and whether it is about the gradients of a subject."""

from __future__ import annotations

import re

from loopguard.events import Kind, Relation
from loopguard.static.paths.effects import Effects
from loopguard.static.paths.graph import FlowGraph, Happening

_MEASURES = re.compile(r"\binf\b|1e\+?[5-9]|1e\+?\d\d")
"""A bound that nothing exceeds: the call is there for the norm that it returns."""


def clips_of(graph: FlowGraph) -> list[Happening]:
    """The clips that bound something."""
    if Kind.CLIP not in graph.kinds:
        return []
    return [event for event in graph.events() if event.kind is Kind.CLIP and not _MEASURES.search(event.text)]


def concerns(graph: FlowGraph, effects: Effects, clip: Happening) -> bool:
    """Whether a clip is surely about the subject: it holds what is clipped, or it is all that steps here."""
    relation = effects.relation(clip)
    if relation is Relation.UNKNOWN:
        return len({event.target for event in graph.events() if event.kind is Kind.STEP}) == 1
    return relation is not Relation.OTHER
