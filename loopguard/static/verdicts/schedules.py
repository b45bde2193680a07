"""Learning-rate schedules on a graph: moved too early, never, too rarely, too often, or without what they ask for."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache

import libcst as cst

from loopguard.case import Case
from loopguard.events import Kind
from loopguard.lifecycles import schedule
from loopguard.lifecycles.schedule import Mistake
from loopguard.static.paths.graph import FlowGraph, Happening, Loop
from loopguard.static.paths.guards import behind, between, guard_keys, innermost
from loopguard.static.scope import File
from loopguard.static.syntax import text_of
from loopguard.static.values import Role, Thing, things_in
from loopguard.static.verdicts.courses import case_of

_TORCH = "torch.optim.lr_scheduler."
_KNOWN = re.compile(r"^(?:torch\.optim\.(?:lr_scheduler|swa_utils)\.|transformers\.)")
_HARMLESS = r"(?:state_dict|load_state_dict|get_last_lr|get_lr|last_epoch|base_lrs|print_lr|optimizer)\b"
_USE = re.compile(rf"(?<![\w.])([^\W\d]\w*+)(?!\s*=[^=])(?!\.{_HARMLESS})")
_EPOCHS = re.compile(r"epoch|_ep\b|^\d{1,3}$", re.IGNORECASE)
_STEPS = re.compile(r"len\(|iter|batch|step|\*|num_train", re.IGNORECASE)
_STEPPERS = re.compile(r"step|train|fit|learn|optimi[sz]e|update|epoch|run|call|closure", re.IGNORECASE)
"""What unknown code is called that may step an optimizer."""
_MANY = 1_000


def schedule_cases(file: File, graph: FlowGraph) -> Iterator[Case]:
    """The cases about learning-rate schedules on `graph`."""
    if Kind.SCHEDULE not in graph.kinds and not graph.kinds >= {Kind.BUILD, Kind.STEP}:
        return
    seen: set[tuple[Mistake, object]] = set()
    for move in graph.events(Kind.SCHEDULE):
        for mistake, told, facts in _of(graph, move):
            key = (mistake, move.site.node)
            case = case_of(file, mistake, _name(move), move, told, loop=innermost(move), facts=facts)
            if case is not None and key not in seen:
                seen.add(key)
                yield case
    yield from _never(file, graph)


def _name(event: Happening) -> str:
    return event.target.label if isinstance(event.target, Thing) else "scheduler"


_Told = tuple[Mistake, list[Happening], dict[str, str]]


def _of(graph: FlowGraph, move: Happening) -> Iterator[_Told]:
    thing = move.target
    call = move.site.node
    if not isinstance(thing, Thing) or not isinstance(call, cst.Call):
        return
    name = thing.dotted.rsplit(".", 1)[-1]
    if name == "ReduceLROnPlateau" and thing.dotted.startswith(_TORCH):
        if not call.args:
            yield Mistake.NO_METRIC, [move], {}
        return
    if _is_early(graph, move):
        yield Mistake.BEFORE_OPTIMIZER, [move, behind(graph.events(Kind.STEP), move.number)[0]], {}
        return
    period = _period(thing)
    if name in schedule.PER_BATCH and _is_per_epoch(graph, move) and _counts_batches(thing, name):
        yield Mistake.PER_EPOCH, [move], {"class": name, "period": period}
    elif _is_per_batch(graph, move) and _counts_epochs(thing, name):
        yield Mistake.PER_BATCH, [move], {"class": name, "period": period}


def says_where(move: Happening) -> bool:
    """Whether a schedule is told where it is to be, `step(epoch)`, and does not count how often it moves."""
    return isinstance(move.site.node, cst.Call) and bool(move.site.node.args)


def _is_early(graph: FlowGraph, move: Happening) -> bool:
    """Whether the schedule surely moves before the first step of its optimizer."""
    thing = move.target
    assert isinstance(thing, Thing)
    known = _KNOWN.match(thing.dotted) is not None
    if says_where(move) or not move.loops or not (known or (thing.role is not Role.SCHEDULER and thing.parameter)):
        return False
    # What was before the schedule is none of its periods.
    built = max((event.number for event in graph.events(Kind.BUILD, where=thing)), default=0)
    own = behind(_steps_of(graph, thing), built)
    if not own or own[0].number < move.number or graph.events(Kind.SCHEDULE, where=thing)[0] is not move:
        return False  # told at the first
    first = next((event for event in own if move.loops[0] in event.loops), None)
    if first is None:
        return False
    loop = innermost(move)
    if not known and innermost(first) is not loop:
        return False  # a schedule of somebody's own may be counted from where it likes
    if loop not in first.loops or guard_keys(move, loop) - guard_keys(first, loop):
        return False
    unknown = between(graph.events(Kind.UNKNOWN), built, first.number)
    if innermost(first) is loop:  # in one iteration: whatever steps already says so
        unknown = [event for event in unknown if _STEPPERS.search(event.text.partition("(")[0])]
    return not any(_may_step(event, thing) for event in unknown)


def _may_step(event: Happening, scheduler: Thing) -> bool:
    """Whether unknown code may have stepped the scheduler's optimizer."""
    reached = list(things_in(event.target))
    return event.target is None or any(
        thing is scheduler or thing in scheduler.captured or thing.role is Role.INSTANCE for thing in reached
    )


def _steps_of(graph: FlowGraph, scheduler: Thing, loop: Loop | None = None) -> Sequence[Happening]:
    """The steps of the optimizer that a scheduler was built over, in `loop`; all steps where that is not known."""
    optimizers = {thing for thing in scheduler.captured if thing.role is Role.OPTIMIZER}
    if len(optimizers) == 1 and loop is None:
        return graph.events(Kind.STEP, where=optimizers.pop())
    steps = graph.events(Kind.STEP, where=loop)
    return [event for event in steps if event.target in optimizers] if optimizers else steps


def _is_per_epoch(graph: FlowGraph, move: Happening) -> bool:
    """Whether a schedule moves once per pass over the data, behind a loop of its own that steps."""
    loop = innermost(move)
    if loop is None or loop.batches or not isinstance(move.target, Thing):
        return False
    if len(graph.events(Kind.SCHEDULE, where=move.target)) > 1:
        return False
    steps = _steps_of(graph, move.target, loop)
    return any(event.loops[-1] is not loop and event.loops[-1].batches for event in steps)


def _is_per_batch(graph: FlowGraph, move: Happening) -> bool:
    """Whether a schedule moves with every batch of an epoch."""
    loop = innermost(move)
    if loop is None or not loop.batches or len(move.loops) < 2 or guard_keys(move, loop):
        return False
    return "epoch" in move.loops[-2].text.lower() and bool(graph.events(Kind.STEP, where=move.loops))


def _arguments(thing: Thing) -> dict[str, str]:
    """The arguments that a scheduler was built with, as written; positional ones by their number."""
    found: dict[str, str] = {}
    for number, argument in enumerate(thing.call.args if thing.call is not None else ()):
        found[argument.keyword.value if argument.keyword is not None else str(number)] = text_of(argument.value)
    return found


_PERIODS = {
    "StepLR": ("step_size", "1"),
    "MultiStepLR": ("milestones", "1"),
    "CosineAnnealingLR": ("T_max", "1"),
    "CyclicLR": ("step_size_up", "3"),
}
"""The argument that says in what a schedule counts."""


def _period(thing: Thing) -> str:
    given = _arguments(thing)
    name = thing.dotted.rsplit(".", 1)[-1]
    if name == "OneCycleLR":
        names = [key for key in ("total_steps", "epochs", "steps_per_epoch") if key in given]
        return ", ".join(f"{key}={given[key]}" for key in names)
    keyword, position = _PERIODS.get(name, ("", ""))
    value = given.get(keyword, given.get(position, ""))
    return f"{keyword}={value}" if value else ""


def _counts_batches(thing: Thing, name: str) -> bool:
    """Whether a schedule that is made for batches was told of batches."""
    given = _arguments(thing)
    if thing.call is None or any(argument.star for argument in thing.call.args):
        return False
    if name == "OneCycleLR":
        per_epoch = given.get("steps_per_epoch", "")
        return "len(" in per_epoch or "len(" in given.get("total_steps", "")
    up = given.get("step_size_up", given.get("3", "2000"))
    return "len(" in up or (up.isdecimal() and int(up) >= _MANY)


def _counts_epochs(thing: Thing, name: str) -> bool:
    """Whether a schedule was told of epochs."""
    if not thing.dotted.startswith(_TORCH) or name not in _PERIODS:
        return False
    period = _period(thing).partition("=")[2]
    if name == "MultiStepLR":
        numbers = re.findall(r"\d+", period)
        return re.fullmatch(r"[\[(][\d, ]+[\])]", period) is not None and max(map(int, numbers)) < _MANY // 2
    if name == "StepLR":
        return period.isdecimal() and 2 < int(period) <= _MANY // 10
    return name == "CosineAnnealingLR" and bool(_EPOCHS.search(period)) and not _STEPS.search(period)


def _never(file: File, graph: FlowGraph) -> Iterator[Case]:
    """The cases of schedulers that are built, bound to a name, and never mentioned again."""
    for event in graph.events(Kind.BUILD):
        thing = event.target
        if not isinstance(thing, Thing) or thing.role is not Role.SCHEDULER:
            continue
        if not thing.dotted.startswith(_TORCH) or event.site.file is not file or not thing.label.isidentifier():
            continue
        if thing.label not in _names_used(file.source.text):
            later = next((item for item in behind(_steps_of(graph, thing), event.number) if item.loops), None)
            if later is not None:
                yield from _told_never(file, event, later, thing)


@lru_cache(maxsize=1)
def _names_used(text: str) -> set[str]:
    """The names with which a text does more than bind them and look at them."""
    return {found[1] for found in _USE.finditer(text)}


def _told_never(file: File, built: Happening, step: Happening, thing: Thing) -> Iterator[Case]:
    case = case_of(
        file,
        Mistake.NEVER_STEPPED,
        thing.label,
        built,
        [built, step],
        notes={Kind.BUILD: "the schedule is built", Kind.STEP: "its optimizer steps"},
        facts={"class": thing.dotted.rsplit(".", 1)[-1]},
    )
    if case is not None:
        yield case
