"""Passes: forward passes of modules that are trained, where nothing is learned from them.

A hook on every call of every module would slow all of them down. So forward passes are looked at for a few calls after
a block of the user's begins in which autograd records nothing, and only the first times that this block is run and
now and then.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from types import CodeType, FrameType
from weakref import ref

import torch
from torch import nn

from loopguard.events import Kind
from loopguard.lifecycles.mode import TRANSITIONS, Action, Mistake, State
from loopguard.runtime.docket import OFTEN, Docket
from loopguard.runtime.entries import Entry
from loopguard.runtime.modes import Modes, holds, state_of
from loopguard.runtime.progress import Progress
from loopguard.runtime.sites import Site, Sites
from loopguard.runtime.verdicts import modes as verdicts
from loopguard.runtime.verdicts.telling import History

_SEVERAL = 2
"""How many forward passes from one line make a pass over data."""

_PATIENCE = 4096
"""How many calls of modules are looked at in one look, at most."""

_WITHIN = ("`torch.no_grad()`", "`torch.inference_mode()`")


@dataclass(slots=True)
class Pass:
    """Forward passes of one module from one line, in a row: at which moment, how many, and in which mode.

    `chosen`: a module was switched to training since the last step; `switched_back`: where, if from evaluation.
    """

    module: ref[nn.Module]
    site: Site
    moment: int
    state: State
    records: bool
    chosen: bool
    switched_back: Site | None
    times: int = 0


class Passes:
    """Looks at forward passes. `found` is the pass over data that the last look has come upon."""

    def __init__(
        self,
        history: History,
        docket: Docket,
        sites: Sites,
        progress: Progress,
        modes: Modes,
        clock: Callable[[], int],
    ) -> None:
        self.found: Pass | None = None
        self._history = history
        self._docket = docket
        self._sites = sites
        self._now = progress
        self._modes = modes
        self._clock = clock
        # Code objects are held, so that their ids stay theirs.
        self._blocks: dict[tuple[int, int], tuple[int, CodeType]] = {}
        self._passes: dict[tuple[int, Site], Pass] = {}
        self._inner: set[int] = set()
        self._evaluation: verdicts.Evaluation | None = None
        self._evaluated = -1
        self._left = 0
        self._unrecorded: tuple[int, str] | None = None

    def recording_stops(self, frame: FrameType) -> bool:
        """A block begins in which nothing is recorded, in `frame`. Whether to look at the forward passes in it."""
        if not self._history.accounts or not self._sites.is_users(frame.f_code):
            return False
        key = id(frame.f_code), frame.f_lasti
        times = self._blocks.get(key, (0,))[0] + 1
        self._blocks[key] = times, frame.f_code
        # At powers of two, and the time after: a pass over data may have a block for each batch.
        is_rare = times > OFTEN and times & (times - 1) and (times - 1) & (times - 2)
        if is_rare and not self._modes.awaits_a_pass:
            return False
        self._begin()
        return True

    def evaluates(self, evaluation: verdicts.Evaluation) -> bool:
        """A module has been switched to evaluation. Whether to look at its forward passes."""
        if not self._docket.judges(Mistake.BUILDS_GRAPH, evaluation.switch.site):
            return False
        self._evaluation, self._evaluated = evaluation, self._clock()
        self._begin()
        return True

    def look(self, module: nn.Module, frame: FrameType) -> bool:
        """A module is called. Whether to look at the calls that follow, too."""
        records = torch.is_grad_enabled()
        wanted = self._evaluation.module() if self._evaluation is not None else None
        wanted = wanted if self._evaluated == self._clock() else None
        self._left -= 1
        if not self._left or (records and wanted is None):
            return False
        if id(module) in self._inner or (records and module is not wanted):
            return True
        self._inner.update(id(part) for part in module.modules() if part is not module)
        if not any(holds(account, module) for account in self._history.accounts.values()):
            return True
        moment = self._clock()
        if not records:
            self._unrecorded = moment, _WITHIN[torch.is_inference_mode_enabled()]
            self._modes.passed_unrecorded(module)
        site = self._sites.at(Kind.FORWARD, frame)
        known = self._passes.get((id(module), site))
        if known is None or known.moment != moment or known.module() is not module or known.records != records:
            chosen = self._modes.chosen == moment
            back = self._modes.switched_back if chosen else None
            known = Pass(ref(module), site, moment, state_of(module), records, chosen, back)
            self._passes[id(module), site] = known
        known.times += 1
        if known.times == _SEVERAL:
            self.found = known
        return True

    def judge(self, frame: FrameType) -> bool:
        """Judge the pass that was found. Whether it is another one that may be wrong."""
        found, self.found = self.found, None
        module = found.module() if found is not None else None
        if found is None or module is None or found.state is not state_of(module):
            return True
        mistake: Enum | None = Mistake.BUILDS_GRAPH
        if not found.records:
            _, mistake = TRANSITIONS[found.state, Action.VALIDATE]
        elif found.state is not State.EVAL:
            mistake = None
        if mistake is None:
            return False
        entry = Entry(found.site, self._now.iteration, self._now.events)
        evaluation = self._evaluation if found.records else None
        return not self._docket.ask(
            (-1, mistake, found.site),
            lambda: verdicts.over_data(
                evaluation,
                module,
                entry,
                found.chosen,
                found.switched_back,
                self._history,
                self._sites.user_frames(frame),
            ),
            frame,
        )

    def off(self) -> str:
        """What has switched recording off in the forward pass that was just made, as far as that is known."""
        if not torch.is_grad_enabled():
            return _WITHIN[torch.is_inference_mode_enabled()]
        if self._unrecorded is not None and self._unrecorded[0] == self._clock():
            return self._unrecorded[1]
        return ""

    def _begin(self) -> None:
        self._inner.clear()
        self._left = _PATIENCE
