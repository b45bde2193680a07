"""The states of the gradient lifecycle, with what each action makes of them, without the cost of enumerations."""

from __future__ import annotations

from loopguard.lifecycles.gradient import TRANSITIONS, Action, Mistake, State


class Row:
    """A state of the lifecycle with what each action makes of it, without the cost of looking up enumerations."""

    __slots__ = ("backward", "clear", "other_step", "state", "step", "used")

    backward: tuple[Row, Mistake | None]
    clear: tuple[Row, Mistake | None]
    step: tuple[Row, Mistake | None]
    other_step: tuple[Row, Mistake | None]

    def __init__(self, state: State) -> None:
        self.state = state
        self.used = state in (State.SPENT, State.STALE)


ROWS = {state: Row(state) for state in State}
for _row in ROWS.values():
    for _action in (Action.BACKWARD, Action.CLEAR, Action.STEP, Action.OTHER_STEP):
        _next, _mistake = TRANSITIONS[_row.state, _action]
        setattr(_row, _action.name.lower(), (ROWS[_next], _mistake))

CLEAN, FRESH = ROWS[State.CLEAN], ROWS[State.FRESH]
