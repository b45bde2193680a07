"""Programs to graphs: what lowering makes of each statement, as Mermaid, compared with `snapshots/`.

After an intended change, run `LOOPGUARD_UPDATE_SNAPSHOTS=1 pytest tests/test_flow.py` and read the difference.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from programs import HEAD, lowered

from loopguard.events import Kind
from loopguard.static.paths.graph import FlowGraph, Happening

SNAPSHOTS = Path(__file__).parent / "snapshots"
UPDATE = "LOOPGUARD_UPDATE_SNAPSHOTS"

PROGRAMS = {
    "loop": """
for epoch in range(10):
    for x in loader:
        optimizer.zero_grad()
        model(x).sum().backward()
        optimizer.step()
""",
    "while_true": """
while True:
    loss = model(next(batches)).sum()
    if loss.isnan():
        break
    loss.backward()
    if warm:
        continue
    optimizer.step()
optimizer.zero_grad()
""",
    "loop_else": """
for x in loader:
    model(x).sum().backward()
    if done:
        break
else:
    optimizer.step()
optimizer.zero_grad()
""",
    "branches": """
for x in loader:
    if use_amp:
        scaler.scale(model(x).sum()).backward()
    elif twice and not first:
        model(x).sum().backward()
    else:
        continue
    if not use_amp:
        optimizer.step()
""",
    "try": """
for x in loader:
    try:
        model(x).sum().backward()
    except RuntimeError:
        optimizer.zero_grad()
        continue
    finally:
        optimizer.step()
""",
    "with": """
for x in loader:
    with torch.no_grad():
        model(x)
    with autocast():
        loss = model(x).sum()
    loss.backward()
""",
    "match": """
match mode:
    case "train":
        model(x).sum().backward()
    case "step" if ready:
        optimizer.step()
    case _:
        optimizer.zero_grad()
""",
    "accumulate": """
for i, x in enumerate(loader):
    (model(x).sum() / steps).backward()
    if (i + 1) % steps == 0 or i + 1 == len(loader):
        optimizer.step()
        optimizer.zero_grad()
""",
    "closure": """
optimizer = torch.optim.LBFGS(model.parameters())
for x in loader:
    def closure():
        optimizer.zero_grad()
        loss = model(x).sum()
        loss.backward()
        return loss
    optimizer.step(closure)
""",
    "helper": """
def update(loss, opt, clear=True):
    if clear:
        opt.zero_grad()
    loss.backward()
    return opt.step()

for x in loader:
    update(model(x).sum(), optimizer)
    update(model(x).mean(), optimizer, clear=False)
""",
    "method": """
class Base:
    def update(self, loss):
        self.clear()
        loss.backward()
        self.optimizer.step()

    def clear(self):
        pass

class Trainer(Base):
    def __init__(self, model):
        self.model = model
        self.optimizer = torch.optim.Adam(model.parameters())

    def clear(self):
        super().clear()
        self.optimizer.zero_grad()

    def fit(self, loader):
        for x in loader:
            self.update(self.model(x).sum())

Trainer(model).fit(loader)
""",
    "unknown": """
for x in loader:
    model(x).sum().backward()
    train_helper(optimizer)
    optimizer.step()
""",
}


def graph_of(text: str) -> FlowGraph:
    """The graph of a program that begins with a model and its optimizer."""
    return lowered(HEAD + text).graph


def happenings(text: str) -> list[Happening]:
    """The events of a program that do something to gradients, in the order of lowering."""
    return [event for event in graph_of(text).events() if event.kind not in (Kind.BUILD, Kind.FORWARD)]


def events(text: str) -> list[str]:
    """The kinds of these events."""
    return [event.kind.name for event in happenings(text)]


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_gives_the_graph_of_its_snapshot(name: str) -> None:
    snapshot = SNAPSHOTS / f"{name}.mmd"
    drawn = graph_of(PROGRAMS[name]).mermaid()
    if os.environ.get(UPDATE):
        snapshot.write_text(drawn, encoding="utf-8")
    assert drawn == snapshot.read_text(encoding="utf-8")


def test_every_snapshot_has_its_program() -> None:
    assert {file.stem for file in SNAPSHOTS.glob("*.mmd")} == PROGRAMS.keys()


@pytest.mark.parametrize("name", PROGRAMS)
def test_every_edge_leads_to_a_node_and_every_node_is_reached(name: str) -> None:
    nodes = graph_of(PROGRAMS[name]).nodes
    reached, todo = {0}, [0]
    while todo:
        fresh = {target for target, _ in nodes[todo.pop()].successors} - reached
        reached |= fresh
        todo += fresh
    assert reached == set(range(len(nodes)))


@pytest.mark.parametrize("name", PROGRAMS)
def test_every_loop_that_is_closed_goes_back_to_its_head(name: str) -> None:
    graph = graph_of(PROGRAMS[name])
    for number, node in enumerate(graph.nodes):
        if node.again is not None:
            assert any(target < number for target, _ in node.successors)
            assert node.again in graph.loops


@pytest.mark.parametrize("name", PROGRAMS)
def test_an_event_knows_its_own_node(name: str) -> None:
    graph = graph_of(PROGRAMS[name])
    assert all(graph.nodes[event.number].event is event for event in graph.events())


@pytest.mark.parametrize(
    "dead",
    [
        "if False:\n    optimizer.step()\n",
        "while False:\n    optimizer.step()\n",
        "def unused():\n    optimizer.step()\n",
        "raise SystemExit\noptimizer.step()\n",
        "sys.exit()\noptimizer.step()\n",
        "for x in loader:\n    continue\n    optimizer.step()\n",
        "for x in loader:\n    break\n    optimizer.step()\n",
        "def early():\n    return\n    optimizer.step()\nearly()\n",
        "while True:\n    pass\noptimizer.step()\n",
        "if __name__ != '__main__':\n    optimizer.step()\n",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    optimizer.step()\n",
        "lambda: optimizer.step()\n",
        "'optimizer.step()'\n",
        "# optimizer.step()\n",
    ],
)
def test_what_is_never_executed_is_no_event(dead: str) -> None:
    assert events(dead) == []


@pytest.mark.parametrize(
    "alive",
    [
        "if True:\n    optimizer.step()\n",
        "while True:\n    optimizer.step()\n",
        "while True:\n    break\noptimizer.step()\n",
        "if __name__ == '__main__':\n    optimizer.step()\n",
        "x = [optimizer.step() for _ in range(3)]\n",
        "x = a and optimizer.step()\n",
        "x = optimizer.step() if a else None\n",
        "x = (lambda: optimizer.step())()\n",
        "print(optimizer.step())\n",
        "assert optimizer.step() is None\n",
        "with a, b(optimizer.step()):\n    pass\n",
        "def f():\n    return optimizer.step()\nf()\n",
        "async def f():\n    optimizer.step()\nawait f()\n",
        "def f():\n    try:\n        return 1\n    finally:\n        optimizer.step()\nf()\n",
        "f'{optimizer.step()}'\n",
        "x = {'a': optimizer.step()}\n",
        "x = y = optimizer.step()\n",
        "x += optimizer.step()\n",
        "x: None = optimizer.step()\n",
        "(y := optimizer.step())\n",
        "for x in [optimizer.step()]:\n    pass\n",
        "step = optimizer.step\nstep()\n",
        "o = optimizer\no.step()\n",
        "a, b = optimizer, model\na.step()\n",
        "o = {'main': optimizer}\no['main'].step()\n",
        "class A:\n    def __call__(self):\n        optimizer.step()\nA()()\n",
        "class A:\n    def __init__(self):\n        optimizer.step()\nA()\n",
        "import functools\nf = functools.partial(optimizer.step)\nf()\n",
    ],
)
def test_what_is_executed_is_an_event_wherever_it_stands(alive: str) -> None:
    assert events(alive) == ["STEP"]


def test_events_are_in_the_order_of_execution() -> None:
    text = "def f(a, b):\n    model.zero_grad()\nf(optimizer.step(), (loss.backward(), optimizer.zero_grad()))\n"
    assert events(text) == ["STEP", "BACKWARD", "CLEAR", "CLEAR"]


def test_an_event_in_a_helper_knows_the_call_that_led_to_it() -> None:
    (step,) = happenings("def f():\n    optimizer.step()\ndef g():\n    f()\ng()\n")
    file, _ = step.site.calls[0]
    assert [file.tree.source(node) for _, node in step.site.calls] == ["g()", "f()"]


def test_events_know_the_loops_and_conditions_around_them() -> None:
    text = "for e in range(9):\n    if a:\n        while b:\n            if not c:\n                optimizer.step()\n"
    (step,) = happenings(text)
    assert [loop.text for loop in step.loops] == ["for e in range(9)", "while b"]
    assert [str(guard) for guard in step.guards] == ["`a` is true", "`c` is false"]


@pytest.mark.parametrize("ended", ["continue", "break"])
def test_behind_a_jump_the_rest_of_the_body_depends_on_its_condition(ended: str) -> None:
    (step,) = happenings(f"for x in loader:\n    if a:\n        {ended}\n    optimizer.step()\n")
    assert [str(guard) for guard in step.guards] == ["`a` is false"]


@pytest.mark.parametrize(
    "clear",
    [
        "optimizer.zero_grad()",
        "optimizer.zero_grad(set_to_none=True)",
        "model.zero_grad()",
        "for p in model.parameters():\n    p.grad = None",
        "for p in model.parameters():\n    p.grad.zero_()",
        "for p in model.parameters():\n    p.grad.data.zero_()",
        "for p in model.parameters():\n    if p.grad is not None:\n        p.grad.zero_()",
        "for n, p in model.named_parameters():\n    p.grad = None",
        "for g in optimizer.param_groups:\n    for p in g['params']:\n        p.grad = None",
        "for p in model.parameters():\n    del p.grad",
        "torch._foreach_zero_([p.grad for p in model.parameters()])",
        "[o.zero_grad() for o in [optimizer]]",
        "for o in (optimizer,):\n    o.zero_grad()",
    ],
)
def test_every_way_of_clearing_is_one_clear(clear: str) -> None:
    assert [kind for kind in events(clear + "\n") if kind != Kind.READ.name] == ["CLEAR"]


@pytest.mark.parametrize(
    ("call", "written"),
    [
        ("loss.backward()", "loss"),
        ("loss.backward(retain_graph=True)", "loss"),
        ("scaler.scale(loss).backward()", "loss"),
        ("torch.autograd.backward(loss)", "loss"),
        ("engine.backward(loss)", "loss"),
        ("loss.backward(torch.ones_like(loss))", ""),
        ("torch.autograd.backward(loss, gradient)", ""),
        ("torch.autograd.backward(loss, grad_tensors=None)", "loss"),
        ("loss.backward(None)", "loss"),
    ],
)
def test_a_backward_pass_knows_how_its_loss_is_written_unless_it_is_given_a_gradient(call: str, written: str) -> None:
    found = happenings(f"{HEAD}for x in loader:\n    loss = model(x).sum()\n    {call}\n")
    assert [event.written for event in found if event.kind is Kind.BACKWARD] == [written]
