"""What only the end of a run can tell: what was never applied, never fed, or left over."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from loopguard.case import Case
from loopguard.lifecycles.gradient import Mistake
from loopguard.runtime.docket import Docket
from loopguard.runtime.ledger import Account
from loopguard.runtime.verdicts.empty_steps import never_fed
from loopguard.runtime.verdicts.losses import last_only
from loopguard.runtime.verdicts.telling import History, Telling
from loopguard.runtime.verdicts.unused_gradients import never_applied
from loopguard.runtime.verdicts.windows import remainder


def last_words(history: History, late: Sequence[Account], docket: Docket, *, ended: bool) -> Iterator[Case | None]:
    """The cases of a run that is over. `late` are accounts that were closed, `ended` says that nothing broke it off."""
    for account in [*late, *history.accounts.values()]:
        if account.discards and account.discards[-1].clear is not None:
            yield never_applied(Telling(history, account, account.discards[-1].clear, ()), over=True)
        if account.last_step is None:
            continue
        telling = Telling(history, account, account.last_step, ())
        if ended and not docket.is_told((account.number, Mistake.EMPTY_STEP, account.last_step.site)):
            yield never_fed(telling)
        if account.deposits:
            yield remainder(telling)
    for site, entry in history.backwards.items():
        if site.visits == 1 and any(account.steps for account in history.accounts.values()):
            yield last_only(entry)
