"""Sites: the places in the user's program where events happen, found through the frames of the stack.

A site is a call as written and the calls that led to it. Finding the site of an event again costs a few
lookups by the identity of code objects; its source is read only when there is something to tell.
"""

from __future__ import annotations

import sys
import sysconfig
from functools import cached_property
from itertools import islice
from pathlib import Path
from types import CodeType, FrameType

import torch

import loopguard
from loopguard.events import Event, Kind, Place
from loopguard.lifecycles.scaling import Action
from loopguard.runtime.program import Loop, Program, Span, lambda_body, program

_USER, _LIBRARY, _MACHINERY = range(3)

_DEPTH = 3
"""How many frames of the user's tell one site from another."""

_MACHINERY_FOLDERS = tuple(f"{Path(str(module.__file__)).parent}/" for module in (torch, loopguard))

# An environment may build on others, and a user may have packages beside those of the machine.
_INSTALLED = [folder for folder in sys.path if Path(folder).name in ("site-packages", "dist-packages")]
_STANDARD = [sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib")]
_LIBRARY_FOLDERS = tuple(f"{folder}/" for folder in (*_STANDARD, *_INSTALLED))

_Call = tuple[CodeType, int]
"""A call on the stack: the code, and the offset of the instruction."""


class Site:
    """One call in the user's program that makes events of one kind, and the calls that lead to it."""

    def __init__(
        self, number: int, kind: Kind, calls: tuple[_Call, ...], frames: tuple[_Call, ...] = (), known: int = 1
    ) -> None:
        self.number = number
        self.known = known  # so many of the calls are always the same, the others as they were the first time
        self.kind = kind
        self.visits = 0
        self.loss: Action | None = None  # of what kind the loss of its last backward pass was, if that is known
        self.calls = calls
        self.frames = frames  # those that tell it from other sites, the user's or not
        self._span = _span(*calls[0])
        self.program = _program(*calls[0])

    @cached_property
    def place(self) -> Place:
        """Where the call is written."""
        return self.program.place(self._span)

    @cached_property
    def text(self) -> str:
        """The call as written."""
        return self.program.text(self._span)

    @property
    def row(self) -> int:
        """The row of the call."""
        return self._span[0]

    @cached_property
    def loops(self) -> tuple[Loop, ...]:
        """The loops around the call and around the calls that lead to it, outermost first."""
        found: list[Loop] = []
        for code, offset in reversed(self.calls):
            found += _program(code, offset).loops(_span(code, offset)[0])
        return tuple(found)

    @cached_property
    def ways(self) -> tuple[tuple[Program, int], ...]:
        """The files and rows of the call and of the calls that lead to it, innermost first."""
        return tuple((_program(code, offset), _span(code, offset)[0]) for code, offset in self.calls)

    def event(self, subject: str) -> Event:
        """The event as both engines tell it."""
        when = tuple(f"`{gate.text}` is {'true' if gate.truth else 'false'}" for gate in self.program.gates(self.row))
        return Event(self.kind, subject, self.place, self.text, when)


class Sites:
    """All sites of a run."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, ...], Site] = {}
        self._kinds: dict[int, int] = {}
        # Code objects are compared by their content, which takes long; held here, their ids stay theirs.
        self._held: list[CodeType] = []
        self.all: list[Site] = []
        self.depth = 0

    def at(self, kind: Kind, frame: FrameType) -> Site:
        """The site of an event of `kind` that `frame` has led to, `depth` frames up; -1 if that is not the user's."""
        found: FrameType | None = frame
        kinds = self._kinds
        self.depth = 0
        while found is not None:
            code = found.f_code
            sort = kinds.get(id(code))
            if sort is None:
                sort = self._classify(code)
            if sort == _USER:
                break
            found = found.f_back
            self.depth += 1
        else:
            found = self._outside(frame)
            self.depth = -1
        key = [id(kind)]
        up: FrameType | None = found
        for _ in range(_DEPTH):
            if up is None:
                break
            key += (id(up.f_code), up.f_lasti)
            up = up.f_back
        site = self._known.get(tuple(key))
        if site is None:
            site = self._new(kind, found, tuple(key))
        return site

    def frame_of(self, frame: FrameType) -> FrameType:
        """The innermost frame of the user's program."""
        found: FrameType | None = frame
        while found is not None:
            if self._sort(found.f_code) == _USER:
                return found
            found = found.f_back
        return self._outside(frame)

    def is_users(self, code: CodeType) -> bool:
        """Whether some code is a part of the user's program."""
        return self._sort(code) == _USER

    def user_frames(self, frame: FrameType) -> list[FrameType]:
        """The frames of the user's program on the stack, innermost first."""
        found = []
        up: FrameType | None = frame
        while up is not None:
            if self._sort(up.f_code) == _USER:
                found.append(up)
            up = up.f_back
        return found

    def _outside(self, frame: FrameType) -> FrameType:
        """Where nothing of the stack is the user's: the innermost frame that is neither torch's nor ours."""
        up: FrameType | None = frame
        while up is not None:
            if self._sort(up.f_code) == _LIBRARY:
                return up
            up = up.f_back
        return frame

    def _new(self, kind: Kind, frame: FrameType, key: tuple[int, ...]) -> Site:
        calls = [(frame.f_code, frame.f_lasti)]
        calls += [(up.f_code, up.f_lasti) for up in self.user_frames(frame) if up is not frame]
        for code, _ in calls:
            self._sort(code)
        # The codes in the key must live as long as the key.
        frames = []
        up: FrameType | None = frame
        known = 0
        for _ in range(_DEPTH):
            if up is not None:
                known += up is frame or self._sort(up.f_code) == _USER
                frames.append((up.f_code, up.f_lasti))
                up = up.f_back
        site = Site(len(self.all), kind, tuple(calls), tuple(frames), known)
        self._known[key] = site
        self.all.append(site)
        return site

    def _sort(self, code: CodeType) -> int:
        sort = self._kinds.get(id(code))
        return self._classify(code) if sort is None else sort

    def _classify(self, code: CodeType) -> int:
        name = code.co_filename
        if name.startswith(_MACHINERY_FOLDERS):
            sort = _MACHINERY
        elif name.startswith(_LIBRARY_FOLDERS) or name.startswith("<frozen"):
            sort = _LIBRARY
        else:
            sort = _USER
        self._held.append(code)
        self._kinds[id(code)] = sort
        return sort


def is_nested(owner: object, frame: FrameType) -> bool:
    """Whether the method that `frame` is of is going on further up the stack, too, for the same owner."""
    up = frame.f_back
    while up is not None:
        if up.f_code is frame.f_code and up.f_locals.get("self") is owner:
            return True
        up = up.f_back
    return False


def caller(depth: int = 1) -> FrameType:
    """The frame that called the function that asks, or one further up."""
    return sys._getframe(depth + 1)


def _program(code: CodeType, offset: int) -> Program:
    """The file of an instruction, as it is seen from there."""
    inner = code.co_name == "<lambda>"
    return lambda_body(code.co_filename, _span(code, offset)) if inner else program(code.co_filename)


def _span(code: CodeType, offset: int) -> Span:
    """Rows and columns of an instruction; a whole row where the columns are not known."""
    row, end_row, column, end_column = next(islice(code.co_positions(), offset // 2, None), (None,) * 4)
    row = row if row is not None else code.co_firstlineno
    return row, end_row if end_row is not None else row, column or 0, end_column or 0
