"""The ledger as text, for a person: what each gradient is made of now."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from loopguard.escape import visible
from loopguard.runtime.entries import Entry
from loopguard.runtime.gradients import parameters_of
from loopguard.runtime.ledger import Account
from loopguard.runtime.names import parameter_names
from loopguard.runtime.verdicts.telling import History, Telling


def statement(history: History, full: bool) -> str:
    """One paragraph an optimizer; of a full ledger, one line for all parameters that are made of the same deposits."""
    lines: list[str] = []
    for account in history.accounts.values():
        lines += _paragraph(history, account, full)
    return "\n".join(map(visible, lines))


def elsewhere(history: History) -> str:
    """One line an optimizer that another thread trains, whose gradients must not be looked at here."""
    known = ((account, account.optimizer()) for account in [*history.accounts.values()])
    return "\n".join(
        f"{type(optimizer).__name__} ({_steps(account)}): trained by another thread"
        for account, optimizer in known
        if optimizer is not None
    )


def _paragraph(history: History, account: Account, full: bool) -> Iterator[str]:
    optimizer = account.optimizer()
    if optimizer is None:
        return
    latest = account.last_step or account.last_clear or next(iter(history.backwards.values()), None)
    kind = type(optimizer).__name__
    name = Telling(history, account, latest, ()).subject if latest is not None else kind
    facts = f"{'' if name == kind else f'{kind}, '}{_steps(account)}"
    yield f"{name} ({facts}): gradients are {account.row.state.value}"
    parameters = list(parameters_of(optimizer))
    if not full:
        yield f"    {_made_of(account.deposits, account)}"
        return
    groups: dict[tuple[Entry, ...], list[int]] = {}
    for number, parameter in enumerate(parameters):
        made = account.contents.get(id(parameter), ()) if parameter.grad is not None else ()
        groups.setdefault(made, []).append(number)
    names = parameter_names(parameters, ())
    for made, numbers in groups.items():
        yield f"    {', '.join(f'{names[number]}.grad' for number in numbers)}: {_made_of(made, account)}"


def _steps(account: Account) -> str:
    return f"{account.steps} step{'' if account.steps == 1 else 's'}"


def _made_of(deposits: Sequence[Entry], account: Account) -> str:
    if not deposits:
        return "nothing since the last clear"
    used = account.last_step.number if account.last_step is not None else 0
    return " + ".join(
        f"backward of {_iterations(list(entries))} ({site.place.path}:{site.row}{', used by a step' if old else ''})"
        for (site, old), entries in groupby(deposits, lambda entry: (entry.site, entry.number < used))
    )


def _iterations(entries: list[Entry]) -> str:
    """The iterations of deposits that follow each other."""
    first, last = entries[0].iteration, entries[-1].iteration
    if first == last:
        return f"iteration {first}"
    if last - first == len(entries) - 1:
        return f"iterations {first} {'and' if last == first + 1 else 'to'} {last}"
    return f"iterations {', '.join(str(entry.iteration) for entry in entries)}"
