"""The making of optimizers: over which parameters, how often, and which one finding tells of it."""

from __future__ import annotations

from textwrap import indent

import pytest
from programs import HEAD, codes, marks

UPDATE = """\
    optimizer.zero_grad()
    model(x).sum().backward()
    optimizer.step()
"""
LOOP = f"for x in loader:\n{UPDATE}"
ADAM = "    optimizer = torch.optim.Adam(model.parameters())\n"


@pytest.mark.parametrize(
    "replaced",
    [
        "model.head = torch.nn.Linear(2, 1)\n",
        "model[0] = torch.nn.Sequential(torch.nn.ReLU(), torch.nn.Linear(2, 1))\n",
        "import copy\nmodel = copy.deepcopy(model)\n",
        "model = torch.nn.Linear(2, 1)\n",
        "model.load_state_dict(state, assign=True)\n",
        "from torch.distributed.fsdp import fully_shard\nfully_shard(model)\n",
        "from torch.distributed.fsdp import FullyShardedDataParallel\nmodel = FullyShardedDataParallel(model)\n",
    ],
)
def test_parameters_that_are_replaced_are_told_once_at_the_step(replaced: str) -> None:
    text = f"{HEAD}{replaced}{LOOP}"
    assert marks(text) == [(len(text.splitlines()), "LG802")]


@pytest.mark.parametrize(
    "kept",
    [
        "model = model.cuda()\n",
        "model = torch.nn.DataParallel(model)\n",
        "model = torch.compile(model)\n",
        "model.act = torch.nn.ReLU()\n",
        "model.head = model.head\n",
        "model.load_state_dict(state)\n",
        "import copy\naverage = copy.deepcopy(model)\n",
        "model.head = torch.nn.Linear(2, 1)\noptimizer.add_param_group({'params': model.head.parameters()})\n",
        "model.head = torch.nn.Linear(2, 1)\noptimizer.param_groups[0]['params'] = list(model.parameters())\n",
        "model.head = torch.nn.Linear(2, 1)\noptimizer = torch.optim.SGD(model.parameters(), lr=0.1)\n",
        "if args.tune:\n    model.head = torch.nn.Linear(2, 1)\n",
        "from torch.distributed.fsdp import FullyShardedDataParallel as F\nmodel = F(model, use_orig_params=True)\n",
    ],
)
def test_parameters_that_stay_are_silent(kept: str) -> None:
    assert codes(f"{HEAD}{kept}{LOOP}") == []


def test_an_old_module_that_lives_on_under_another_name_is_trained() -> None:
    assert codes(f"{HEAD}first = model\nmodel = torch.nn.Linear(2, 1)\n{LOOP.replace('model(', 'first(')}") == []


def in_epochs(begin: str, loop: str = "for epoch in range(9):\n") -> str:
    """A program that begins each round of a loop in some way, and then trains on all batches."""
    return f"{HEAD}{loop}{begin}{indent(LOOP, '    ')}"


def test_an_optimizer_with_a_memory_is_built_once() -> None:
    assert codes(in_epochs(ADAM)) == ["LG801"]
    assert codes(f"{HEAD}for x in loader:\n{ADAM}{UPDATE}") == ["LG801"]


@pytest.mark.parametrize(
    "begin",
    [
        ADAM.replace("Adam(", "SGD("),
        f"    model = torch.nn.Linear(2, 1)\n{ADAM}",
        f"    model.load_state_dict(start)\n{ADAM}",
        f"    model.apply(reset)\n{ADAM}",
        "    if epoch == 3:\n        optimizer = torch.optim.Adam(model.parameters())\n",
        f"    model.requires_grad_(epoch > 1)\n{ADAM}",
        ADAM.replace("model.", "models[epoch]."),
        f"    model.grow()\n{ADAM}",
    ],
)
def test_an_optimizer_that_begins_anew_for_a_reason_is_silent(begin: str) -> None:
    assert codes(in_epochs(begin)) == []


@pytest.mark.parametrize(
    "loop", ["for fold in range(5):\n", "for task in tasks:\n", "for stage in stages:\n", "for loader in loaders:\n"]
)
def test_folds_tasks_and_stages_have_optimizers_of_their_own(loop: str) -> None:
    assert codes(in_epochs(ADAM, loop)) == []


FREEZE = "for p in model.parameters():\n    p.requires_grad = False\n"
BUILT = "optimizer = torch.optim.SGD(model.parameters(), lr=0.1)\n"


@pytest.mark.parametrize("freeze", [FREEZE, "model.requires_grad_(False)\n"])
def test_an_optimizer_over_frozen_parameters_only_is_told_at_its_step(freeze: str) -> None:
    text = f"{HEAD}{freeze}{BUILT}{LOOP}"
    assert marks(text) == [(len(text.splitlines()), "LG803")]


@pytest.mark.parametrize(
    "between",
    [
        f"{FREEZE}model.head = torch.nn.Linear(2, 1)\n",
        f"{FREEZE}model.head.requires_grad_(True)\n",
        f"{FREEZE}unfreeze(model)\n",
        f"from peft import get_peft_model\n{FREEZE}model = get_peft_model(model, config)\n",
        f"{FREEZE}model.add_adapter('new')\n",
        f"def widen(net):\n    net.extra = make()\n{FREEZE}widen(model)\n",
        "for p in model.body.parameters():\n    p.requires_grad = False\n",
        "if args.freeze:\n    model.requires_grad_(False)\n",
        "for name, p in model.named_parameters():\n    if 'head' not in name:\n        p.requires_grad = False\n",
        "for name, p in model.named_parameters():\n    p.requires_grad = 'head' in name\n",
    ],
)
def test_parameters_of_which_some_may_be_trained_are_silent(between: str) -> None:
    assert codes(f"{HEAD}{between}{BUILT}{LOOP}") == []
