"""Optimizers, modules, schedules, scalers, windows: what verdicts compare with each other."""

from __future__ import annotations

from growth.pieces import FAULTY, HEAD, before, indented, many, several

_AMP = f"{HEAD}scaler = torch.cuda.amp.GradScaler()\n"


def in_loop(setup: str, lines: str, size: int, last: str = "") -> str:
    """So many lines before a loop, as many in it."""
    return f"{HEAD}{many(setup, size)}for i, x in enumerate(loader):\n    loss = model(x).sum()\n{indented(many(lines, size))}{indented(last)}"


_MADE = "m{} = nn.Linear(2, 2)\no{} = torch.optim.SGD(m{}.parameters(), lr=0.1)\n"

SHAPES = {
    "optimizers": lambda size: in_loop(_MADE, "o{}.step()\n", size, "loss.backward()\n"),
    "optimizers of one module": lambda size: in_loop(
        "o{} = torch.optim.SGD(model.parameters())\n", "o{}.step()\n", size, "loss.backward()\n"
    ),
    "optimizers, each with a loss": lambda size: in_loop(
        _MADE, "o{}.zero_grad()\nm{}(x).sum().backward()\no{}.step()\n", size
    ),
    "optimizers, each with a loss, uncleared": lambda size: in_loop(
        _MADE, "m{}(x).sum().backward()\no{}.step()\n", size
    ),
    "optimizers in loops of their own": lambda size: (
        HEAD + many(_MADE + "for x in loader:\n    m{}(x).sum().backward()\n    o{}.step()\n", size)
    ),
    "optimizers that nothing is known of": lambda size: (
        in_loop("", "o{}.step()\n", size, "loss.backward()\n").replace("o0", "optim0").replace(" o", " optim")
    ),
    "optimizers of others": lambda size: in_loop(
        "", "optimizer{}.zero_grad()\nloss{}.backward()\noptimizer{}.step()\n", size
    ),
    "optimizers that functions are given": lambda size: (
        f"{HEAD}def f({several('opt{}', size)}):\n  for x in loader:\n    loss.backward()\n"
        + many("    opt{}.step()\n", size)
    ),
    "modules of one optimizer": lambda size: (
        f"{HEAD}{many('m{} = nn.Linear(2, 2)' + chr(10), size)}o = torch.optim.SGD([{several('*m{}.parameters()', size)}])\nfor x in loader:\n{many('    m{}(x).sum().backward()' + chr(10), size)}    o.step()\n"
    ),
    "modules of one optimizer that are cleared": lambda size: (
        f"{HEAD}{many('m{} = nn.Linear(2, 2)' + chr(10), size)}o = torch.optim.SGD([{several('*m{}.parameters()', size)}])\nfor x in loader:\n{many('    m{}.zero_grad()' + chr(10), size)}    loss.backward()\n    o.step()\n"
    ),
    "modules of many optimizers": lambda size: (
        f"{HEAD}{many('m{} = nn.Linear(2, 2)' + chr(10), size)}{many('o{} = torch.optim.SGD([*m0.parameters(), *m{}.parameters()])' + chr(10), size)}for x in loader:\n{many('    m{}(x).sum().backward()' + chr(10), size)}{many('    o{}.step()' + chr(10), size)}"
    ),
    "parameter groups": lambda size: (
        f"{HEAD}{many('m{} = nn.Linear(2, 2)' + chr(10), size)}o = torch.optim.SGD([{several('dict(params=m{}.parameters())', size)}])\nfor x in loader:\n    loss.backward()\n    o.step()\n"
    ),
    "parameters of an optimizer": lambda size: (
        f"{HEAD}{many('p{} = nn.Parameter(torch.zeros(1))' + chr(10), size)}o = torch.optim.SGD([{several('p{}', size)}])\nfor x in loader:\n    (p0 + p1).backward()\n    o.step()\n"
    ),
    "losses": lambda size: in_loop("", "loss{} = model(x)\nloss{}.backward()\n", size, "optimizer.step()\n"),
    "losses of modules": lambda size: in_loop(
        "m{} = nn.Linear(2, 2)\n", "m{}(x).backward()\n", size, "optimizer.step()\n"
    ),
    "a loss of modules": lambda size: (
        f"{HEAD}{many('m{} = nn.Linear(2, 2)' + chr(10), size)}for x in loader:\n    loss = {several('m{}(x)', size, ' + ')}\n    loss.backward()\n    optimizer.step()\n"
    ),
    "steps": lambda size: in_loop("", "optimizer.step()\n", size),
    "backward passes": lambda size: in_loop("", "loss.backward()\n", size, "optimizer.step()\n"),
    "clears": lambda size: in_loop("", "optimizer.zero_grad()\n", size, "loss.backward()\noptimizer.step()\n"),
    "backward passes and steps": lambda size: in_loop("", "loss.backward()\noptimizer.step()\n", size),
    "whole updates": lambda size: in_loop("", "optimizer.zero_grad()\nloss.backward()\noptimizer.step()\n", size),
    "backward passes and clears": lambda size: in_loop(
        "", "loss.backward()\noptimizer.zero_grad()\n", size, "optimizer.step()\n"
    ),
    "clears of another": lambda size: in_loop(
        "other = nn.Linear(2, 2)\n", "other.zero_grad()\n", size, "loss.backward()\noptimizer.step()\n"
    ),
    "gradients set to none": lambda size: in_loop("", "p{}.grad = None\n", size, "loss.backward()\noptimizer.step()\n"),
    "gradients that are read": lambda size: in_loop(
        "", "print(p{}.grad)\n", size, "loss.backward()\noptimizer.step()\n"
    ),
    "gradients set by hand": lambda size: in_loop("", "p{}.grad = g\n", size, "loss.backward()\noptimizer.step()\n"),
    "code that cannot be read": lambda size: in_loop(
        "", "train{}(optimizer)\n", size, "loss.backward()\noptimizer.step()\n"
    ),
    "code that cannot be read, and steps": lambda size: in_loop(
        "", "train{}(optimizer)\nloss.backward()\noptimizer.step()\n", size
    ),
    "windows": lambda size: in_loop(
        "", "loss.backward()\nif i % k{} == 0:\n    optimizer.step()\n    optimizer.zero_grad()\n", size
    ),
    "windows in loops of their own": lambda size: (
        HEAD
        + many(
            "for i, x in enumerate(loader):\n    model(x).mean().backward()\n    if i % k{} == 0:\n        optimizer.step()\n        optimizer.zero_grad()\n",
            size,
        )
    ),
    "clips": lambda size: in_loop(
        "", "torch.nn.utils.clip_grad_norm_(model.parameters(), {})\n", size, "loss.backward()\noptimizer.step()\n"
    ),
    "clips of modules": lambda size: in_loop(
        "m{} = nn.Linear(2, 2)\n",
        "torch.nn.utils.clip_grad_norm_(m{}.parameters(), 1.0)\n",
        size,
        "loss.backward()\noptimizer.step()\n",
    ),
    "clips after steps": lambda size: in_loop(
        "",
        "optimizer.zero_grad()\nloss.backward()\noptimizer.step()\ntorch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)\n",
        size,
    ),
    "a clip of many modules": lambda size: (
        f"{HEAD}{many('m{} = nn.Linear(2, 2)' + chr(10), size)}for x in loader:\n    loss.backward()\n    torch.nn.utils.clip_grad_norm_([{several('*m{}.parameters()', size)}], 1.0)\n    optimizer.step()\n"
    ),
    "scaled steps": lambda size: (
        f"{_AMP}for x in loader:\n" + indented(many("scaler.scale(loss).backward()\nscaler.step(optimizer)\n", size))
    ),
    "scaled updates": lambda size: (
        f"{_AMP}for x in loader:\n"
        + indented(
            many(
                "optimizer.zero_grad()\nscaler.scale(loss).backward()\nscaler.unscale_(optimizer)\nscaler.step(optimizer)\nscaler.update()\n",
                size,
            )
        )
    ),
    "scaled steps without the scaler": lambda size: (
        f"{_AMP}for x in loader:\n"
        + indented(many("optimizer.zero_grad()\nscaler.scale(loss).backward()\noptimizer.step()\n", size))
    ),
    "unscalings": lambda size: (
        f"{_AMP}for x in loader:\n    scaler.scale(loss).backward()\n"
        + "    scaler.unscale_(optimizer)\n" * size
        + "    scaler.step(optimizer)\n"
    ),
    "scalers": lambda size: (
        f"{HEAD}{many('s{} = torch.cuda.amp.GradScaler()' + chr(10), size)}for x in loader:\n"
        + indented(many("s{}.scale(loss).backward()\ns{}.step(optimizer)\n", size))
    ),
    "scalers and optimizers": lambda size: (
        f"{HEAD}{many('s{} = torch.cuda.amp.GradScaler()' + chr(10) + _MADE, size)}for x in loader:\n"
        + indented(many("s{}.scale(m{}(x)).backward()\ns{}.step(o{})\n", size))
    ),
    "schedules": lambda size: in_loop(
        "s{} = torch.optim.lr_scheduler.StepLR(optimizer, 30)\n",
        "s{}.step()\n",
        size,
        "loss.backward()\noptimizer.step()\n",
    ),
    "schedules that never move": lambda size: in_loop(
        "s{} = torch.optim.lr_scheduler.StepLR(optimizer, 30)\n", "", size, "loss.backward()\noptimizer.step()\n"
    ),
    "one schedule that moves often": lambda size: (
        f"{HEAD}s = torch.optim.lr_scheduler.StepLR(optimizer, 30)\nfor epoch in range(9):\n  for x in loader:\n    loss.backward()\n    optimizer.step()\n"
        + "    s.step()\n" * size
    ),
    "schedules of optimizers": lambda size: in_loop(
        _MADE + "s{} = torch.optim.lr_scheduler.StepLR(o{}, 30)\n",
        "s{}.step()\no{}.step()\n",
        size,
        "loss.backward()\n",
    ),
    "switches of mode": lambda size: in_loop(
        "", "model.eval()\nmodel.train()\n", size, "loss.backward()\noptimizer.step()\n"
    ),
    "switches of modules": lambda size: in_loop(
        "m{} = nn.Dropout()\n", "m{}.eval()\n", size, "loss.backward()\noptimizer.step()\n"
    ),
    "switches and passes": lambda size: (
        f"{HEAD}m = nn.Dropout()\n" + "m.eval()\nfor y in loader:\n    m(y)\nm.train()\n" * size + FAULTY
    ),
    "switches and passes of modules": lambda size: (
        HEAD + many("m{} = nn.Dropout()\nm{}.eval()\nfor y in loader:\n    m{}(y)\n", size) + FAULTY
    ),
    "forward passes": lambda size: in_loop("", "model(x)\n", size, "loss.backward()\noptimizer.step()\n"),
    "passes over data": lambda size: (
        f"{HEAD}model = nn.Dropout()\n" + "for y in loader:\n    model(y)\n" * size + FAULTY
    ),
    "passes over data in functions": lambda size: (
        HEAD + many("def f{}(model):\n    for y in loader:\n        model(y)\n", size) + FAULTY
    ),
    "optimizers that are rebuilt": lambda size: (
        f"{HEAD}for epoch in range(9):\n"
        + many(
            "    o{} = torch.optim.SGD(model.parameters())\n    for x in loader:\n        loss.backward()\n        o{}.step()\n",
            size,
        )
    ),
    "parts that are replaced": lambda size: (
        f"{HEAD}"
        + many("model.a{} = nn.Linear(2, 2)\n", size)
        + "o = torch.optim.SGD(model.parameters())\n"
        + many("model.a{} = nn.Linear(2, 2)\n", size)
        + "for x in loader:\n    model(x).backward()\n    o.step()\n"
    ),
    "frozen modules": lambda size: in_loop(
        "m{} = nn.Linear(2, 2)\nm{}.requires_grad_(False)\no{} = torch.optim.SGD(m{}.parameters())\n",
        "o{}.step()\n",
        size,
        "loss.backward()\n",
    ),
    "samplers": lambda size: (
        HEAD
        + many(
            "s{} = torch.utils.data.DistributedSampler(d)\nl{} = torch.utils.data.DataLoader(d, sampler=s{})\n", size
        )
        + "for epoch in range(9):\n"
        + many("  for x in l{}:\n    loss.backward()\n    optimizer.step()\n", size)
    ),
    "losses without a graph": lambda size: in_loop(
        "", "loss{} = model(x).detach()\nloss{}.backward()\n", size, "optimizer.step()\n"
    ),
    "losses after their loop": lambda size: (
        HEAD + many("for x in loader:\n    loss{} = model(x)\nloss{}.backward()\noptimizer.step()\n", size)
    ),
    "steps after their loop": lambda size: (
        f"{HEAD}" + "for x in loader:\n    model(x).backward()\noptimizer.step()\n" * size
    ),
    "accumulations": lambda size: (
        f"{HEAD}from accelerate import Accelerator\naccelerator = Accelerator()\nmodel, optimizer, loader = accelerator.prepare(model, optimizer, loader)\nfor x in loader:\n"
        + many(
            "    with accelerator.accumulate(model):\n        accelerator.backward(model(x))\n        optimizer.step()\n        optimizer.zero_grad()\n",
            size,
        )
    ),
    "prepared objects": lambda size: (
        f"{HEAD}from accelerate import Accelerator\naccelerator = Accelerator()\n{several('m{}', size)} = accelerator.prepare({several('m{}', size)})\n"
        + FAULTY
    ),
    "training steps": lambda size: (
        "import lightning\nimport torch\n"
        + many(
            "class A{}(lightning.LightningModule):\n    def training_step(self, batch):\n        loss = self(batch)\n        loss.backward()\n        self.optimizers().step()\n",
            size,
        )
    ),
    "bare methods": lambda size: before("optimizer.step\n" * size),
    "modules that are wrapped": lambda size: before("model = nn.DataParallel(model)\n" * size),
    "engines": lambda size: in_loop("", "engine{}.backward(loss)\nengine{}.step()\n", size),
}
