"""Random training programs about what goes with gradients: scalers, clips, schedules, modes, the making of optimizers.

They come about as those of `training_programs` do, from loops that are right. Those have more parts: what stands
before the loops, and in every epoch before and after the loop over batches. All may be edited, but the first only where it is what they are about.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from textwrap import indent

from hypothesis import strategies as st
from training_programs import (
    BACKWARD,
    BEGINNING,
    CLEAR,
    FORWARD,
    HEAD,
    STEP,
    UPDATE,
    WINDOW,
    Block,
    Statement,
    compiles,
    compound,
    copy,
    edit_once,
    places_in,
    text_of,
)

SETTING = """\
val_loader = [torch.randn(3, 2) for _ in range(3)]
model = nn.Sequential(nn.Linear(2, 4), nn.Dropout(0.5), nn.Linear(4, 1))
"""
OPTIMIZER = "optimizer = torch.optim.Adam(model.parameters(), lr=0.01)"
SECOND = "second = torch.optim.SGD(other.parameters(), lr=0.01)"

HELPERS = {
    "clip": "def clip(model):\n    nn.utils.clip_grad_norm_(model.parameters(), 1.0)\n",
    "apply": "def apply(scaler, optimizer):\n    scaler.step(optimizer)\n    scaler.update()\n",
    "update": """\
def update(optimizer, x):
    loss = model(x).sum()
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
""",
    "evaluate": """\
def evaluate(model):
    model.eval()
    found = 0.0
    with torch.no_grad():
        for v in val_loader:
            found += model(v).sum().item()
    model.train()
    return found
""",
    "careless": """\
def careless(model):
    model.eval()
    found = 0.0
    with torch.no_grad():
        for v in val_loader:
            found += model(v).sum().item()
    return found
""",
    "look": """\
@torch.no_grad()
def look(model):
    found = 0.0
    for v in val_loader:
        found += model(v).sum().item()
    return found
""",
}
"""What loops may call. A program has those that it calls."""


@dataclass(frozen=True)
class Right:
    """A training that is right: the body of its loop over batches, and what stands around it."""

    body: tuple[Statement, ...]
    first: tuple[Statement, ...] = (OPTIMIZER,)
    before: tuple[Statement, ...] = ()
    after: tuple[Statement, ...] = ()


SCALER = 'scaler = torch.amp.GradScaler("cpu", init_scale=4.0)'
SCALED, UNSCALE, CLIP = (
    "scaler.scale(loss).backward()",
    "scaler.unscale_(optimizer)",
    "nn.utils.clip_grad_norm_(model.parameters(), 1.0)",
)
THROUGH, RENEW = "scaler.step(optimizer)", "scaler.update()"
WITH_SCALER = (OPTIMIZER, SCALER)

RIGHT_WITH_SCALER = (
    Right((CLEAR, FORWARD, SCALED, THROUGH, RENEW), WITH_SCALER),
    Right((FORWARD, CLEAR, SCALED, UNSCALE, CLIP, THROUGH, RENEW), WITH_SCALER),
    Right((FORWARD, SCALED, UNSCALE, "clip(model)", "apply(scaler, optimizer)", CLEAR), WITH_SCALER),
    Right((FORWARD, SCALED, compound(WINDOW, UNSCALE, CLIP, THROUGH, RENEW, CLEAR)), WITH_SCALER),
    Right((FORWARD, SCALED, compound("if a", UNSCALE, CLIP), THROUGH, RENEW, CLEAR), WITH_SCALER),
    Right((CLEAR, FORWARD, (("if a", [SCALED, THROUGH, RENEW]), ("else", [BACKWARD, STEP]))), WITH_SCALER),
)

RIGHT_WITH_CLIP = (
    Right((CLEAR, FORWARD, BACKWARD, CLIP, STEP)),
    Right((FORWARD, BACKWARD, "clip(model)", STEP, CLEAR)),
    Right(("update(optimizer, x)",)),
    Right((FORWARD, "(loss / k).backward()", compound(WINDOW, CLIP, STEP, CLEAR))),
    Right((CLEAR, FORWARD, BACKWARD, compound("if b", CLIP), STEP)),
    Right(
        (
            CLEAR,
            "second.zero_grad()",
            "loss = model(x).sum() + other(x).sum()",
            BACKWARD,
            CLIP,
            STEP,
            "nn.utils.clip_grad_norm_(other.parameters(), 1.0)",
            "second.step()",
        ),
        (OPTIMIZER, SECOND),
    ),
)

SCHEDULE = "scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 2)"
PLATEAU = "plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer)"
MOVE = "scheduler.step()"

RIGHT_WITH_SCHEDULE = (
    Right((*UPDATE, MOVE), (OPTIMIZER, SCHEDULE)),
    Right(UPDATE, (OPTIMIZER, SCHEDULE), after=(MOVE,)),
    Right((FORWARD, BACKWARD, compound(WINDOW, STEP, MOVE, CLEAR)), (OPTIMIZER, SCHEDULE)),
    Right((CLEAR, FORWARD, BACKWARD, CLIP, STEP, MOVE), (OPTIMIZER, SCHEDULE)),
    Right(UPDATE, (OPTIMIZER, PLATEAU), after=("plateau.step(loss.item())",)),
    Right((*UPDATE, "total += loss.item()"), (OPTIMIZER, PLATEAU, SCHEDULE), after=("plateau.step(total)", MOVE)),
)

VALIDATION = compound("with torch.no_grad()", compound("for v in val_loader", "total += model(v).sum().item()"))

RIGHT_WITH_MODES = (
    Right(UPDATE, before=("model.train()",), after=("model.eval()", VALIDATION)),
    Right(UPDATE, after=("evaluate(model)",)),
    Right(UPDATE, before=("model.train()",), after=("careless(model)",)),
    Right((*UPDATE, compound("if i % k == 0", "evaluate(model)"))),
    Right(UPDATE, after=("model.eval()", "look(model)", "model.train()")),
    Right(("model.train()", *UPDATE, compound("if a", "careless(model)"))),
)

REPLACE = "model[2] = nn.Linear(4, 1)"

RIGHT_CONSTRUCTION = (
    Right(UPDATE, (REPLACE, OPTIMIZER)),
    Right(UPDATE, (REPLACE, "model.train()", OPTIMIZER, SCHEDULE), after=(MOVE,)),
    Right((*UPDATE, "total += loss.item()"), (OPTIMIZER,), after=("model.eval()", VALIDATION, "model.train()")),
)


PLAIN = (*UPDATE, CLIP, "model.train()", "model.eval()")
KINDS: dict[str, tuple[tuple[Right, ...], tuple[Statement, ...]]] = {
    "scaling": (RIGHT_WITH_SCALER, (*PLAIN, SCALED, UNSCALE, THROUGH, RENEW)),
    "clipping": (
        RIGHT_WITH_CLIP,
        (*PLAIN, "nn.utils.clip_grad_norm_(other.parameters(), 1.0)", "clip(model)", "model.zero_grad()"),
    ),
    "schedules": (
        RIGHT_WITH_SCHEDULE,
        (*PLAIN, MOVE, "plateau.step(total)", "plateau.step()", "scheduler.get_last_lr()"),
    ),
    "modes": (
        RIGHT_WITH_MODES,
        (*PLAIN, "evaluate(model)", "careless(model)", "look(model)", VALIDATION),
    ),
    "construction": (
        RIGHT_CONSTRUCTION,
        (*PLAIN, OPTIMIZER, REPLACE, "model[0] = nn.Linear(2, 4)", "model.requires_grad_(True)"),
    ),
}
"""For each kind of mistakes, trainings without any, and what may be put anywhere in them."""


@st.composite
def _programs(draw: st.DrawFn, kind: str) -> str:
    rights, statements = KINDS[kind]
    right = draw(st.sampled_from(rights))
    first, before, body, after = map(copy, (right.first, right.before, right.body, right.after))
    loop: Statement = (("for i, x in enumerate(loader)", body),)
    epoch: Block = [*before, loop, *after]
    training: Block = [*first, (("for epoch in range(3)", epoch),)]
    for _ in range(draw(st.integers(1, 2))):
        places = [(block, at) for block, at in places_in(epoch) if block[at] is not loop]
        if kind == "construction":
            places += 2 * [(training, at) for at, item in enumerate(training) if isinstance(item, str)]
        # Those of gradients have programs of their own.
        places += 2 * [(block, at) for block, at in places if block[at] not in UPDATE]
        edit_once(draw, training, places, statements)
    text = BEGINNING + text_of(training)
    if draw(st.booleans()):
        text = f"def train():\n{indent(text, '    ')}\n\ntrain()\n"
    if draw(st.booleans()):
        # Without this, torch refuses every second backward pass from one loss.
        text = text.replace("backward()", "backward(retain_graph=True)")
    helpers = "".join(
        f"\n\n{helper}\n\n" for name, helper in HELPERS.items() if re.search(rf"(?<![\w.]){name}\(", text)
    )
    return f"{HEAD}{SETTING}{helpers}{text}"


PROGRAMS = {kind: _programs(kind).filter(compiles) for kind in KINDS}
