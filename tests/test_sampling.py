"""Distributed samplers and the epochs that they serve, and windows that exchange gradients for each batch."""

from __future__ import annotations

from textwrap import indent

import pytest
from programs import HEAD, codes, findings, marks

IMPORTS = "from torch.utils.data import DataLoader, RandomSampler\nfrom torch.utils.data.distributed import DistributedSampler\n"
UPDATE = "        optimizer.zero_grad()\n        model(x).sum().backward()\n        optimizer.step()\n"


def trained(loader: str, epochs: str = "for epoch in range(9):", batches: str = "batches") -> str:
    """A program that makes a loader and trains on it in epochs."""
    return f"{HEAD}{IMPORTS}{loader}{epochs}\n    for x in {batches}:\n{UPDATE}"


PLAIN = "sampler = DistributedSampler(data)\nbatches = DataLoader(data, sampler=sampler)\n"

UNTOLD = {
    "a sampler with a name": trained(PLAIN),
    "a sampler without one": trained("batches = DataLoader(data, sampler=DistributedSampler(data))\n"),
    "in batches": trained(
        "from torch.utils.data import BatchSampler\nsampler = DistributedSampler(data)\n"
        "batches = DataLoader(data, batch_sampler=BatchSampler(sampler, 4, True))\n"
    ),
    "with several ranks": trained(
        "sampler = DistributedSampler(data) if ranks > 1 else None\nbatches = DataLoader(data, sampler=sampler)\n"
    ),
    "in a branch": trained(
        "if ranks > 1:\n    sampler = DistributedSampler(data)\nelse:\n    sampler = RandomSampler(data)\n"
        "batches = DataLoader(data, sampler=sampler)\n"
    ),
    "behind a progress bar": trained(PLAIN, batches="tqdm(enumerate(batches))"),
    "through code that cannot be read": trained(
        f"from zoo import distribute\n{PLAIN}model, batches = distribute(model, batches)\n"
    ),
}

TOLD = {
    "told": trained(PLAIN, "for epoch in range(9):\n    sampler.set_epoch(epoch)"),
    "told by way of the loader": trained(PLAIN, "for epoch in range(9):\n    batches.sampler.set_epoch(epoch)"),
    "told elsewhere": "def tell(sampler, epoch):\n    sampler.set_epoch(epoch)\n" + trained(PLAIN),
    "in order": trained(PLAIN.replace("(data)", "(data, shuffle=False)")),
    "for the validation": trained(
        PLAIN.replace("sampler", "val_sampler").replace("DataLoader(data, val_", "DataLoader(data, ")
    ),
    "another loader": trained(PLAIN, batches="other_loader"),
    "no epochs": trained(PLAIN, "for fold in range(9):"),
    "a sampler for each epoch": trained(
        "", "for epoch in range(9):\n    batches = DataLoader(data, sampler=DistributedSampler(data, seed=epoch))"
    ),
    "a library that tells": "import accelerate\n" + trained(PLAIN),
}


@pytest.mark.parametrize("name", UNTOLD)
def test_epochs_that_are_not_told_are_found_at_their_loop(name: str) -> None:
    text = UNTOLD[name]
    assert marks(text) == [(text[: text.index("for epoch")].count("\n") + 1, "LG901")]


@pytest.mark.parametrize("name", TOLD)
def test_epochs_that_are_told_or_need_not_be_are_silent(name: str) -> None:
    assert codes(TOLD[name]) == []


def test_what_is_spawned_is_called() -> None:
    text = (
        f"import torch\nimport torch.multiprocessing as mp\n{IMPORTS}"
        "def main(rank, data):\n    train(DataLoader(data, sampler=DistributedSampler(data)))\n"
        f"def train(batches):\n{indent(trained(''), '    ')}"
        "mp.spawn(main, args=(data,), nprocs=2)\n"
    )
    assert codes(text) == ["LG901"]


def test_an_import_that_one_branch_has_used_is_known_behind_it() -> None:
    """As when `torch.load` in a branch is the first use of `torch`."""
    text = "import torch\nif resume:\n    state = torch.load(path)\nmodel = torch.nn.Linear(2, 1)\n"
    text += "opt = torch.optim.SGD(model.parameters(), lr=0.1)\nfor x in loader:\n    model(x).sum().backward()\n    opt.step()\n"
    assert codes(text) == ["LG101"]


WINDOW = f"""\
{HEAD}from torch.nn.parallel import DistributedDataParallel
replica = DistributedDataParallel(model)
for i, x in enumerate(loader):
    (replica(x).mean() / k).backward()
    if (i + 1) % k == 0 or i + 1 == len(loader):
        optimizer.step()
        optimizer.zero_grad()
"""


def test_a_window_that_exchanges_for_each_batch_is_advised() -> None:
    assert [(item.code, item.level) for item in findings(WINDOW, all_levels=True)] == [("LG903", "advice")]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (
            "    (replica(x).mean() / k).backward()\n",
            "    with sync(i, replica.no_sync):\n        (replica(x).mean() / k).backward()\n",
        ),
        ("DistributedDataParallel(model)", "torch.nn.DataParallel(model)"),
        ("for i,", "replica.require_backward_grad_sync = False\nfor i,"),
    ],
)
def test_a_window_that_does_not_is_not(old: str, new: str) -> None:
    assert findings(WINDOW.replace(old, new), all_levels=True) == []
