"""Mistakes that are in the text itself, before any event happens."""

from __future__ import annotations

from enum import Enum


class Mistake(Enum):
    """What is wrong with the text."""

    INVALID_SYNTAX = "the file cannot be parsed"
    UNCALLED = "a method is named, not called"
    UNUSED_IGNORE = "a suppression that suppresses nothing"
