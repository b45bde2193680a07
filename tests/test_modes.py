"""Modes on paths: what switches a module, what asks for a mode, and where the engine had better say nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from programs import codes, findings, findings_in

NET = "import torch\nfrom torch import nn\nnet = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.5), nn.Linear(2, 1))\n"
HEAD = f"{NET}optimizer = torch.optim.SGD(net.parameters(), lr=0.1)\n"
UNREAD = f"from zoo import make\n{HEAD}".replace("nn.Sequential(", "make(")
BATCHES = """\
    for x in loader:
        optimizer.zero_grad()
        net(x).sum().backward()
        optimizer.step()
"""
EPOCHS = f"for epoch in range(9):\n{BATCHES}"
SWITCHED = f"for epoch in range(9):\n    net.train()\n{BATCHES}"
VALIDATION = "    with torch.no_grad():\n        for x in val_loader:\n            total += net(x).sum().item()\n"

UNDONE = {
    "eval() behind the batches": f"{HEAD}{EPOCHS}    net.eval()\n",
    "train(False)": f"{HEAD}{EPOCHS}    net.train(False)\n",
    "eval() in a helper": f"{HEAD}def test():\n    net.eval()\n    return net(y)\n{EPOCHS}    test()\n",
    "eval() of what holds the module": f"{HEAD}whole = nn.Sequential(net)\nwhole.net = net\n{EPOCHS}    net.eval()\n",
    "train() on one way only": f"{HEAD}{EPOCHS}    net.eval()\n    if args.quiet:\n        continue\n    net.train()\n",
    "train() of another module": f"{HEAD}other = nn.Dropout()\n{EPOCHS}    net.eval()\n    other.train()\n",
    "a model of unread code, that some loop switches": UNREAD
    + "for epoch in range(9):\n    net.train()\n"
    + BATCHES
    + "        if epoch % 2:\n            net.eval()\n",
}

RIGHT = {
    "train() before the batches": f"{HEAD}{SWITCHED}    net.eval()\n",
    "train() at the end": f"{HEAD}{EPOCHS}    net.eval()\n    net.train()\n",
    "train(mode) of a mode that was kept": f"{HEAD}{EPOCHS}    mode = net.training\n    net.eval()\n    net.train(mode)\n",
    "train() if it was so before": f"{HEAD}{EPOCHS}    was = net.training\n    net.eval()\n"
    "    if was:\n        net.train()\n",
    "eval() once the training is over": f"{HEAD}{EPOCHS}net.eval()\n",
    "eval() of a part, on purpose": f"{HEAD}for epoch in range(9):\n    net.train()\n    net[1].eval()\n{BATCHES}",
    "eval() from the start": f"{HEAD}net.eval()\n{EPOCHS}",
    "eval() of another module": f"{HEAD}teacher = nn.Dropout()\n{EPOCHS}    teacher.eval()\n",
    "no layer with two modes": f"{HEAD.replace('nn.Dropout(0.5)', 'nn.ReLU()')}{EPOCHS}    net.eval()\n",
    "unread code that gets the model": f"{HEAD}{EPOCHS}    net.eval()\n    run_epoch(net)\n",
    "a model of unread code": f"{UNREAD}{EPOCHS}    net.eval()\n",
}


@pytest.mark.parametrize("name", UNDONE)
def test_eval_that_is_not_undone_is_told_once(name: str) -> None:
    assert codes(UNDONE[name]) == ["LG701"]


@pytest.mark.parametrize("name", RIGHT)
def test_a_mode_that_is_right_is_silent(name: str) -> None:
    assert codes(RIGHT[name]) == []


def test_the_helper_of_another_file_is_told_at_its_call(place: Path, write) -> None:  # type: ignore[no-untyped-def]
    write(
        "helper.py",
        "import torch\n\ndef test(net, y):\n    net.eval()\n    with torch.no_grad():\n        return net(y)\n",
    )
    text = f"from helper import test\n{HEAD}{EPOCHS}    test(net, y)\n"
    found = findings_in(write("train.py", text), [place])
    assert [(item.code, item.place.row) for item in found] == [("LG701", len(text.splitlines()))]


def test_the_evidence_goes_from_the_switch_to_the_next_iteration() -> None:
    (found,) = findings(UNDONE["eval() behind the batches"])
    assert [(moment.event.text, moment.iteration) for moment in found.evidence] == [
        ("net.eval()", 1),
        ("net(x)", 2),
        ("net(x).sum().backward()", 2),
    ]


def test_validation_in_training_mode_is_told_at_the_forward_pass() -> None:
    text = f"{HEAD}{SWITCHED}{VALIDATION}"
    (found,) = findings(text)
    assert (found.code, found.place.row) == ("LG702", len(text.splitlines()))


@pytest.mark.parametrize(
    "validation",
    [
        VALIDATION.replace("    with", "    net.eval()\n    with", 1),
        # Under a condition that may always hold.
        VALIDATION.replace("    with", "    if isinstance(net, nn.Module):\n        net.eval()\n    with", 1),
        # For the running statistics only.
        VALIDATION.replace("total += net(x).sum().item()", "net(x)"),
        VALIDATION.replace("total += net(x).sum().item()", "output = net(x)"),
        # Another network.
        VALIDATION.replace("net(x)", "teacher_net(x)"),
        # Nobody has switched recording off: perhaps it is trained somewhere.
        VALIDATION.replace("torch.no_grad()", "torch.enable_grad()"),
    ],
)
def test_a_validation_that_may_be_right_is_silent(validation: str) -> None:
    assert codes(f"{HEAD}{SWITCHED}{validation}") == []


def test_a_generator_may_be_sampled_in_training_mode() -> None:
    text = HEAD + "critic = nn.Linear(1, 1)\nopt = torch.optim.SGD(critic.parameters(), lr=0.1)\n" + SWITCHED
    text = text.replace("net(x).sum()", "critic(net(x)).mean()") + VALIDATION
    text += "    for x in loader:\n        opt.zero_grad()\n        critic(x).mean().backward()\n        opt.step()\n"
    assert "LG702" not in codes(text)


def test_what_is_generated_is_validated_too() -> None:
    generated = VALIDATION.replace("net(x)", "net.generate(x)")
    assert codes(f"{HEAD}{SWITCHED}{generated}") == ["LG702"]


def test_a_graph_for_nobody_is_advice() -> None:
    text = f"{HEAD}{EPOCHS}    net.eval()\n    for x in val_loader:\n        total += net(x).sum().item()\n    net.train()\n"
    assert [(item.code, item.level) for item in findings(text, all_levels=True)] == [("LG703", "advice")]


@pytest.mark.parametrize("needed", ["torch.autograd.grad(y, x)", "x.requires_grad_()", "torch.set_grad_enabled(False)"])
def test_whoever_takes_gradients_somewhere_is_not_advised(needed: str) -> None:
    text = f"{HEAD}{EPOCHS}    net.eval()\n    for x in val_loader:\n        total += net(x).sum().item()\n    net.train()\n"
    assert findings(f"{text}{needed}\n", all_levels=True) == []


@pytest.mark.parametrize(
    ("update", "code"),
    [
        # The block around both is wrong; a backward pass outside of it has no graph.
        ("    with torch.no_grad():\n        net(x).sum().backward()\n    optimizer.step()\n", "LG704"),
        (
            "    with torch.no_grad():\n        loss = net(x).sum()\n    loss.backward()\n    optimizer.step()\n",
            "LG303",
        ),
        # The number is the mistake, wherever it is made.
        ("    with torch.no_grad():\n        net(x).sum().item().backward()\n    optimizer.step()\n", "LG303"),
    ],
)
def test_one_rule_tells_of_a_backward_pass_without_a_graph(update: str, code: str) -> None:
    assert codes(f"{HEAD}for x in loader:\n    optimizer.zero_grad()\n{update}") == [code]


CLASS = """\
import torch
from torch import nn
class Net(nn.Module):
    def __init__(self, part):
        super().__init__()
        {layers}
    def forward(self, x):
        return {forward}
net = Net(part)
optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
"""


@pytest.mark.parametrize(
    ("layers", "forward", "silent"),
    [
        ("self.fc = nn.Linear(2, 2)", "self.fc(x)", True),
        ("self.fc = nn.ModuleList([nn.Linear(2, 2), nn.ReLU()])", "self.fc[0](x)", True),
        ("self.fc = nn.Linear(2, 2)", "nn.functional.dropout(self.fc(x), training=self.training)", False),
        ("self.fc = nn.BatchNorm1d(2)", "self.fc(x)", False),
        ("self.fc = nn.TransformerEncoderLayer(2, 2)", "self.fc(x)", False),
        # What is handed in may have two modes, and so may what another library makes.
        ("self.fc = part", "self.fc(x)", False),
        ("self.fc = nn.ModuleList(part)", "self.fc[0](x)", False),
        ("self.fc = Block()", "self.fc(x)", False),
    ],
)
def test_a_class_has_one_mode_if_all_of_its_layers_have(layers: str, forward: str, silent: bool) -> None:
    text = f"{CLASS.format(layers=layers, forward=forward)}{EPOCHS}    net.eval()\n"
    assert codes(text) == ([] if silent else ["LG701"])
