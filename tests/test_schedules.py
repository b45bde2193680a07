"""Learning-rate schedules on graphs: what is told of real shapes of code, and what is not."""

from __future__ import annotations

import pytest
from programs import HEAD, codes, findings, marks

SCHED = f"{HEAD}from torch.optim import lr_scheduler\n"
BATCH = "optimizer.zero_grad()\n{0}model(x).sum().backward()\n{0}optimizer.step()\n".format
EPOCHS = f"""for epoch in range(9):
{{before}}    for x in loader:
        {BATCH("        ")}{{batch}}{{after}}"""


def epochs(made: str, *, before: str = "", batch: str = "", after: str = "") -> str:
    """A training over epochs, with a schedule that is made so and moves there."""
    body = EPOCHS.format(
        before=f"    {before}\n" if before else "",
        batch=f"        {batch}\n" if batch else "",
        after=f"    {after}\n" if after else "",
    )
    return f"{SCHED}s = {made}\n{body}"


STEP_LR = "lr_scheduler.StepLR(optimizer, 3)"


@pytest.mark.parametrize(
    ("before", "batch", "after", "expected"),
    [
        ("", "", "s.step()", []),
        ("", "s.step()", "", ["LG603"]),
        ("s.step()", "", "", ["LG601"]),
        ("s.step(epoch)", "", "", []),
        ("if epoch > 0: s.step()", "", "", []),
        ("if epoch: s.step()", "", "", []),
        ("", "", "", ["LG602"]),
        ("", "", "print(s.get_last_lr())", ["LG602"]),
        ("", "", "save(s.state_dict())", ["LG602"]),
        ("", "", "end(s)", []),
        ("", "", "schedulers.append(s)", []),
        ("", "", "self.s = s", []),
        ("callback = s.step", "", "callback()", []),
    ],
)
def test_a_schedule_of_epochs_moves_at_the_end_of_each(
    before: str, batch: str, after: str, expected: list[str]
) -> None:
    assert codes(epochs(STEP_LR, before=before, batch=batch, after=after)) == expected


@pytest.mark.parametrize(
    "made",
    [
        "lr_scheduler.LambdaLR(optimizer, f)",
        "lr_scheduler.MultiplicativeLR(optimizer, f)",
        "lr_scheduler.ExponentialLR(optimizer, 0.9)",
        "lr_scheduler.CosineAnnealingLR(optimizer, len(loader) * 9)",
        "lr_scheduler.OneCycleLR(optimizer, 0.1, epochs=9, steps_per_epoch=len(loader))",
        "lr_scheduler.CyclicLR(optimizer, 0.1, 0.2)",
        "lr_scheduler.SequentialLR(optimizer, [a, b], [5])",
        "lr_scheduler.ChainedScheduler([a, b])",
        "lr_scheduler.PolynomialLR(optimizer, 100)",
        "lr_scheduler.CosineAnnealingWarmRestarts(optimizer, 10)",
        "transformers.get_scheduler('linear', optimizer)",
        "transformers.get_linear_schedule_with_warmup(optimizer, 10, 100)",
    ],
)
@pytest.mark.parametrize("late", [True, False])
def test_whatever_its_class_a_schedule_of_batches_moves_behind_the_step(made: str, late: bool) -> None:
    text = f"""import transformers
s = {made}
for x in loader:
    optimizer.zero_grad()
    model(x).sum().backward()
    {"optimizer.step()" if late else "s.step()"}
    {"s.step()" if late else "optimizer.step()"}
"""
    assert codes(SCHED + text) == ([] if late else ["LG601"])


@pytest.mark.parametrize(
    "text",
    [
        # Of a class that nobody knows.
        "from warm import Warmup\ns = Warmup(optimizer, 10)\nfor x in loader:\n    optimizer.zero_grad()\n"
        "    model(x).sum().backward()\n    s.step()\n    optimizer.step()\n",
        # timm's schedulers are told where they are to be.
        "from timm.scheduler import CosineLRScheduler\ns = CosineLRScheduler(optimizer, 10)\n"
        "for epoch in range(9):\n    s.step(epoch)\n    for x in loader:\n        optimizer.zero_grad()\n"
        "        model(x).sum().backward()\n        optimizer.step()\n",
        # In fractions of an epoch.
        "s = torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(optimizer, 10)\nfor epoch in range(9):\n"
        "    for i, x in enumerate(loader):\n        optimizer.zero_grad()\n        model(x).sum().backward()\n"
        "        s.step(epoch + i / len(loader))\n        optimizer.step()\n",
        # Continued, and moved on to where it was.
        "s = torch.optim.lr_scheduler.StepLR(optimizer, 3)\nfor _ in range(start):\n    s.step()\n"
        "for epoch in range(start, 9):\n    for x in loader:\n        optimizer.zero_grad()\n"
        "        model(x).sum().backward()\n        optimizer.step()\n    s.step()\n",
        # The steps are somebody else's.
        "from engine import train_one_epoch\ns = torch.optim.lr_scheduler.StepLR(optimizer, 3)\n"
        "for epoch in range(9):\n    s.step()\n    train_one_epoch(model, optimizer, loader)\n",
        # The schedule of another optimizer.
        "other = torch.optim.SGD(torch.nn.Linear(1, 1).parameters(), 0.1)\n"
        "s = torch.optim.lr_scheduler.StepLR(other, 3)\nfor x in loader:\n    optimizer.zero_grad()\n"
        "    model(x).sum().backward()\n    s.step()\n    optimizer.step()\n",
    ],
)
def test_a_schedule_of_which_too_little_is_known_is_not_told(text: str) -> None:
    assert codes(HEAD + text) == []


def test_unknown_code_before_the_schedule_is_built_says_nothing_of_it() -> None:
    text = epochs(STEP_LR, before="s.step()")
    assert codes(text.replace("s = ", "train_something(model, optimizer)\ns = ")) == ["LG601"]


def test_unknown_code_may_be_the_first_step() -> None:
    text = epochs(STEP_LR, before="s.step()")
    assert codes(text.replace("for epoch", "train_something(model, optimizer)\nfor epoch")) == []


def test_in_one_iteration_only_code_that_may_step_stands_between() -> None:
    text = f"""s = {STEP_LR}
for x in loader:
    optimizer.zero_grad()
    model(x).sum().backward()
    {{0}}(optimizer)
    s.step()
    optimizer.step()
"""
    assert codes(SCHED + text.format("inspect_masters")) == ["LG601"]
    assert codes(SCHED + text.format("take_step")) == []


def test_the_schedule_moves_between_the_step_of_a_scaler_and_its_update() -> None:
    text = f"""s = {STEP_LR}
scaler = torch.amp.GradScaler()
for x in loader:
    optimizer.zero_grad()
    scaler.scale(model(x).sum()).backward()
    scaler.step(optimizer)
    s.step()
    scaler.update()
"""
    assert codes(SCHED + text) == []


PLATEAU = "lr_scheduler.ReduceLROnPlateau(optimizer)"


@pytest.mark.parametrize(
    ("call", "expected"),
    [("s.step()", ["LG604"]), ("s.step(1.0)", []), ("s.step(metrics=1.0)", []), ("s.step(*values)", [])],
)
def test_a_plateau_is_told_the_metric(call: str, expected: list[str]) -> None:
    assert codes(epochs(PLATEAU, after=call)) == expected


def test_a_schedule_that_may_be_a_plateau_is_not_told() -> None:
    text = epochs(f"{PLATEAU} if flag else {STEP_LR}", after="s.step()")
    assert codes(text) == []


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        ("lr_scheduler.OneCycleLR(optimizer, 0.1, epochs=9, steps_per_epoch=len(loader))", ["LG603"]),
        ("lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=9 * len(loader))", ["LG603"]),
        ("lr_scheduler.OneCycleLR(optimizer, 0.1, epochs=9, steps_per_epoch=1)", []),
        ("lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=9)", []),
        ("lr_scheduler.OneCycleLR(optimizer, 0.1, **settings)", []),
        ("lr_scheduler.CyclicLR(optimizer, 0.1, 0.2)", ["LG603"]),
        ("lr_scheduler.CyclicLR(optimizer, 0.1, 0.2, step_size_up=4)", []),
    ],
)
def test_a_schedule_that_counts_batches_does_not_move_once_per_epoch(made: str, expected: list[str]) -> None:
    assert codes(epochs(made, after="s.step()")) == expected


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        ("lr_scheduler.CosineAnnealingLR(optimizer, num_epochs)", ["LG603"]),
        ("lr_scheduler.CosineAnnealingLR(optimizer, T_max=args.epochs)", ["LG603"]),
        ("lr_scheduler.CosineAnnealingLR(optimizer, args.epochs * len(loader))", []),
        ("lr_scheduler.CosineAnnealingLR(optimizer, total_steps)", []),
        ("lr_scheduler.CosineAnnealingLR(optimizer, T)", []),
        ("lr_scheduler.MultiStepLR(optimizer, [30, 60, 90])", ["LG603"]),
        ("lr_scheduler.MultiStepLR(optimizer, [30000, 60000])", []),
        ("lr_scheduler.MultiStepLR(optimizer, milestones)", []),
        ("lr_scheduler.StepLR(optimizer, 30)", ["LG603"]),
        ("lr_scheduler.StepLR(optimizer, 1000)", []),
        ("lr_scheduler.ExponentialLR(optimizer, 0.99)", []),
    ],
)
def test_a_schedule_that_counts_epochs_does_not_move_with_every_batch(made: str, expected: list[str]) -> None:
    assert codes(epochs(made, batch="s.step()")) == expected


WINDOW = """s = {0}
for epoch in range(9):
    for i, x in enumerate(loader):
        (model(x).mean() / k).backward()
        if (i + 1) % k == 0:
            optimizer.step()
            optimizer.zero_grad()
        s.step()
"""


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        ("lr_scheduler.ExponentialLR(optimizer, 0.99)", ["LG405"]),
        ("lr_scheduler.MultiStepLR(optimizer, [30, 60])", ["LG603"]),  # the cause is the period, not the gate
    ],
)
def test_a_schedule_that_moves_with_every_batch_of_a_window_is_told_once(made: str, expected: list[str]) -> None:
    assert codes(SCHED + WINDOW.format(made)) == expected


def test_a_schedule_before_the_gate_of_a_window_is_outside_it_and_not_early() -> None:
    text = """s = lr_scheduler.ExponentialLR(optimizer, 0.99)
for i, x in enumerate(loader):
    (model(x).mean() / k).backward()
    s.step()
    if (i + 1) % k == 0:
        optimizer.step()
        optimizer.zero_grad()
"""
    assert codes(SCHED + text) == ["LG405"]


def test_a_window_whose_gate_chooses_between_two_backward_passes_is_one() -> None:
    text = """s = lr_scheduler.ExponentialLR(optimizer, 0.99)
while True:
    waits = step % k != 0
    if waits:
        with model.no_sync():
            (model(next(loader)).mean() / k).backward()
    else:
        (model(next(loader)).mean() / k).backward()
        optimizer.step()
        optimizer.zero_grad()
    s.step()
    step += 1
"""
    assert marks(SCHED + text) == [(SCHED.count("\n") + 11, "LG405")]


def test_the_finding_of_an_early_schedule_shows_the_step_that_it_overtakes() -> None:
    found = findings(epochs(STEP_LR, before="s.step()"))
    assert [moment.event.text for moment in found[0].evidence] == ["s.step()", "optimizer.step()"]
