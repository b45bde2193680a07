"""What an import may train is told from texts, by definition: no wrong no, and no yes for its whole file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from loopguard.static.imports import Imported, imports_in
from loopguard.static.project import Project

TRAINS = "def update(model, optimizer):\n    optimizer.step()\n\n\n"
PLAIN = "def load(path):\n    return open(path)\n\n\n"

Trains = Callable[[str], bool]


@pytest.fixture
def trains(tmp_path: Path) -> Trains:
    """Whether `from helper import thing` may train, for the text of `helper.py`."""

    def ask(text: str) -> bool:
        (tmp_path / "helper.py").write_text(text)
        (tmp_path / "far.py").write_text(f"{TRAINS}{PLAIN}")
        (tmp_path / "farther.py").write_text("from far import update\n\n\ndef pass_on():\n    update(1, 2)\n")
        return Project([tmp_path]).training.in_import(Imported("thing", "helper", 0, "thing"), str(tmp_path / "a.py"))

    return ask


YES = {
    "itself": "def thing(optimizer):\n    optimizer.step()\n",
    "itself, asynchronously": "async def thing(loss):\n    loss.backward()\n",
    "by a call": f"{TRAINS}def thing():\n    update(1, 2)\n",
    "by calls behind each other": f"def thing():\n    other()\n\n\ndef other():\n    update(1, 2)\n\n\n{TRAINS}",
    "by a function within": "def thing():\n    def inner(loss):\n        loss.backward()\n    return inner\n",
    "behind a function within": "def thing(loss):\n    def inner():\n        return 1\n\n    loss.backward()\n",
    "in a method": "class thing:\n    def run(self, loss):\n        loss.backward()\n",
    "in a base": "class Base:\n    def run(self, loss):\n        loss.backward()\n\n\nclass thing(Base):\n    x = 1\n",
    "by a method of another class": "class Other:\n    def go(self, loss):\n        loss.backward()\n\n\n"
    "def thing(other):\n    other.go(1)\n",
    "by a decorator": f"{TRAINS}@update\ndef thing():\n    pass\n",
    "as a variable": f"{TRAINS}thing = {{\n    1: update,\n}}\n",
    "as a variable with a type": f"{TRAINS}thing: object = update\n",
    "as an import": "from far import update as thing\n",
    "by an import": "import far\n\n\ndef thing():\n    far.update(1, 2)\n",
    "by an import within": "def thing():\n    from far import update\n    update(1, 2)\n",
    "where nobody says what it is": f"{TRAINS}if True:\n    thing = len\n",
    "from anywhere": "from far import *\n",
    "by what is named after a backward pass": "def thing():\n    run_backward_step(1)\n",
}

NO = {
    "beside what trains": f"{TRAINS}def thing():\n    load(1)\n\n\n{PLAIN}",
    "between what trains": f"{TRAINS}class thing:\n    def run(self):\n        return 1\n\n\n{TRAINS}",
    "by an import of something else": "from far import load\n\n\ndef thing():\n    load(1)\n",
    "as an import of something else": "from far import load as thing\n",
    "as a constant": f"{TRAINS}thing = 1\n",
    "in words only": f'{TRAINS}def thing():\n    """Call update, then loss.backward()."""\n    print("no update yet")\n',
    "by what belongs to a backward pass": f"{TRAINS}def thing(ctx):\n    ctx.backward_cache = 1\n",
    "by a hook": f"{TRAINS}def thing(model):\n    model.register_full_backward_hook(print)\n",
    "too far away": "from farther import pass_on\n\n\ndef thing():\n    pass_on()\n",
    "not there": "",
}


@pytest.mark.parametrize("text", YES.values(), ids=YES)
def test_what_may_train_is_seen(trains: Trains, text: str) -> None:
    assert trains(text)


@pytest.mark.parametrize("text", NO.values(), ids=NO)
def test_what_does_not_train_is_told_from_what_does(trains: Trains, text: str) -> None:
    assert not trains(text)


def test_a_submodule_is_asked_and_not_its_package(tmp_path: Path) -> None:
    package = tmp_path / "package"
    package.mkdir()
    for name, text in {"__init__": TRAINS, "quiet": PLAIN, "loud": TRAINS}.items():
        (package / f"{name}.py").write_text(text)
    training = Project([tmp_path]).training

    def answers() -> Iterator[bool]:
        for name in ("quiet", "loud", "update", ""):
            yield training.in_import(Imported(name, "package", 0, name), str(tmp_path / "a.py"))

    assert list(answers()) == [False, True, True, True]


IMPORTS = {
    "import a.b": [Imported("a", "a.b")],
    "import a.b as c, d": [Imported("c", "a.b"), Imported("d", "d")],
    "    from .a import b": [Imported("b", "a", 1, "b")],
    "from .. import b as c  # d": [Imported("c", "", 2, "b")],
    "from a import (  # one\n    b as c,\n    d,  # two, three\n)": [
        Imported("c", "a", 0, "b"),
        Imported("d", "a", 0, "d"),
    ],
    "from a.b import *": [Imported("*", "a.b", 0, "*")],
    "x = 1  # import a": [],
}


@pytest.mark.parametrize("text", IMPORTS, ids=IMPORTS)
def test_imports_are_found_in_a_text(text: str) -> None:
    assert list(imports_in(text.encode())) == IMPORTS[text]
