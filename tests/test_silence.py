"""Right programs whose clear, step or backward pass is hard to see: the engine follows it, or says nothing."""

from __future__ import annotations

import pytest
from programs import HEAD, marks

ITERATION = "    loss = model(x).sum()\n    loss.backward()\n    optimizer.step()\n"

SILENT = {
    "a clear under a name": f"clear = optimizer.zero_grad\nfor x in loader:\n    clear()\n{ITERATION}",
    "a partial clear": "import functools\nclear = functools.partial(optimizer.zero_grad, set_to_none=True)\n"
    f"for x in loader:\n    clear()\n{ITERATION}",
    "a clear in a list of callbacks": "callbacks = [optimizer.zero_grad]\n"
    f"for x in loader:\n    for callback in callbacks:\n        callback()\n{ITERATION}",
    "a clear in a dict of actions": "def clear():\n    optimizer.zero_grad()\nactions = {'clear': clear}\n"
    f"for x in loader:\n    actions['clear']()\n{ITERATION}",
    "a clear by its name": f"for x in loader:\n    getattr(optimizer, 'zero_grad')()\n{ITERATION}",
    "a method by its name": "class T:\n    def clear(self):\n        optimizer.zero_grad()\nt = T()\n"
    f"for x in loader:\n    getattr(t, 'clear')()\n{ITERATION}",
    "a gradient set by its name": "for x in loader:\n    for p in model.parameters():\n"
    f"        setattr(p, 'grad', None)\n{ITERATION}",
    "a clear in text": f"for x in loader:\n    exec('optimizer.zero_grad()')\n{ITERATION}",
    "a clear in map": f"for x in loader:\n    list(map(lambda o: o.zero_grad(), [optimizer]))\n{ITERATION}",
    "a clear in a comprehension": f"for x in loader:\n    [o.zero_grad() for o in [optimizer]]\n{ITERATION}",
    "a clear in a hook": "optimizer.register_step_post_hook(lambda o, *a: o.zero_grad())\n"
    f"for x in loader:\n{ITERATION}",
    "a clear in `finally` behind return": "def step(x):\n    try:\n        loss = model(x).sum()\n"
    "        loss.backward()\n        optimizer.step()\n        return loss\n    finally:\n"
    "        optimizer.zero_grad()\nfor x in loader:\n    step(x)\n",
    "a clear in `finally` behind continue": "for x in loader:\n    try:\n        model(x).sum().backward()\n"
    "        optimizer.step()\n        if args.quiet:\n            continue\n        log()\n    finally:\n"
    "        optimizer.zero_grad()\n",
    "a clear in `else` of a loop": f"for x in loader:\n{ITERATION}    for y in x:\n        log(y)\n    else:\n"
    "        optimizer.zero_grad()\n",
    "a clear in an inner loop": f"for x in loader:\n    for _ in range(n):\n        optimizer.zero_grad()\n{ITERATION}",
    "a clear in a case": f"for x in loader:\n    match mode:\n        case 'a':\n            optimizer.zero_grad()\n"
    f"        case _:\n            model.zero_grad()\n{ITERATION}",
    "a sum of losses that a list keeps": "def total_of(losses):\n    total = 0\n    for loss in losses:\n"
    "        total += loss\n        loss.backward()\n    return total\n",
    "a clear in a decorator": "def clearing(f):\n    def inner(*a):\n        optimizer.zero_grad()\n"
    "        return f(*a)\n    return inner\n@clearing\n"
    f"def step(x):\n{ITERATION}for x in loader:\n    step(x)\n",
    "a clear on entering": "class Clear:\n    def __enter__(self):\n        optimizer.zero_grad()\n"
    "    def __exit__(self, *a):\n        pass\nfor x in loader:\n    with Clear():\n"
    "        model(x).sum().backward()\n    optimizer.step()\n",
    "a step on leaving": "class Update:\n    def __enter__(self):\n        optimizer.zero_grad()\n"
    "    def __exit__(self, *a):\n        optimizer.step()\nfor x in loader:\n    with Update():\n"
    "        model(x).sum().backward()\n",
    "a context manager that yields": "from contextlib import contextmanager\n@contextmanager\ndef update():\n"
    "    optimizer.zero_grad()\n    yield\n    optimizer.step()\nfor x in loader:\n    with update():\n"
    "        model(x).sum().backward()\n",
    "a clear when a context manager ends": "from contextlib import contextmanager\n@contextmanager\ndef clear():\n"
    "    yield\n    optimizer.zero_grad()\nfor x in loader:\n    with clear():\n"
    "        model(x).sum().backward()\n        optimizer.step()\n",
    "data that clears": "def batches():\n    for x in loader:\n        optimizer.zero_grad()\n        yield x\n"
    f"for x in batches():\n{ITERATION}",
    "data that steps": "def batches():\n    for x in loader:\n        yield x\n        optimizer.step()\n"
    "        optimizer.zero_grad()\nfor x in batches():\n    model(x).sum().backward()\n",
    "a property that clears": "class T:\n    @property\n    def clean(self):\n        optimizer.zero_grad()\n"
    f"        return self\nt = T()\nfor x in loader:\n    t.clean\n{ITERATION}",
    "a forward pass that clears": "class M(torch.nn.Module):\n    def forward(self, x):\n        optimizer.zero_grad()\n"
    "        return x\nm = M()\noptimizer = torch.optim.SGD(m.parameters())\nfor x in loader:\n"
    "    m(x).sum().backward()\n    optimizer.step()\n",
    "an optimizer that clears": "class Clearing(torch.optim.SGD):\n    def step(self, closure=None):\n"
    "        super().step(closure)\n        self.zero_grad()\noptimizer = Clearing(model.parameters())\n"
    f"for x in loader:\n{ITERATION}",
    "a wrapper that clears": "class Clearing:\n    def __init__(self, inner):\n        self.inner = inner\n"
    "    def step(self):\n        self.inner.step()\n        self.inner.zero_grad()\n"
    f"optimizer = Clearing(optimizer)\nfor x in loader:\n{ITERATION}",
    "a clear in a base that cannot be read": "from lib import Base\nclass T(Base):\n    def fit(self):\n"
    "        for x in loader:\n            model(x).sum().backward()\n            optimizer.step()\n"
    "            self.after_step()\n",
    "an optimizer given away": f"for x in loader:\n{ITERATION}    finish(optimizer)\n",
    "an object given away that holds it": "class T:\n    def __init__(self):\n        self.optimizer = optimizer\n"
    f"t = T()\nfor x in loader:\n{ITERATION}    finish(t)\n",
    "a parameter that is the global one": "def update(loss):\n    loss.backward()\n    optimizer.step()\n"
    "def train(net, opt, batches):\n    for x in batches:\n        opt.zero_grad()\n        update(net(x).sum())\n"
    "train(model, optimizer, loader)\n",
    "a clear by recursion": "def train(n):\n    optimizer.zero_grad()\n    model(n).sum().backward()\n"
    "    optimizer.step()\n    if n:\n        train(n - 1)\ntrain(9)\n",
    "a flag that says what is pending": "pending = False\nfor x in loader:\n    if pending:\n"
    "        optimizer.zero_grad()\n        pending = False\n    model(x).sum().backward()\n    if good:\n"
    "        optimizer.step()\n        pending = True\n",
    "all but the first": "first = True\nfor x in loader:\n    if not first:\n        optimizer.zero_grad()\n"
    f"    first = False\n{ITERATION}",
    "a counter by hand": "n = 0\nfor x in loader:\n    if n == 0:\n        optimizer.zero_grad()\n"
    "    model(x).sum().backward()\n    n += 1\n    if n == 4:\n        optimizer.step()\n        n = 0\n",
    "a gate in a function": "def full(i):\n    return i % 4 == 3\nfor i, x in enumerate(loader):\n"
    "    model(x).sum().backward()\n    if full(i):\n        optimizer.step()\n    if full(i):\n        optimizer.zero_grad()\n",
    "one choice of two clears": f"for x in loader:\n    optimizer.zero_grad() if a else model.zero_grad()\n{ITERATION}",
    "an environment whose step was looked at": "log(env.step)\nfor x in loader:\n    env.step(x)\n"
    f"    optimizer.zero_grad()\n{ITERATION}",
    "a diffusion that samples, and is no schedule": "for x in loader:\n    for t in scheduler.timesteps:\n"
    f"        x = scheduler.step(noise, t, x)[0]\n    optimizer.zero_grad()\n{ITERATION}",
    "a training step that runs the backward pass": "from megatron import load\nnet = load()\n"
    "optimizer = net.configure_optimizers()\nfor x in loader:\n    optimizer.zero_grad()\n"
    "    net.training_step(x)\n    optimizer.step()\n",
    "an optimizer of DeepSpeed's, some of which clear": "import deepspeed\n"
    "engine, optimizer, _, _ = deepspeed.initialize(model=model, model_parameters=model.parameters())\n"
    "for x in loader:\n    engine.backward(engine(x).sum())\n    optimizer.step()\n",
    "a schedule that is told where it is": "for epoch in range(n):\n    for i, x in enumerate(loader):\n"
    "        schedule.step(epoch + i / len(loader))\n        loss = model(x).sum() / 4\n        loss.backward()\n"
    "        if (i + 1) % 4 == 0 or i + 1 == len(loader):\n            optimizer.step()\n"
    "            optimizer.zero_grad()\n",
    "one iteration": f"for _ in range(1):\n{ITERATION}",
    "no loop": "loss = model(x).sum()\nloss.backward()\noptimizer.step()\n",
    "an iteration that is broken off": f"while True:\n    optimizer.zero_grad()\n    for x in loader:\n    {ITERATION.replace(chr(10), chr(10) + '    ')}    break\n",
    "updates by hand": "for x in loader:\n    loss = model(x).sum()\n    loss.backward()\n    with torch.no_grad():\n"
    "        for p in model.parameters():\n            p -= 0.1 * p.grad\n            p.grad = None\n",
    "an engine that computes the gradients itself": "from parallel import launch\nengine = launch(model)\n"
    "for _ in range(n):\n    engine.zero_grad()\n    engine.execute_schedule(batches)\n    engine.step()\n",
    "a window that the engine may average": "from parallel import Booster\nbooster = Booster()\n"
    "for i, x in enumerate(loader):\n    loss = torch.nn.functional.mse_loss(model(x), x)\n    booster.backward(loss, optimizer)\n"
    "    if (i + 1) % k == 0:\n        optimizer.step()\n        optimizer.zero_grad()\n",
    "an evaluation that finds nothing to do": "def evaluate(net, batches):\n    net.eval()\n    if batches is None:\n"
    "        return\n    report(net, batches)\n    net.train()\nnet = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Dropout())\n"
    "adam = torch.optim.Adam(net.parameters())\nfor x in loader:\n    adam.zero_grad()\n    net(x).sum().backward()\n"
    "    adam.step()\n    evaluate(net, held_out)\n",
    "gradients from a graph of CUDA's": "graph = torch.cuda.CUDAGraph()\n"
    "optimizer.zero_grad(set_to_none=True)\nwith torch.cuda.graph(graph):\n    model(held).sum().backward()\n"
    "for x in loader:\n    optimizer.zero_grad(set_to_none=False)\n    held.copy_(x)\n    graph.replay()\n    optimizer.step()\n",
    "scaled gradients from a graph of CUDA's": "graph, scaler = torch.cuda.CUDAGraph(), torch.amp.GradScaler()\n"
    "with torch.cuda.graph(graph):\n    with torch.autocast('cuda'):\n        loss = model(held).sum()\n"
    "    scaler.scale(loss).backward()\nfor x in loader:\n    held.copy_(x)\n    graph.replay()\n    scaler.step(optimizer)\n"
    "    scaler.update()\n",
    "a graph of CUDA's that does everything": "graph = torch.cuda.CUDAGraph()\noptimizer.zero_grad(set_to_none=True)\n"
    "with torch.cuda.graph(graph):\n    model(held).sum().backward()\n    optimizer.step()\n"
    "for x in loader:\n    held.copy_(x)\n    graph.replay()\n",
    "outputs that are differentiated with a gradient, and compared": "outputs = []\nfor x in loader:\n"
    "    output = model(x)\n    outputs.append(output)\n    output.backward(torch.ones_like(output))\nreport(outputs)\n",
    "shards of a layer that get the gradient they are given": "def backward(shards, gradients):\n    outputs = []\n"
    "    for x, g in zip(shards, gradients):\n        output = model(x)\n        outputs.append(output)\n"
    "        torch.autograd.backward(output, g)\n    return torch.cat(outputs)\n",
    "a step of something that is told of steps": "for i in range(n):\n    for x in loader:\n        optimizer.zero_grad()\n"
    "        model(x).sum().backward()\n        optimizer.step()\n    policy[1].step(optim_steps_per_collect)\n",
    "a step that sets the learning rate as well": "def train(net, optimizer, batches):\n    for x in batches:\n"
    "        optimizer.zero_grad()\n        net(x).sum().backward()\n        optimizer.step_and_update_lr()\n",
    "a helper that clips and steps": "from helpers import clip_and_step\nfor x in loader:\n"
    "    optimizer.zero_grad()\n    model(x).sum().backward()\n    clip_and_step(optimizer)\n",
    "a learned optimizer, whose parameters another one has": "import learn2learn\n"
    "learned = learn2learn.optim.LearnableOptimizer(model=model, transform=Transform)\n"
    "adam = torch.optim.Adam(learned.parameters())\nfor x in loader:\n    learned.zero_grad()\n    adam.zero_grad()\n"
    "    model(x).sum().backward()\n    adam.step()\n    learned.step()\n",
    "a pass that is captured, and called under the name of the result": "from graphs import captured\n"
    "def update(x):\n    model(x).sum().backward()\nupdate = captured(update)\nfor x in loader:\n"
    "    optimizer.zero_grad()\n    update(x)\n    optimizer.step()\n",
    "a pass of a base class that cannot be read": "from engine import Trainer\nclass T(Trainer):\n"
    "    def fit(self):\n        for x in loader:\n            self.optimizers.zero_grad()\n"
    "            self.forward_backward_step(x)\n            self.optimizers.step()\n",
    "another library": "import mxnet\ntrainer = mxnet.gluon.Trainer(params)\nfor x in loader:\n    loss.backward()\n"
    "    trainer.step(32)\n",
}


@pytest.mark.parametrize("name", SILENT)
def test_a_right_program_is_silent(name: str) -> None:
    assert marks(HEAD + SILENT[name]) == []


@pytest.mark.parametrize("name", SILENT)
def test_a_broken_loop_beside_it_is_still_found(name: str) -> None:
    """So that silence is not for want of understanding the rest of the file."""
    beside = "def other(net, batches):\n    sgd = torch.optim.SGD(net.parameters())\n    for x in batches:\n"
    beside += "        net(x).sum().backward()\n        sgd.step()\n"
    text = HEAD + SILENT[name] + beside
    assert (len(text.splitlines()), "LG101") in marks(text)


def test_a_unit_test_that_steps_without_data_trains_nothing() -> None:
    probe = (
        HEAD
        + "def test_state():\n    for _ in range(3):\n        model(x).sum().backward()\n        optimizer.step()\n"
    )
    assert marks(probe, path="test_state.py") == []
    assert [code for _, code in marks(probe, path="state.py")] == ["LG101"]
