"""Random training programs that run: real models, optimizers and batches, tiny, as text.

Most begin as a loop that is right, and a few edits make it wrong, or not: a statement is dropped, doubled, moved, put
under a condition or a loop, or another one is put in. The others are statements in any order. Programs read two flags
from the command line, as real ones do: neither engine can tell from the text what they will be.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from textwrap import indent

from hypothesis import strategies as st

FLAGS = ("a", "b")
"""What a program may be given on its command line."""

HEAD = """\
import sys
from contextlib import contextmanager, nullcontext

import torch
from torch import nn

torch.manual_seed(0)
k = 3
a, b = "a" in sys.argv, "b" in sys.argv
loader = [torch.randn(3, 2) for _ in range(7)]
model, other = nn.Linear(2, 1), nn.Linear(2, 1)
"""

ALONE = "optimizer = torch.optim.SGD(model.parameters(), lr=0.01)\n"
APART = f"{ALONE}second = torch.optim.Adam(other.parameters(), lr=0.01)\n"
SHARED = """\
optimizer = torch.optim.SGD([*model.parameters(), *other.parameters()], lr=0.01)
second = torch.optim.Adam(other.parameters(), lr=0.01)
"""

HELPERS = {
    "clear": "def clear():\n    optimizer.zero_grad()\n",
    "compute": "def compute(x):\n    loss = model(x).sum()\n    loss.backward()\n    return loss\n",
    "apply": "def apply(optimizer):\n    optimizer.step()\n",
    "update": """\
def update(optimizer, x):
    loss = model(x).sum()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
""",
    "updating": """\
@contextmanager
def updating(optimizer):
    optimizer.zero_grad()
    yield
    optimizer.step()
""",
    "stepping": """\
@contextmanager
def stepping(optimizer):
    try:
        yield
    finally:
        optimizer.step()
""",
    "careless": """\
def careless(optimizer, x):
    loss = model(x).sum()
    loss.backward()
    optimizer.step()
""",
}
"""What loops may call. A program has those that it calls: of one that does not run, nobody knows when it would."""

Statement = str | tuple[tuple[str, "Block"], ...]
"""A simple statement, or a compound one: its clauses, each a header and a block."""

Block = list[Statement]


def compound(header: str, *block: Statement) -> Statement:
    """A compound statement of one clause."""
    return ((header, [*block]),)


CLEAR, FORWARD, BACKWARD, STEP = "optimizer.zero_grad()", "loss = model(x).sum()", "loss.backward()", "optimizer.step()"
UPDATE = (CLEAR, FORWARD, BACKWARD, STEP)
OTHER_UPDATE = ("second.zero_grad()", "other(x).sum().backward()", "second.step()")
JOINT = "loss = model(x).sum() + other(x).sum()"
BY_HAND = "for p in model.parameters(): p.grad = None"
EACH = "for o in (optimizer, second): o.zero_grad()"
WINDOW = "if (i + 1) % k == 0"

RIGHT: tuple[tuple[Statement, ...], ...] = (
    UPDATE,
    (FORWARD, BACKWARD, STEP, CLEAR),
    (FORWARD, "model.zero_grad()", BACKWARD, STEP),
    (FORWARD, "optimizer.zero_grad(set_to_none=False)", BACKWARD, STEP),
    (BY_HAND, FORWARD, BACKWARD, STEP),
    ("clear()", "loss = compute(x)", "apply(optimizer)"),
    ("update(optimizer, x)",),
    (CLEAR, "careless(optimizer, x)"),
    (compound("def closure()", CLEAR, FORWARD, BACKWARD, "return loss"), "optimizer.step(closure)"),
    (FORWARD, "(loss / k).backward()", compound(WINDOW, STEP, CLEAR)),
    ("loss = compute(x)", compound(f"{WINDOW} or i + 1 == len(loader)", STEP, CLEAR)),
    (FORWARD, (("if a", [CLEAR, BACKWARD, STEP]), ("else", [CLEAR, BACKWARD, STEP]))),
    (CLEAR, FORWARD, compound("if a", "continue"), BACKWARD, STEP),
    (*UPDATE, compound("if b and i == 4", "break")),
    ((("try", [CLEAR, FORWARD, BACKWARD]), ("finally", [STEP])),),
    (CLEAR, compound("with nullcontext()", FORWARD, BACKWARD), STEP),
    (compound("with updating(optimizer)", FORWARD, BACKWARD),),
    (compound("with stepping(optimizer)", CLEAR, FORWARD, BACKWARD),),
    (CLEAR, compound("for x in loader[:3]", FORWARD, BACKWARD), STEP),
    (compound("for x in loader[:3]", *UPDATE),),
)
"""Bodies of loops over batches that are right, about one optimizer."""

RIGHT_FOR_TWO: tuple[tuple[Statement, ...], ...] = (
    (*UPDATE, *OTHER_UPDATE),
    (*UPDATE, compound("if a", *OTHER_UPDATE)),
    (CLEAR, "second.zero_grad()", JOINT, BACKWARD, STEP, "second.step()"),
    (EACH, JOINT, BACKWARD, STEP, "second.step()"),
    (CLEAR, JOINT, BACKWARD, STEP, *OTHER_UPDATE),
)
"""And about two of them, which hold different parameters."""

GIVEN: tuple[Statement, ...] = ("for p in model.parameters(): p.grad = 0.01 * p.detach()", FORWARD, BACKWARD, STEP)
"""Right as well, and no beginning for edits: gradients that are given by hand, and those of a loss on top."""

WRONG: tuple[tuple[str, tuple[Statement, ...]], ...] = (
    ("LG101", (FORWARD, BACKWARD, STEP)),
    ("LG102", (CLEAR, compound("for x in loader[:3]", FORWARD, BACKWARD, STEP))),
    ("LG103", (FORWARD, BACKWARD, CLEAR, STEP)),
    ("LG103", (FORWARD, BACKWARD, "model.zero_grad()", STEP)),
    ("LG106", (CLEAR, "second.zero_grad()", JOINT, BACKWARD, STEP, "other(x).sum().backward()", "second.step()")),
    ("LG201", (CLEAR, FORWARD, BACKWARD)),
    ("LG202", (CLEAR, STEP, FORWARD, BACKWARD)),
    ("LG204", (*UPDATE, STEP)),
    ("LG301", (CLEAR, FORWARD, STEP)),
    ("LG302", (CLEAR, compound("for x in loader[:3]", FORWARD), BACKWARD, STEP)),
    ("LG101", (compound("with stepping(optimizer)", FORWARD, BACKWARD),)),
    ("LG401", (CLEAR, "loss = compute(x)", compound(WINDOW, STEP))),
)
"""One mistake each, with the rule that tells of it: every mistake of the gradient lifecycle is among them."""

PLAIN = (*UPDATE, *UPDATE)
MORE = (
    *PLAIN,
    "model.zero_grad()",
    "clear()",
    "compute(x)",
    "apply(optimizer)",
    "update(optimizer, x)",
    "careless(optimizer, x)",
    "model(x).sum().backward()",
    "loss = loss.detach()",
    f"{FORWARD}\ntotal += loss",
    f"{FORWARD}\ntotal += loss.item()",
)
EITHER = ("(optimizer if a else second).zero_grad()", "(second if b else optimizer).step()")
FOR_TWO = (*MORE, *OTHER_UPDATE, "other.zero_grad()", "loss = other(x).sum()", JOINT, *EITHER)
"""What may stand anywhere in a loop over batches, likelier first."""

BEGINNING = "i, x, total = 0, loader[0], 0.0\nloss = model(x).sum()\n"
"""Gives a value to what a loop may use before it sets it, once statements have been moved."""

TESTS = ("a", "not a", "b", "a and b", "a or b", "(i + 1) % k == 0", "i % k == 0", "i > 2")
HEADERS = (*(f"if {test}" for test in TESTS), "for _ in range(2)", "for x in loader[:3]", "with nullcontext()")

JUMPS = ("break", "continue")
EDITS = ("drop", "drop", "drop", "move", "move", "wrap", "wrap", "put", "double", *JUMPS)
"""What may be done to a statement. Jumps are put before it, under a condition."""


def blocks(block: Block) -> Iterator[Block]:
    """A block, and all blocks within it, but not those of functions, nor those that end in a jump."""
    yield block
    for item in block:
        for header, inner in item if not isinstance(item, str) else ():
            if not header.startswith("def") and not {*JUMPS}.intersection(map(str, inner)):
                yield from blocks(inner)


def copy(block: Iterable[Statement]) -> Block:
    """A block that may be edited, and leave the one that it is of as it is."""
    return [item if isinstance(item, str) else tuple((header, copy(inner)) for header, inner in item) for item in block]


def text_of(block: Block) -> str:
    """The text of a block."""
    lines: list[str] = []
    for item in block or ["pass"]:
        if isinstance(item, str):
            lines.append(f"{item}\n")
        else:
            lines += [f"{header}:\n{indent(text_of(inner), '    ')}" for header, inner in item]
    return "".join(lines)


def places_in(block: Block) -> list[tuple[Block, int]]:
    """Where the statements of a block are, and those of all blocks within it."""
    return [(inner, at) for inner in blocks(block) for at in range(len(inner))]


def edit_once(
    draw: st.DrawFn, training: Block, places: Sequence[tuple[Block, int]], statements: Sequence[Statement]
) -> None:
    """Edit one of some statements of a training. What is moved may go anywhere."""
    if not places:
        return
    block, at = draw(st.sampled_from(places))
    edit = draw(st.sampled_from(EDITS))
    if edit == "drop":
        del block[at]
    elif edit == "move":
        item = block.pop(at)
        target, to = draw(st.sampled_from([(b, n) for b in blocks(training) for n in range(len(b) + 1)]))
        target.insert(to, item)
    elif edit == "put":
        block.insert(at, copy([draw(st.sampled_from(statements))])[0])
    elif edit == "wrap":
        block[at] = compound(draw(st.sampled_from(HEADERS)), block[at])
    elif edit == "double":
        block.insert(at, copy([block[at]])[0])
    else:
        block.insert(at, compound(f"if {draw(st.sampled_from(TESTS))}", edit))


def compiles(text: str) -> bool:
    """Whether a text is a program."""
    try:
        compile(text, "train.py", "exec")
    except SyntaxError:
        return False  # a `break` that was moved out of its loop, a `return` out of its function
    return True


def _program(optimizers: str, text: str) -> str:
    """A whole program, with the helpers that a training calls."""
    helpers = "".join(f"\n\n{helper}\n\n" for name, helper in HELPERS.items() if f"{name}(" in text)
    return f"{HEAD}{optimizers}{helpers}{text}"


def program_of(body: Sequence[Statement]) -> str:
    """A program with a loop over batches of this body, and nothing random about it."""
    loop = compound("for epoch in range(2)", compound("for i, x in enumerate(loader)", *body))
    text = text_of([loop])
    return _program(APART if "second" in text else ALONE, BEGINNING + text)


@st.composite
def _programs(draw: st.DrawFn) -> str:
    two = draw(st.booleans())
    optimizers = draw(st.sampled_from((APART, SHARED))) if two else ALONE
    body = copy(draw(st.sampled_from((*RIGHT, *RIGHT_FOR_TWO) if two else RIGHT)))
    training: Block = [(("for i, x in enumerate(loader)", body),)]
    if draw(st.booleans()):
        training = [(("for epoch in range(2)", training),)]
    for _ in range(draw(st.integers(1, 4))):
        edit_once(draw, training, places_in(body), FOR_TWO if two else MORE)
    text = BEGINNING + text_of(training)
    if draw(st.booleans()):
        text = f"def train():\n{indent(text, '    ')}\n\ntrain()\n"
    if draw(st.booleans()):
        # Without this, torch refuses every second backward pass from one loss.
        text = text.replace(BACKWARD, "loss.backward(retain_graph=True)")
    return _program(optimizers, text)


PROGRAMS = _programs().filter(compiles)
