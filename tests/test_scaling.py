"""Loss scaling and clipping on graphs: what is told of real shapes of code, and what is not."""

from __future__ import annotations

import pytest
from programs import HEAD, codes, findings, marks

AMP = f"{HEAD}from torch.amp import GradScaler\nscaler = GradScaler()\nclip = torch.nn.utils.clip_grad_norm_\n"
TWO = f"""{AMP}
G, D = torch.nn.Linear(2, 2), torch.nn.Linear(2, 1)
opt_g = torch.optim.Adam(G.parameters())
opt_d = torch.optim.Adam(D.parameters())
"""
ITERATION = {
    "C": "    optimizer.zero_grad()\n",
    "B": "    scaler.scale(model(x).sum()).backward()\n",
    "P": "    model(x).sum().backward()\n",
    "N": "    scaler.unscale_(optimizer)\n",
    "K": "    clip(model.parameters(), 1.0)\n",
    "S": "    scaler.step(optimizer)\n",
    "O": "    optimizer.step()\n",
    "U": "    scaler.update()\n",
}
"""The lines of an iteration, by one letter each."""


def loop(letters: str) -> str:
    """A loop whose body is made of `letters`."""
    return f"{AMP}for x in loader:\n" + "".join(ITERATION[letter] for letter in letters)


def row(letters: str, index: int) -> int:
    """The row of one of the letters."""
    return loop(letters[:index]).count("\n") + 1


@pytest.mark.parametrize(
    "letters",
    ["CBSU", "BSUC", "CBNKSU", "CBNKKSU", "CPKO", "CPO", "CBNOU", "CBNKOU", "CBBNKSU", "CBBSU", "CPOCBSU", "CBSUCPO"],
)
def test_a_loop_that_does_what_the_documentation_does_is_silent(letters: str) -> None:
    assert codes(loop(letters)) == []


@pytest.mark.parametrize(
    ("letters", "code", "index"),
    [
        ("CBS", "LG501", 2),
        ("CBNKS", "LG501", 4),
        ("CBO", "LG502", 2),
        ("CBOU", "LG502", 2),
        ("CPSU", "LG502", 2),
        ("CBKSU", "LG503", 2),
        ("CBKNSU", "LG503", 2),
        ("CBBKSU", "LG503", 3),
        ("CBNSKU", "LG504", 4),
        ("CPOK", "LG504", 3),
        ("CKPO", "LG504", 1),
        ("CBNNSU", "LG505", 3),
        ("CBSNU", "LG505", 3),
        ("BNSUNC", "LG505", 1),  # in the iteration after
        ("KCPO", "LG504", 0),
        ("KPOC", "LG504", 0),
    ],
)
def test_one_line_amiss_gives_one_finding_at_it(letters: str, code: str, index: int) -> None:
    assert marks(loop(letters)) == [(row(letters, index), code)]


@pytest.mark.parametrize(
    ("letters", "code", "index"),
    [
        ("CBSUO", "LG204", 4),  # the gradients have been unscaled: a second step, nothing more
        ("CBOSU", "LG502", 2),  # and not that the scaler's step repeats it
        ("CPOSU", "LG204", 3),
    ],
)
def test_of_a_step_with_the_scaler_and_one_without_it_one_rule_tells(letters: str, code: str, index: int) -> None:
    assert marks(loop(letters)) == [(row(letters, index), code)]


def test_a_clip_of_something_else_as_well_is_not_told() -> None:
    other = "    clip(torch.nn.Linear(2, 1).parameters(), 1.0)\n"
    text = loop("CPKO").replace(ITERATION["K"], other + ITERATION["K"])
    assert codes(text) == []


def test_a_condition_that_ends_the_loop_is_no_gate_of_a_window() -> None:
    ends = "    if (i + 1) % k == 0:\n        break\n"
    text = loop("CPNO").replace(ITERATION["N"], ends).replace("for x in loader", "for i, x in enumerate(loader)")
    assert codes(text) == []


GATED = """
for i, x in enumerate(loader):
    scaler.scale(model(x).mean() / k).backward()
{before}    if (i + 1) % k == 0:
{inside}        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()
"""


@pytest.mark.parametrize(
    ("before", "inside", "expected"),
    [
        ("", "NK", []),
        ("", "", []),
        ("", "K", ["LG503"]),
        ("N", "K", ["LG505"]),
        ("N", "", ["LG505"]),
        ("K", "", ["LG503"]),  # and not that it is outside the gate, too
    ],
)
def test_of_a_window_each_line_is_told_once(before: str, inside: str, expected: list[str]) -> None:
    text = GATED.format(
        before="".join(ITERATION[letter] for letter in before),
        inside="".join(f"    {ITERATION[letter]}" for letter in inside),
    )
    assert codes(AMP + text) == expected


def test_the_message_of_an_unscaling_in_a_window_names_the_gate() -> None:
    found = findings(AMP + GATED.format(before=ITERATION["N"], inside=""))
    assert [finding.code for finding in found] == ["LG505"]
    assert "`(i + 1) % k == 0`" in found[0].message


@pytest.mark.parametrize(
    "body",
    [
        # One choice, made twice.
        "    loss = model(x).sum()\n    (scaler.scale(loss) if amp else loss).backward()\n"
        "    if amp:\n        scaler.unscale_(optimizer)\n    clip(model.parameters(), 1.0)\n"
        "    if amp:\n        scaler.step(optimizer)\n        scaler.update()\n    else:\n        optimizer.step()\n",
        # A scaler that is switched off where it is not used.
        "    scaler.scale(model(x).sum()).backward()\n"
        "    if amp:\n        scaler.step(optimizer)\n        scaler.update()\n    else:\n        optimizer.step()\n",
        # A scaler or none.
        "    if scaler:\n        scaler.scale(model(x).sum()).backward()\n        scaler.unscale_(optimizer)\n"
        "    else:\n        model(x).sum().backward()\n    clip(model.parameters(), 1.0)\n"
        "    if scaler:\n        scaler.step(optimizer)\n        scaler.update()\n    else:\n        optimizer.step()\n",
        # Unscaled by what cannot be seen.
        "    scaler.scale(model(x).sum()).backward()\n    unscale_gradients(optimizer)\n"
        "    clip(model.parameters(), 1.0)\n    scaler.step(optimizer)\n    scaler.update()\n",
        # Divided by hand.
        "    scaler.scale(model(x).sum()).backward()\n    for p in model.parameters():\n"
        "        p.grad = p.grad / scaler.get_scale()\n    clip(model.parameters(), 1.0)\n    optimizer.step()\n",
        # A bound that nothing exceeds.
        "    scaler.scale(model(x).sum()).backward()\n    norm = clip(model.parameters(), float('inf'))\n"
        "    scaler.step(optimizer)\n    scaler.update()\n",
    ],
)
def test_what_depends_on_a_choice_is_not_told(body: str) -> None:
    assert codes(f"{AMP}amp = bool(flag)\nfor x in loader:\n    optimizer.zero_grad()\n{body}") == []


def test_a_scaler_that_is_off_for_good_scales_nothing() -> None:
    text = loop("CBKO").replace("GradScaler()", "GradScaler(enabled=False)")
    assert codes(text) == []


def test_a_scaler_that_a_setting_may_switch_off_is_judged_as_if_it_were_on() -> None:
    assert codes(loop("CBKSU").replace("GradScaler()", "GradScaler(enabled=args.amp)")) == ["LG503"]


@pytest.mark.parametrize(
    "made",
    [
        "torch.cuda.amp.GradScaler()",
        "torch.GradScaler()",
        "torch.distributed.fsdp.sharded_grad_scaler.ShardedGradScaler()",
    ],
)
def test_every_name_of_the_scaler_is_known(made: str) -> None:
    text = loop("CBS").replace("= GradScaler()", f"= {made}").replace("scaler", "s")
    assert codes(text) == ["LG501"]


def test_one_update_for_two_optimizers_of_one_scaler_is_right() -> None:
    text = """
for x in loader:
    opt_d.zero_grad()
    scaler.scale(D(G(x).detach()).mean()).backward()
    scaler.step(opt_d)
    opt_g.zero_grad()
    scaler.scale(-D(G(x)).mean()).backward()
    scaler.step(opt_g)
    scaler.update()
"""
    assert codes(TWO + text) == []


def test_two_scalers_are_two() -> None:
    text = """
scaler_d, scaler_g = GradScaler(), GradScaler()
for x in loader:
    opt_d.zero_grad()
    scaler_d.scale(D(G(x).detach()).mean()).backward()
    scaler_d.step(opt_d)
    scaler_d.update()
    opt_g.zero_grad()
    scaler_g.scale(-D(G(x)).mean()).backward()
    scaler_g.step(opt_g)
"""
    assert [(finding.code, finding.message.split("`")[-2]) for finding in findings(TWO + text)] == [
        ("LG501", "scaler_g")
    ]


def test_of_two_networks_only_the_one_that_is_clipped_while_scaled_is_told() -> None:
    text = """
for x in loader:
    opt_d.zero_grad()
    scaler.scale(D(G(x).detach()).mean()).backward()
    scaler.unscale_(opt_d)
    clip(D.parameters(), 1.0)
    scaler.step(opt_d)
    opt_g.zero_grad()
    scaler.scale(-D(G(x)).mean()).backward()
    clip(G.parameters(), 1.0)
    scaler.step(opt_g)
    scaler.update()
"""
    assert marks(TWO + text) == [(TWO.count("\n") + 10, "LG503")]


@pytest.mark.parametrize(
    "text",
    [
        # Accelerate unscales by itself, and steps at the end of a window.
        """
from accelerate import Accelerator
accelerator = Accelerator(gradient_accumulation_steps=4)
model, optimizer, loader = accelerator.prepare(model, optimizer, loader)
for x in loader:
    with accelerator.accumulate(model):
        accelerator.backward(model(x).mean())
        if accelerator.sync_gradients:
            accelerator.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
""",
        # Fabric does, too.
        """
from lightning.fabric import Fabric
fabric = Fabric(precision="16-mixed")
model, optimizer = fabric.setup(model, optimizer)
for x in loader:
    optimizer.zero_grad()
    fabric.backward(model(x).mean())
    fabric.clip_gradients(model, optimizer, max_norm=1.0)
    optimizer.step()
""",
        # apex unscales at the end of its block, and has nothing to update.
        """
from apex import amp
model, optimizer = amp.initialize(model, optimizer, opt_level="O1")
for x in loader:
    optimizer.zero_grad()
    with amp.scale_loss(model(x).mean(), optimizer) as scaled_loss:
        scaled_loss.backward()
    torch.nn.utils.clip_grad_norm_(amp.master_params(optimizer), 1.0)
    optimizer.step()
""",
        # timm's scaler does all of it.
        """
from timm.utils import NativeScaler
loss_scaler = NativeScaler()
for x in loader:
    optimizer.zero_grad()
    loss_scaler(model(x).mean(), optimizer, clip_grad=1.0, parameters=model.parameters())
""",
        # A scaler of one's own.
        """
class Scaler:
    def __init__(self):
        self._scaler = torch.cuda.amp.GradScaler()

    def __call__(self, loss, optimizer, clip_grad=None, parameters=None, update_grad=True):
        self._scaler.scale(loss).backward()
        if update_grad:
            if clip_grad is not None:
                self._scaler.unscale_(optimizer)
                torch.nn.utils.clip_grad_norm_(parameters, clip_grad)
            self._scaler.step(optimizer)
            self._scaler.update()

loss_scaler = Scaler()
for i, x in enumerate(loader):
    loss_scaler(model(x).mean(), optimizer, 1.0, model.parameters(), update_grad=(i + 1) % 2 == 0)
    if (i + 1) % 2 == 0:
        optimizer.zero_grad()
""",
        # Not every scaler scales losses.
        """
from sklearn.preprocessing import StandardScaler
scaler = StandardScaler()
for x in loader:
    optimizer.zero_grad()
    model(scaler.transform(x)).sum().backward()
    optimizer.step()
""",
    ],
)
def test_what_a_library_does_by_itself_is_not_missed(text: str) -> None:
    assert codes(HEAD + text) == []


@pytest.mark.parametrize(
    "target",
    [
        "model[0].parameters()",
        "[p for p in model.parameters() if p.requires_grad]",
        "pick(optimizer.param_groups[0]['params'])",
        "optimizer.param_groups[0]['params']",
        "params",
        "other.parameters() if flag else model.parameters()",
    ],
)
def test_a_clip_of_what_may_be_a_part_of_the_network_is_right(target: str) -> None:
    text = f"""
other = torch.nn.Linear(2, 1)
for x in loader:
    optimizer.zero_grad()
    model(x).sum().backward()
    torch.nn.utils.clip_grad_norm_({target}, 1.0)
    optimizer.step()
"""
    assert codes(HEAD + text) == []


def test_a_clip_of_a_network_that_nothing_steps_is_told() -> None:
    text = """
other = torch.nn.Linear(2, 1)
for x in loader:
    optimizer.zero_grad()
    model(x).sum().backward()
    torch.nn.utils.clip_grad_norm_(other.parameters(), 1.0)
    optimizer.step()
"""
    assert codes(HEAD + text) == ["LG506"]


def test_a_parameter_that_is_none_by_default_may_be_given() -> None:
    text = """
def fit(model, optimizer, loader, bound=None):
    for x in loader:
        optimizer.zero_grad()
        model(x).sum().backward()
        optimizer.step()
        if bound is not None:
            torch.nn.utils.clip_grad_norm_(model.parameters(), bound)
"""
    assert codes(f"import torch\n{text}") == ["LG504"]


def test_an_update_without_parentheses_is_told_as_that_alone() -> None:
    assert codes(loop("CBSU").replace("scaler.update()", "scaler.update")) == ["LG001"]


def test_a_clip_that_a_later_step_of_the_window_uses_is_right() -> None:
    text = """
for i, x in enumerate(loader):
    model(x).sum().backward()
    if (i + 1) % 4 == 0:
        optimizer.step()
        optimizer.zero_grad()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
"""
    assert "LG504" not in codes(HEAD + text)
