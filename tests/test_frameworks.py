"""Frameworks: what they do by themselves is not missed, and what is done in spite of it is told."""

from __future__ import annotations

import pickle
import re
from pathlib import Path

import pytest
from conftest import Run, places
from programs import HEAD, codes, lowered, marks

from loopguard.events import Kind
from loopguard.knowledge import ACTS, Knowledge
from loopguard.static import frameworks

LIGHTNING = """\
import lightning as L
import torch


class Net(L.LightningModule):
    def __init__(self):
        super().__init__()
        self.net = torch.nn.Linear(2, 1)
        {switch}

    def training_step(self, batch, batch_idx):
        optimizer = self.optimizers()
        loss = self.net(batch).sum()
{body}

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)
"""
MANUAL = "self.automatic_optimization = False"
UPDATE = ("self.manual_backward(loss)", "optimizer.step()")


def lightning(*lines: str, switch: str = MANUAL, more: str = "") -> str:
    """A Lightning module whose `training_step` ends in some lines; `more` are other methods and classes."""
    body = "\n".join(f"        {line}" for line in lines)
    return LIGHTNING.format(switch=switch, body=body) + more


def hook(name: str, line: str) -> str:
    """Another method of the module."""
    return f"\n    def {name}(self, *_):\n        {line}\n"


def test_manual_optimization_is_a_loop_over_the_batches() -> None:
    assert codes(lightning(*UPDATE)) == ["LG101"]


@pytest.mark.parametrize("at", range(3))
def test_a_clear_anywhere_in_manual_optimization_is_enough(at: int) -> None:
    lines = [*UPDATE]
    lines.insert(at, "optimizer.zero_grad()")
    assert "LG101" not in codes(lightning(*lines))


def test_a_window_in_manual_optimization_is_judged_as_any_other() -> None:
    gate = ("self.manual_backward(loss)", "if (batch_idx + 1) % 4 == 0:", "    optimizer.step()")
    assert codes(lightning(*gate, "optimizer.zero_grad()")) == ["LG401"]
    assert codes(lightning(*gate, "    optimizer.zero_grad()")) == []


def test_batches_are_numbered_from_zero_in_manual_optimization() -> None:
    update = ("self.manual_backward(loss / 4)", "if batch_idx % 4 == 0:", "    optimizer.step()")
    assert codes(lightning(*update, "    optimizer.zero_grad()")) == ["LG404"]


@pytest.mark.parametrize("name", ["on_train_batch_end", "on_train_batch_start", "on_before_zero_grad"])
def test_a_hook_that_clears_between_the_batches_is_believed(name: str) -> None:
    assert codes(lightning(*UPDATE, more=hook(name, "self.optimizers().zero_grad()"))) == []


def test_a_hook_that_does_nothing_to_gradients_changes_nothing() -> None:
    assert codes(lightning(*UPDATE, more=hook("on_train_batch_end", "self.log('loss', 1.0)"))) == ["LG101"]


def test_each_of_several_optimizers_is_judged() -> None:
    update = ("self.toggle_optimizer({0})", "{1}", "self.manual_backward(self.net(batch).mean())", "{0}.step()")
    first = [line.format("opt_a", "opt_a.zero_grad()") for line in update]
    second = [line.format("opt_b", "self.log('b', 1)") for line in update]
    text = lightning("opt_a, opt_b = self.optimizers()", *first, "self.untoggle_optimizer(opt_a)", *second)
    assert codes(text) == ["LG101"]
    assert codes(text.replace("self.log('b', 1)", "opt_b.zero_grad()")) == []


def test_automatic_optimization_needs_no_clear_and_no_step() -> None:
    assert codes(lightning("return loss", switch="")) == []


@pytest.mark.parametrize(
    "lines",
    [
        ("self.manual_backward(loss)",),
        UPDATE,
        ("loss.backward()", "return loss"),
        ("loss.backward()", "return {'loss': loss, 'number': batch_idx}"),
        ("loss.backward()", "optimizer.step()"),
        ("loss.backward()", "self.optimizers().step()"),
        ("loss.backward()", "self.trainer.optimizers[0].step()"),
    ],
)
def test_automatic_optimization_by_hand_is_one_finding(lines: tuple[str, ...]) -> None:
    assert codes(lightning(*lines, switch="")) == ["LG206"]


@pytest.mark.parametrize(
    "switch",
    [
        MANUAL,
        "self.automatic_optimization = not self.hparams.manual",
        "self.net.automatic_optimization = self.manual",
    ],
)
def test_a_module_that_may_have_switched_it_off_does_nothing_by_hand_that_is_wrong(switch: str) -> None:
    assert codes(lightning("optimizer.zero_grad()", *UPDATE, switch=switch)) == []


@pytest.mark.parametrize(
    "more",
    [
        "\nnet = Net()\nnet.automatic_optimization = False\n",
        "\ntrainer = L.Trainer(automatic_optimization=False)\n",
        hook("optimizer_step", "pass"),
        hook("backward", "pass"),
    ],
)
def test_what_switches_it_off_elsewhere_is_believed(more: str) -> None:
    assert codes(lightning(*UPDATE, switch="", more=more)) == []


def test_what_another_class_switches_off_does_not_count() -> None:
    more = f"\n\nclass Other(L.LightningModule):\n    def __init__(self):\n        {MANUAL}\n"
    assert codes(lightning(*UPDATE, switch="", more=more)) == ["LG206"]


def test_a_base_that_cannot_be_read_may_have_switched_it_off() -> None:
    text = lightning(*UPDATE, switch="").replace("(L.LightningModule)", "(L.LightningModule, Mixin)")
    assert codes(text) == []


def test_a_base_of_the_project_is_read() -> None:
    base = (
        f"class Base(L.LightningModule):\n    def __init__(self):\n        super().__init__()\n        {MANUAL}\n\n\n"
    )
    text = lightning("optimizer.zero_grad()", *UPDATE, switch="")
    assert codes(text) == ["LG206"]
    assert codes(text.replace("class Net(L.LightningModule)", f"{base}class Net(Base)")) == []


def test_a_loss_of_its_own_may_run_backward_in_automatic_optimization() -> None:
    lines = ("gain = self.net(batch + 1).sum()", "gain.backward()", "return self.net(batch).sum()")
    assert codes(lightning(*lines, switch="")) == []


def test_the_optimizer_that_old_versions_wanted_tells_of_a_trainer_that_leaves_it_to_the_module() -> None:
    assert codes(lightning("self.manual_backward(loss, optimizer)", switch="")) == []


IGNITE = f"""\
import torch
from ignite.engine import Engine, Events
{HEAD.split("import torch", 1)[1].lstrip()}
def update(engine, batch):
    loss = model(batch).sum()
    loss.backward()
    optimizer.step()
    return loss.item()


trainer = Engine(update)
"""


def test_a_function_given_to_an_engine_runs_for_every_batch() -> None:
    assert marks(IGNITE) == [(9, "LG101")]
    assert codes(IGNITE.replace("    loss.backward()", "    optimizer.zero_grad()\n    loss.backward()")) == []


@pytest.mark.parametrize(
    ("handler", "found"),
    [
        ("@trainer.on(Events.ITERATION_COMPLETED)\ndef clear(engine):\n    optimizer.zero_grad()\n", []),
        ("@trainer.on(Events.ITERATION_COMPLETED)\ndef log(engine):\n    print(engine.state.output)\n", ["LG101"]),
        ("trainer.add_event_handler(Events.ITERATION_STARTED, lambda engine: optimizer.zero_grad())\n", []),
    ],
)
def test_handlers_of_an_engine_may_clear(handler: str, found: list[str]) -> None:
    assert codes(IGNITE + handler) == found


def test_a_function_within_a_function_is_driven_too() -> None:
    inner = "".join(f"    {line}\n" if line else "\n" for line in IGNITE.splitlines()[5:])
    text = "\n".join(IGNITE.splitlines()[:5]) + f"\n\n\ndef make():\n{inner}    return trainer\n"
    assert codes(text) == ["LG101"]


TRAINER = """\
from transformers import Trainer


class Mine(Trainer):
    def {method}(self, model, inputs, return_outputs=False):
        loss = model(**inputs).loss
        {line}
        return loss
"""


@pytest.mark.parametrize("method", ["training_step", "compute_loss"])
def test_the_trainer_steps_by_itself(method: str) -> None:
    assert codes(TRAINER.format(method=method, line="self.optimizer.step()")) == ["LG206"]
    assert codes(TRAINER.format(method=method, line="self.accelerator.backward(loss)")) == []
    assert codes(TRAINER.format(method=method, line="self.discriminator_optimizer.step()")) == []


def test_a_trainer_with_a_loop_of_its_own_steps_as_it_likes() -> None:
    text = TRAINER.format(method="training_step", line="self.optimizer.step()")
    assert codes(text + hook("_inner_training_loop", "pass")) == []


def loop(*lines: str, imports: str = "") -> str:
    """A loop over batches."""
    body = "".join(f"    {line}\n" for line in lines)
    return f"{imports}\n{HEAD}for i, x in enumerate(loader):\n    loss = model(x).sum()\n{body}"


SCALER = "from timm.utils import NativeScaler\nloss_scaler = NativeScaler()"


def test_the_scaler_of_timm_does_everything_but_the_clear() -> None:
    update = "loss_scaler(loss, optimizer, clip_grad=1.0, parameters=model.parameters())"
    assert codes(loop(update, imports=SCALER)) == ["LG101"]
    assert codes(loop(update, "optimizer.zero_grad()", imports=SCALER)) == []


@pytest.mark.parametrize("name", ["need_update", "update_grad"])
def test_the_scaler_of_timm_steps_when_it_is_told_to(name: str) -> None:
    update = f"loss_scaler(loss / k, optimizer, {name}=(i + 1) % k == 0)"
    clear = ("if (i + 1) % k == 0:", "    optimizer.zero_grad()")
    assert codes(loop(update, *clear, imports=SCALER)) == []
    assert codes(loop(update, "optimizer.zero_grad()", imports=SCALER)) == ["LG401"]


OPTIM_WRAPPER = "from mmengine.optim import OptimWrapper"


def test_update_params_of_mmengine_clears_by_itself() -> None:
    wrapped = "optim_wrapper = OptimWrapper(optimizer)\n"
    assert codes(wrapped + loop("optim_wrapper.update_params(loss)", imports=OPTIM_WRAPPER)) == []
    by_hand = loop("optim_wrapper.backward(loss)", "optim_wrapper.step()", imports=OPTIM_WRAPPER)
    assert codes(by_hand.replace("for i,", f"{wrapped}for i,")) == ["LG101"]


def test_update_params_of_something_else_is_no_event() -> None:
    text = loop("loss.backward()", "optimizer.step()", "logger.update_params({'i': i})")
    assert codes(text) == ["LG101"]


def test_a_context_that_belongs_to_an_update_is_no_update() -> None:
    wrapped = "optim_wrapper = OptimWrapper(optimizer)\n"
    body = ("with optim_wrapper.optim_context(model):", "    loss = model(x).sum()")
    text = loop(*body, "optim_wrapper.backward(loss)", "optim_wrapper.step()", imports=OPTIM_WRAPPER)
    assert codes(text.replace("for i,", f"{wrapped}for i,")) == ["LG101"]
    lines = ("with optimizer.toggle_model():", "    self.manual_backward(loss)", "optimizer.step()")
    assert codes(lightning(*lines)) == ["LG101"]


def test_the_step_of_xla_does_not_clear() -> None:
    imports = "import torch_xla.core.xla_model as xm"
    update = ("loss.backward()", "xm.optimizer_step(optimizer)")
    assert codes(loop(*update, imports=imports)) == ["LG101"]
    assert codes(loop("optimizer.zero_grad()", *update, imports=imports)) == []


def test_the_engine_of_deepspeed_clears_by_itself() -> None:
    imports = "import deepspeed\nengine, *_ = deepspeed.initialize(model=model)"
    assert codes(loop("engine.backward(loss)", "engine.step()", imports=imports)) == []


@pytest.mark.parametrize("maker", ["accelerate.Accelerator", "lightning.Fabric", "lightning.fabric.Fabric"])
def test_a_wrapper_that_runs_backward_clears_nothing(maker: str) -> None:
    package, _, name = maker.rpartition(".")
    method = "setup" if name == "Fabric" else "prepare"
    imports = f"from {package} import {name}\nwrapper = {name}()"
    text = loop("wrapper.backward(loss)", "optimizer.step()", imports=imports)
    text = text.replace("for i,", f"model, optimizer = wrapper.{method}(model, optimizer)\nfor i,")
    assert codes(text) == ["LG101"]
    assert codes(text + "    optimizer.zero_grad()\n") == []


def test_apex_scales_the_loss_and_clears_nothing() -> None:
    update = ("with amp.scale_loss(loss, optimizer) as scaled:", "    scaled.backward()", "optimizer.step()")
    text = loop(*update, imports="from apex import amp")
    text = text.replace("for i,", "model, optimizer = amp.initialize(model, optimizer, opt_level='O1')\nfor i,")
    assert codes(text) == ["LG101"]
    assert codes(text + "    model.zero_grad()\n") == []


def test_an_iterator_of_dali_is_a_loader() -> None:
    imports = (
        "from nvidia.dali.plugin.pytorch import DALIGenericIterator\nloader = DALIGenericIterator(pipes, ['data'])"
    )
    batch = "loss = model(x[0]['data']).sum()"
    assert codes(loop(batch, "loss.backward()", "optimizer.step()", imports=imports)) == ["LG101"]


def test_an_optimizer_of_keras_is_applied_to_gradients_that_somebody_reads() -> None:
    imports = "import keras\nkeras_optimizer = keras.optimizers.Adam()"
    update = (
        "model.zero_grad()",
        "loss.backward()",
        "weights = [v for v in model.trainable_weights]",
        "with torch.no_grad():",
        "    keras_optimizer.apply([v.value.grad for v in weights], weights)",
    )
    assert codes(loop(*update, imports=imports)) == []


def test_a_learner_of_fastai_does_it_all() -> None:
    text = f"{HEAD}from fastai.vision.all import Learner\nlearn = Learner(dls, model, opt_func=optimizer)\n"
    assert codes(text + "for epoch in range(3):\n    learn.fit_one_cycle(1)\n    learn.opt.zero_grad()\n") == []


@pytest.mark.parametrize(
    ("given", "replaced"), [("", 1), (", use_orig_params=False", 1), (", use_orig_params=True", 0)]
)
def test_fsdp_replaces_parameters_unless_it_is_told_to_keep_them(given: str, replaced: int) -> None:
    imports = "from torch.distributed.fsdp import FullyShardedDataParallel as FSDP\n"
    events = lowered(f"{imports}{HEAD}model = FSDP(model{given})\n").graph.events()
    assert [event.kind for event in events].count(Kind.REPLACE) == replaced


def test_what_is_known_is_said_in_the_words_that_a_configuration_has() -> None:
    calls = [*frameworks.CALLS.calls, frameworks.SCALER_CALL]
    assert all(set(item.does) <= set(ACTS) for item in calls)


# An in-house framework.

EVENTS = '[[tool.loopguard.events]]\ncall = "{call}"\ndoes = {does}\non = {on}\n'
SCRIPT = """\
import torch
from company.train import {name}

model = torch.nn.Linear(2, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
{before}for x in loader:
    loss = model(x).sum()
    loss.backward()
    {update}
"""
HIDDEN = "def {name}(optimizer, *, loss=None, last=True):\n    launch('{name}', optimizer)\n"


def checked(run: Run) -> list[str]:
    """The row and code of each finding in `train.py`."""
    result = run("check", "--output-format", "concise", "train.py")
    assert result.exit_code in (0, 1)
    return [re.sub(r"train\.py:(\d+):\d+: ", r"\1 ", line) for line in places(result)]


def script(name: str, update: str, before: str = "") -> str:
    """A training script that uses something from in-house."""
    return SCRIPT.format(name=name, update=update, before=before)


def test_a_clear_in_house_makes_the_loop_right(run: Run, write) -> None:
    write("train.py", script("wipe", "optimizer.step()\n    wipe(model)"))
    assert checked(run) == ["9 LG101"]
    write("pyproject.toml", EVENTS.format(call="company.train.wipe", does='["clear"]', on=0))
    assert checked(run) == []


def test_a_step_in_house_shows_that_nothing_clears(run: Run, write) -> None:
    write("train.py", script("fused", "fused(optimizer)"))
    assert checked(run) == []
    write("pyproject.toml", EVENTS.format(call="company.train.fused", does='["step"]', on='["optimizer", 0]'))
    assert checked(run) == ["9 LG101"]


def test_events_happen_in_their_order(run: Run, write) -> None:
    write("train.py", script("fused", "fused(optimizer)"))
    write("pyproject.toml", EVENTS.format(call="company.train.fused", does='["clear", "step"]', on=0))
    assert checked(run) == ["9 LG103"]
    write("pyproject.toml", EVENTS.format(call="company.train.fused", does='["step", "clear"]', on=0))
    assert checked(run) == []


def test_a_definition_in_the_project_is_known_by_its_module_and_not_read(run: Run, write) -> None:
    write("company/train.py", HIDDEN.format(name="fused"))
    write("train.py", script("fused", "fused(optimizer)"))
    write("pyproject.toml", EVENTS.format(call="company.train.fused", does='["step"]', on='"optimizer"'))
    assert checked(run) == ["9 LG101"]
    write("pyproject.toml", EVENTS.format(call="company.other.fused", does='["step"]', on='"optimizer"'))
    assert checked(run) == []


def test_a_method_of_anything_is_known_by_its_name(run: Run, write) -> None:
    update = "optimizer.fused_update()"
    write("train.py", script("anything", update))
    write("pyproject.toml", EVENTS.format(call=".fused_update", does='["step"]', on='"self"'))
    assert checked(run) == ["9 LG101"]


def test_a_method_of_a_class_is_known_by_the_class(run: Run, write) -> None:
    before = "trainer = Updater(model)\n"
    write("train.py", script("Updater", "trainer.apply(optimizer)", before))
    write("pyproject.toml", EVENTS.format(call="company.train.Updater.apply", does='["step"]', on='"optimizer"'))
    assert checked(run) == []  # the name of an argument that is given by position is not known from outside
    write("pyproject.toml", EVENTS.format(call="company.train.Updater.apply", does='["step"]', on=0))
    assert checked(run) == ["10 LG101"]


def test_an_object_of_a_class_may_be_called(run: Run, write) -> None:
    write("train.py", script("Updater", "update(optimizer)", "update = Updater()\n"))
    write("pyproject.toml", EVENTS.format(call="company.train.Updater", does='["step"]', on=0))
    assert checked(run) == ["10 LG101"]


def test_a_method_may_step_what_it_is_called_on(run: Run, write) -> None:
    write("train.py", script("Updater", "trainer.apply()", "trainer = Updater(model)\n"))
    write("pyproject.toml", EVENTS.format(call=".apply", does='["step"]', on='"self"'))
    assert checked(run) == ["10 LG101"]


def test_what_follows_the_backward_pass_may_have_a_gate(run: Run, write) -> None:
    gated = EVENTS.format(call=".fused", does='["backward", "step", "clear"]', on='"optimizer"') + 'when = "last"\n'
    write("pyproject.toml", gated)
    update = "scaler.fused(optimizer=optimizer, last=(i + 1) % k == 0)\n    optimizer.zero_grad()"
    text = script("scaler", update).replace("for x in loader", "for i, x in enumerate(loader)")
    write("train.py", text.replace("    loss.backward()\n", ""))
    assert checked(run) == ["9 LG401"]


def test_a_default_closes_the_gate_as_an_argument_does(run: Run, write) -> None:
    write("company/train.py", HIDDEN.format(name="fused").replace("last=True", "last=False"))
    write("train.py", script("fused", "fused(optimizer)"))
    known = EVENTS.format(call="company.train.fused", does='["step"]', on='"optimizer"') + 'when = "last"\n'
    write("pyproject.toml", known)
    assert checked(run) == []
    write("train.py", script("fused", "fused(optimizer, last=True)"))
    assert checked(run) == ["9 LG101"]


def test_each_of_several_optimizers_is_stepped_in_house(run: Run, write) -> None:
    write("train.py", script("fused", "fused([optimizer])"))
    write("pyproject.toml", EVENTS.format(call="company.train.fused", does='["step"]', on=0))
    assert checked(run) == ["9 LG101"]


def test_a_call_that_does_not_show_what_it_is_about_may_be_about_anything(run: Run, write) -> None:
    write("train.py", script("fused", "optimizer.step()\n    fused()"))
    assert checked(run) == ["9 LG101"]
    write("pyproject.toml", EVENTS.format(call="company.train.fused", does='["clear"]', on='"optimizer"'))
    assert checked(run) == []


def test_every_word_of_the_key_is_an_event(run: Run, write) -> None:
    does = '["backward", "unscale", "clip", "step", "update", "schedule", "clear"]'
    write("train.py", script("fused", "fused(optimizer)").replace("    loss.backward()\n", ""))
    write("pyproject.toml", EVENTS.format(call="company.train.fused", does=does, on=0))
    assert checked(run) == []
    write("pyproject.toml", EVENTS.format(call="company.train.fused", does=does.replace(', "clear"', ""), on=0))
    assert checked(run) == ["8 LG101"]


def test_what_is_known_travels_to_other_processes() -> None:
    known = Knowledge([*frameworks.CALLS.calls, frameworks.SCALER_CALL])
    there = pickle.loads(pickle.dumps(known))
    assert there.calls == known.calls
    assert there.mentioned_in("self.manual_backward(loss)")


def test_a_file_without_a_word_of_a_training_loop_is_read_for_the_words_of_the_house(run: Run, write) -> None:
    text = "import torch\n\n\ndef fit(net, o, data):\n    for x in data:\n        push(net(x).sum(), o)\n"
    write("train.py", text.replace("import torch", "import torch\nfrom company import push"))
    assert checked(run) == []
    known = EVENTS.format(call="company.push", does='["backward", "step"]', on=1) + "loss = 0\n"
    write("pyproject.toml", known)
    assert checked(run) == ["7 LG101"]


def test_the_words_of_the_house_hold_where_they_are_configured(run: Run, write, place: Path) -> None:
    """Two parts of a project, each with what it says of one name."""
    for folder, does in (("one", '["step"]'), ("two", '["step", "clear"]')):
        write(f"{folder}/train.py", script("fused", "fused(optimizer)"))
        write(f"{folder}/loopguard.toml", f'[[events]]\ncall = "company.train.fused"\ndoes = {does}\non = 0\n')
    assert places(run("check", "--output-format", "concise")) == ["one/train.py:9:5: LG101"]
