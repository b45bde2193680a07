"""Several files: what an import leads to, and what it means where it leads nowhere."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Run, places
from programs import HEAD, findings_in

Write = Callable[[str, str], Path]

BROKEN = ["LG101"]
RIGHT: list[str] = []

CLEAR = "def prepare(optimizer):\n    optimizer.zero_grad()\n"
IDLE = "def prepare(optimizer):\n    print(optimizer.defaults, 'before zero_grad')\n"
USE = "    prepare(optimizer)\n"


def train(imports: str, call: str = USE, before: str = "") -> str:
    """A script that imports something, makes a model and its optimizer, and calls something in each iteration."""
    return f"{imports}{HEAD}{before}for x in loader:\n{call}    model(x).sum().backward()\n    optimizer.step()\n"


@pytest.fixture
def codes(place: Path, write: Write) -> Callable[..., list[str]]:
    """The codes of the findings in a file of a project of these files, whose root is the current directory."""

    def check(files: dict[str, str], checked: str = "train.py") -> list[str]:
        for name, text in files.items():
            write(name, text)
        return [finding.code for finding in findings_in(Path(checked), [place])]

    return check


Codes = Callable[..., list[str]]


@pytest.mark.parametrize(
    ("imports", "call", "file"),
    [
        ("from helper import prepare\n", USE, "helper.py"),
        ("from helper import prepare as ready\n", "    ready(optimizer)\n", "helper.py"),
        ("from helper import *\n", USE, "helper.py"),
        ("import helper\n", "    helper.prepare(optimizer)\n", "helper.py"),
        ("import helper as h\n", "    h.prepare(optimizer)\n", "helper.py"),
        ("from pkg.helper import prepare\n", USE, "pkg/helper.py"),
        ("from pkg import helper\n", "    helper.prepare(optimizer)\n", "pkg/helper.py"),
        ("import pkg.helper\n", "    pkg.helper.prepare(optimizer)\n", "pkg/helper.py"),
        ("import pkg.helper as h\n", "    h.prepare(optimizer)\n", "pkg/helper.py"),
        ("from pkg.sub.helper import prepare\n", USE, "pkg/sub/helper.py"),
        ("from pkg import prepare\n", USE, "pkg/__init__.py"),
        ("import pkg\n", "    pkg.prepare(optimizer)\n", "pkg/__init__.py"),
        ("from pkg import *\n", USE, "pkg/__init__.py"),
        ("try:\n    from helper import prepare\nexcept ImportError:\n    pass\n", USE, "helper.py"),
        ("if True:\n    from helper import prepare\n", USE, "helper.py"),
        ("", "    from helper import prepare\n    prepare(optimizer)\n", "helper.py"),
    ],
)
def test_a_helper_of_another_file_does_what_its_text_says(codes: Codes, imports: str, call: str, file: str) -> None:
    assert codes({file: CLEAR, "train.py": train(imports, call)}) == RIGHT
    assert codes({file: IDLE, "train.py": train(imports, call)}) == BROKEN


@pytest.mark.parametrize(
    ("imports", "call", "file"),
    [
        ("from .helper import prepare\n", USE, "pkg/helper.py"),
        ("from . import helper\n", "    helper.prepare(optimizer)\n", "pkg/helper.py"),
        ("from . import prepare\n", USE, "pkg/__init__.py"),
        ("from .sub.helper import prepare\n", USE, "pkg/sub/helper.py"),
        ("from .sub import prepare\n", USE, "pkg/sub/__init__.py"),
        ("from .. import prepare\n", USE, "__init__.py"),
        ("from ..helper import prepare\n", USE, "helper.py"),
        ("from ..other.helper import prepare\n", USE, "other/helper.py"),
        ("from .helper import *\n", USE, "pkg/helper.py"),
    ],
)
def test_a_relative_import_starts_at_the_package(codes: Codes, imports: str, call: str, file: str) -> None:
    assert codes({file: CLEAR, "pkg/train.py": train(imports, call)}, "pkg/train.py") == RIGHT
    assert codes({file: IDLE, "pkg/train.py": train(imports, call)}, "pkg/train.py") == BROKEN


def test_a_package_passes_on_what_it_imports(codes: Codes) -> None:
    files = {"pkg/__init__.py": "from .helper import prepare\n", "train.py": train("from pkg import prepare\n")}
    assert codes({**files, "pkg/helper.py": CLEAR}) == RIGHT
    assert codes({**files, "pkg/helper.py": IDLE}) == BROKEN


def test_a_package_passes_on_what_it_imports_with_a_star(codes: Codes) -> None:
    files = {"pkg/__init__.py": "from .helper import *\n", "train.py": train("from pkg import prepare\n")}
    assert codes({**files, "pkg/helper.py": CLEAR}) == RIGHT
    assert codes({**files, "pkg/helper.py": IDLE}) == BROKEN


def test_a_file_beside_the_importing_one_is_found_before_one_of_the_root(codes: Codes) -> None:
    text = train("from helper import prepare\n")
    files = {"helper.py": IDLE, "scripts/helper.py": CLEAR, "scripts/train.py": text}
    assert codes(files, "scripts/train.py") == RIGHT
    assert codes({"helper.py": CLEAR, "scripts/helper.py": IDLE}, "scripts/train.py") == BROKEN


def test_packages_below_src_are_found(codes: Codes) -> None:
    text = train("from pkg.helper import prepare\n")
    assert codes({"src/pkg/helper.py": CLEAR, "scripts/train.py": text}, "scripts/train.py") == RIGHT


@pytest.mark.parametrize(
    "imports",
    [
        "from missing import prepare\n",
        "from .missing import prepare\n",
        "from ........far import prepare\n",
        "from helper import missing as prepare\n",
        "from missing import *\n",
        "import missing as prepare\n",
        "from broken import prepare\n",
        "from binary import prepare\n",
        "from folder import prepare\n",
    ],
)
def test_what_cannot_be_read_may_do_anything_to_what_it_gets(
    codes: Codes, write: Callable[[str, bytes], Path], place: Path, imports: str
) -> None:
    write("binary.py", b"\x00\xff optimizer.zero_grad")
    (place / "folder").mkdir()
    files = {"helper.py": CLEAR, "broken.py": "def prepare(optimizer:\n    optimizer.zero_grad(\n"}
    assert codes({**files, "train.py": train(imports)}) == RIGHT


def test_a_missing_module_is_no_excuse_for_a_loop_that_does_not_use_it(codes: Codes) -> None:
    assert codes({"train.py": train("from missing import prepare\n", "")}) == BROKEN


def test_a_file_without_words_of_events_is_inert(codes: Codes) -> None:
    files = {"helper.py": "def report(thing):\n    print(thing)\n"}
    assert codes({**files, "train.py": train("from helper import report\n", "    report(model)\n")}) == BROKEN


def test_a_file_without_words_of_events_may_pass_on_what_has_some(codes: Codes) -> None:
    files = {"helper.py": "from inner import prepare\n", "inner.py": CLEAR}
    assert codes({**files, "train.py": train("from helper import prepare\n")}) == RIGHT


def test_a_file_without_words_of_events_may_call_what_has_some(codes: Codes) -> None:
    files = {"helper.py": "from inner import prepare\ndef ready(o):\n    prepare(o)\n", "inner.py": CLEAR}
    assert codes({**files, "train.py": train("from helper import ready as prepare\n")}) == RIGHT


@pytest.mark.parametrize(
    "files",
    [
        {"helper.py": "import train\n" + CLEAR},
        {"helper.py": "from train import *\n" + CLEAR},
        {"helper.py": "from train import optimizer\n" + CLEAR},
        {"helper.py": "from other import prepare\n", "other.py": "from helper import x\n" + CLEAR},
        {"helper.py": "from other import *\n", "other.py": "from helper import *\n" + CLEAR},
        {"helper.py": "import helper\nfrom helper import *\n" + CLEAR},
    ],
)
def test_files_that_import_each_other_are_read_once(codes: Codes, files: dict[str, str]) -> None:
    assert codes({**files, "train.py": train("from helper import prepare\n")}) == RIGHT


@pytest.mark.parametrize(
    "files",
    [
        {"helper.py": "from helper import prepare\n# zero_grad"},
        {"helper.py": "from other import prepare\n# step", "other.py": "from helper import prepare\n# optim"},
        {"helper.py": "from train import prepare\n# zero_grad"},
        {"helper/__init__.py": "from . import prepare\n# zero_grad"},
    ],
)
def test_a_name_that_only_circles_is_unknown(codes: Codes, files: dict[str, str]) -> None:
    assert codes({**files, "train.py": train("from helper import prepare\n")}) == RIGHT


def test_a_module_that_imports_itself_ends(codes: Codes) -> None:
    assert codes({"train.py": train("from train import *\nimport train\nfrom . import train\n", "")}) == BROKEN


@pytest.mark.parametrize(("clear", "expected"), [("self.optimizer.zero_grad()", RIGHT), ("pass", BROKEN)])
def test_a_method_comes_from_a_base_in_another_file(codes: Codes, clear: str, expected: list[str]) -> None:
    base = f"class Base:\n    def before(self):\n        {clear}\n    def zero_grad(self):\n        pass\n"
    script = (
        "from base import Base\nimport torch\nclass Trainer(Base):\n    def __init__(self, model):\n"
        "        self.model = model\n        self.optimizer = torch.optim.SGD(model.parameters(), lr=0.1)\n"
        "    def fit(self, loader):\n        for x in loader:\n            self.before()\n"
        "            self.model(x).sum().backward()\n            self.optimizer.step()\n"
    )
    assert codes({"base.py": base, "train.py": script}) == expected


@pytest.mark.parametrize(("update", "expected"), [("trainer.optimizer.zero_grad()", RIGHT), ("pass", BROKEN)])
def test_an_object_of_another_file_has_its_attributes(codes: Codes, update: str, expected: list[str]) -> None:
    trainer = (
        "import torch\nclass Trainer:\n    def __init__(self, model):\n"
        "        self.optimizer = torch.optim.SGD(model.parameters(), lr=0.1)\n"
    )
    script = (
        "from trainer import Trainer\nimport torch\nmodel = torch.nn.Linear(2, 1)\ntrainer = Trainer(model)\n"
        f"for x in loader:\n    {update}\n    model(x).sum().backward()\n    trainer.optimizer.step()\n"
    )
    assert codes({"trainer.py": trainer, "train.py": script}) == expected


def test_an_optimizer_made_by_a_function_of_another_file_is_one(codes: Codes) -> None:
    setup = "import torch\ndef build(net):\n    return torch.optim.SGD(net.parameters(), lr=0.1)\n"
    before = "from setup import build\nsgd = build(model)\n"
    script = f"{HEAD}{before}for x in loader:\n    model(x).sum().backward()\n    sgd.step()\n"
    assert codes({"setup.py": setup, "train.py": script}) == BROKEN


def test_a_mistake_in_another_file_is_told_there_and_once(run: Run, write: Write) -> None:
    write("helper.py", "def update(model, optimizer, x):\n    model(x).sum().backward()\n    optimizer.step()\n")
    script = "import torch\nfrom helper import update\n" + HEAD
    write("train.py", script + "for x in loader:\n    update(model, optimizer, x)\n")
    assert places(run("check", "--output-format", "concise")) == ["train.py:7:5: LG101"]


def test_both_ends_of_an_import_are_checked_in_any_order(run: Run, write: Write) -> None:
    write("a.py", train("from b import prepare\n"))
    write("b.py", train("from c import prepare\n").replace("for x", "def prepare(o):\n    pass\nfor x"))
    write("c.py", CLEAR)
    forwards = run("check", "a.py", "b.py", "c.py", "--output-format", "concise").stdout
    assert run("check", "c.py", "b.py", "a.py", "--output-format", "concise").stdout == forwards
    assert len(places(run("check", "--output-format", "concise"))) == 2


def test_checking_one_file_reads_the_same_project_as_checking_all(run: Run, write: Write) -> None:
    write("helper.py", CLEAR)
    write("pkg/train.py", train("from helper import prepare\n"))
    write("pyproject.toml", "")
    assert run("check").exit_code == 0
    assert run("check", "pkg/train.py").exit_code == 0
