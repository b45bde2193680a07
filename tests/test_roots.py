"""Which functions are analysed on their own: those whose code trains, and those that loop around calls that may."""

from __future__ import annotations

import pytest
from programs import file_of

from loopguard.static.lowering.roots import is_root
from loopguard.static.values import Function

HELPER = """\
def update(model, optimizer, batch):
    model(batch).sum().backward()
    optimizer.step()


"""

ROOTS = {
    "a clear": "    optimizer.zero_grad()",
    "a loop around a call": "    for batch in loader:\n        update(model, optimizer, batch)",
    "a call of what is named after a backward pass": "    self.backward_step(batch)",
    "a backward pass by its name": '    getattr(batch, "backward")()',
    "a step that is given away": "    run(optimizer.step)",
    "a step with a metric and an epoch": "    scheduler.step(loss, epoch)",
    "a loop whose call is deep inside": "    while busy():\n        if ready():\n\n            update(\nmodel)",
    "an asynchronous loop": "    async for batch in loader:\n        update(model, optimizer, batch)",
    "a loop in a branch": "    if ready():\n        for batch in loader: update(model, optimizer, batch)",
    "a head over several rows": "    for batch in (\n        loader\n    ):\n        update(model, optimizer, batch)",
}

OTHERS = {
    "no loop": "    update(model, optimizer, batch)",
    "a loop beside the call": "    for batch in loader:\n        print(batch)\n    update(model, optimizer, batch)",
    "a loop around other calls": "    for batch in loader:\n        print(batch)",
    "words in a comment": "    for batch in loader:\n        print(batch)  # update, backward",
    "words in a message": '    for batch in loader:\n        print("update follows backward")',
    "what autograd keeps for its backward pass": "    ctx.backward_cache = batch",
    "a number of steps": "    self.step += 1\n    if self.step % 10 == 0:\n        print(f'{self.step}')",
    "a hook of a backward pass": "    model.register_full_backward_hook(print)",
    "a step of a diffusion": "    for t in times:\n        batch = scheduler.step(noise, t, batch)[0]",
    "what autograd is given": "    ctx.save_for_backward(batch)\n    return batch",
}


def rooted(body: str, name: str = "run") -> bool:
    file = file_of(f"{HELPER}async def {name}(ctx, model, optimizer, loader, batch):\n{body}\n")
    found = file.env.lookup(name)
    assert isinstance(found, Function)
    return is_root(file, found.node)


@pytest.mark.parametrize("body", ROOTS.values(), ids=ROOTS)
def test_what_may_train_is_analysed_on_its_own(body: str) -> None:
    assert rooted(body)


@pytest.mark.parametrize("body", OTHERS.values(), ids=OTHERS)
def test_what_cannot_train_is_not(body: str) -> None:
    assert not rooted(body)


def test_defining_a_backward_pass_is_not_running_one() -> None:
    assert not rooted("    return batch * 2", name="backward")
    assert rooted("    batch.sum().backward()", name="backward")
