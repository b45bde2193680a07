"""What frameworks do by themselves, as data: which call is which event, what wraps what, which methods they call.

Each table names the documentation that it follows. What a user's configuration says of an in-house framework
(`loopguard.knowledge`) has the form of `CALLS`, and is asked first.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from loopguard.knowledge import RECEIVER, Knowledge, KnownCall

_OPTIMIZER = re.compile(r"optim|opt\b", re.IGNORECASE)

CALLS = Knowledge(
    [
        # https://lightning.ai/docs/pytorch/stable/model/manual_optimization.html
        KnownCall(".manual_backward", ("backward",), loss=(0, "loss")),
        # https://mmengine.readthedocs.io/en/latest/tutorials/optim_wrapper.html
        KnownCall(".update_params", ("backward", "step", "clear"), (RECEIVER,), (0, "loss"), receiver=_OPTIMIZER),
        # https://docs.pytorch.org/xla/release/r2.8/learn/api-guide.html: reduces the gradients and steps; no clear
        KnownCall("torch_xla.core.xla_model.optimizer_step", ("step",), (0, "optimizer")),
    ]
)
"""Calls that are events, whatever they are called on."""

SCALER_CALL = KnownCall(
    "timm.utils.NativeScaler",
    ("backward", "unscale", "clip", "step", "update"),
    on=(1, "optimizer"),
    loss=(0, "loss"),
    when=("need_update", "update_grad"),
)
"""timm's `loss_scaler(loss, optimizer, ...)`, and its many copies: everything but the clear.

https://github.com/huggingface/pytorch-image-models/blob/main/timm/utils/cuda.py
"""

ACCELERATORS = frozenset(["accelerate.Accelerator", "lightning.Fabric", "lightning.fabric.Fabric"])
"""Objects whose `backward` takes the loss, and which wrap what takes part.

https://huggingface.co/docs/accelerate/package_reference/accelerator and
https://lightning.ai/docs/fabric/stable/api/fabric_methods.html
"""

ACCELERATOR_NAME = re.compile(r"accelerator|fabric", re.IGNORECASE)

PREPARES = frozenset(["prepare", "setup", "setup_module", "setup_optimizers", "prepare_model", "prepare_optimizer"])
"""Methods of an accelerator that return their arguments, wrapped."""

ACCUMULATES = "accumulate"
"""`with accelerator.accumulate(model)`: wrapped steps, clears and schedules wait until the window is full."""

SCALES_LOSS = "scale_loss"
"""`with amp.scale_loss(loss, optimizer) as scaled`: https://nvidia.github.io/apex/amp.html"""

INITIALIZES = frozenset(["apex.amp.initialize", "amp.initialize", "ipex.optimize"])
"""Functions that return the module and the optimizer which they are given."""

ENGINES = frozenset(["deepspeed.initialize"])
"""Functions that return an engine first, whose `backward` divides and whose `step` waits, clips, steps and clears.

https://deepspeed.readthedocs.io/en/latest/training.html
"""

WINDOW_SIZE = "gradient_accumulation_steps"
"""The argument that tells an accelerator how many batches make a window."""

OWN_OPTIMIZERS, OWN_SCHEDULERS = "optimizers", "lr_schedulers"
"""Methods of a Lightning module that return what `configure_optimizers` has made."""


class Driven(NamedTuple):
    """A method that a framework calls for every batch, in subclasses of a class of its own.

    `base` matches the dotted name of that class. The framework steps the optimizers that `own` matches by itself, and
    with `backs` it runs the backward pass of the loss that the method returns, too: unless the class mentions
    `switch`. Where it says `off`, the method does all of it, and a subclass may do a part of it in `hooks`. `counter`
    is the argument that numbers the batches, from 0.
    """

    framework: str
    base: re.Pattern[str]
    method: str
    own: re.Pattern[str]
    backs: bool
    switch: re.Pattern[str]
    off: re.Pattern[str] | None = None
    hooks: re.Pattern[str] | None = None
    counter: str = ""


DRIVEN = (
    # https://lightning.ai/docs/pytorch/stable/common/optimization.html
    Driven(
        "Lightning",
        re.compile(r"(?:^|\.)LightningModule$"),
        "training_step",
        own=re.compile(r"^self\.(?:trainer\.)?optimizers\b"),
        backs=True,
        switch=re.compile(r"automatic_optimization|def (?:optimizer_step|backward)\b"),
        off=re.compile(r"automatic_optimization\s*=\s*False"),
        hooks=re.compile(r"^on_|^optimizer_|^configure_gradient_clipping$|^backward$|^training_step_end$"),
        counter="batch_idx",
    ),
    # https://huggingface.co/docs/transformers/main_classes/trainer
    *(
        Driven(
            "the Trainer",
            re.compile(r"^transformers\.(?:Seq2Seq)?Trainer$"),
            method,
            own=re.compile(r"^self\.optimizer$"),
            backs=False,
            switch=re.compile(r"def (?:train|_?inner_training_loop|optimizer_step)\b"),
        )
        for method in ("training_step", "compute_loss")
    ),
)
"""Methods that do a part of an iteration, of which a framework does the rest."""

TOGGLES = frozenset(["toggle_optimizer", "untoggle_optimizer"])
"""Methods of a Lightning module that freeze and thaw what other optimizers hold; gradients stay as they are."""

PROCESSES = frozenset(["ignite.engine.Engine", "ignite.engine.engine.Engine"])
"""Classes whose objects call a function of the user's for every batch, and do nothing to gradients by themselves.

https://docs.pytorch.org/ignite/generated/ignite.engine.engine.Engine.html
"""

ATTACHES = re.compile(r"(?:^|\.)(?:on|add_event_handler)$")
"""How a function is attached to an event of such an object, so that it runs between two calls."""
