"""Many files, imports, cells, settings."""

from __future__ import annotations

import json

from growth.pieces import FAULTY, HEAD, HEALTHY, indented, many, several


def notebook(*cells: str) -> dict[str, str]:
    """A notebook of these cells."""
    made = [{"cell_type": "code", "source": cell.splitlines(keepends=True)} for cell in cells]
    return {"train.ipynb": json.dumps({"cells": made, "metadata": {}, "nbformat": 4})}


def chain(line: str, last: str, train: str, name: str = "m{}.py") -> object:
    """Files of which each imports the next one, as `line` says."""

    def make(size: int) -> dict[str, str]:
        files = {
            name.replace("{}", str(n)): line.replace("{+}", str(n + 1))
            .replace("{++}", str(min(n + 2, size)))
            .replace("{}", str(n))
            for n in range(size)
        }
        return {"train.py": f"{HEAD}{train}", **files, name.replace("{}", str(size)): last}

    return make


_CALLED = "from m0 import f0\nfor x in loader:\n    loss.backward()\n    f0(optimizer)\n"

SHAPES = {
    "files": lambda size: {"train.py": HEAD + FAULTY, **{f"m{n}.py": HEAD + FAULTY for n in range(size)}},
    "files that are well": lambda size: {
        "train.py": HEAD + FAULTY,
        **{f"m{n}.py": HEAD + HEALTHY for n in range(size)},
    },
    "files that import each other": lambda size: {
        "train.py": HEAD + FAULTY,
        **{f"m{n}.py": f"from m{(n + 1) % size} import f\n{HEAD}def f():\n{indented(FAULTY)}" for n in range(size)},
    },
    "files that import one": lambda size: {
        "train.py": f"{HEAD}def f():\n{indented(FAULTY)}",
        **{f"m{n}.py": f"from train import f\n{HEAD}for x in loader: f()\n" for n in range(size)},
    },
    "files that one imports": lambda size: {
        "train.py": many("from m{} import f{}\n", size) + HEAD + FAULTY + many("    f{}(optimizer)\n", size),
        **{f"m{n}.py": f"def f{n}(o): o.step()\n" for n in range(size)},
    },
    "files of which one imports all": lambda size: {
        "train.py": many("from m{} import *\n", size) + HEAD + FAULTY + many("    f{}(optimizer)\n", size),
        **{f"m{n}.py": f"def f{n}(o): o.step()\n" for n in range(size)},
    },
    "a chain of imports": chain("from m{+} import f{+}\ndef f{}(o): f{+}(o)\n", "def f{}(o): o.step()\n", _CALLED),
    "a chain of imports that step": chain(
        "from m{+} import f{+}\ndef f{}(o):\n    f{+}(o)\n    o.step()\n", "", _CALLED
    ),
    "a chain of star imports": chain("from m{+} import *\n", "def f(o): o.step()\n", _CALLED.replace("f0", "f")),
    "a chain of star imports and names": chain(
        "from m{+} import *\na{} = 1\ndef g{}(): pass\n", "def f(o): o.step()\n", _CALLED.replace("f0", "f")
    ),
    "a chain of star imports and events": chain(
        "from m{+} import *\ndef g{}(o): o.step()\n", "def f(o): o.step()\n", _CALLED.replace("f0", "f")
    ),
    "two star imports each": chain(
        "from m{+} import *\nfrom m{++} import *\n", "def f(o): o.step()\n", _CALLED.replace("f0", "f")
    ),
    "two star imports each, and events": chain(
        "from m{+} import *\nfrom m{++} import *\ndef g{}(o): o.step()\n",
        "def f(o): o.step()\n",
        _CALLED.replace("f0", "f"),
    ),
    "two imports each": chain(
        "import m{+}\nimport m{++}\n", "def f(o): o.step()\n", "import m0\nm0.f(optimizer)\n" + FAULTY
    ),
    "passed on names": chain("from m{+} import f\n", "def f(o): o.step()\n", _CALLED.replace("f0", "f")),
    "a chain of modules": chain("import m{+}\n", "def f(o): o.step()\n", "import m0\nm0.f(optimizer)\n" + FAULTY),
    "packages": lambda size: {
        "train.py": f"from {several('p', min(size, 50), '.')} import f\n{HEAD}{FAULTY}    f(optimizer)\n",
        **{f"{several('p', depth, '/')}/__init__.py": f"from .p import f\n{HEAD}" for depth in range(1, min(size, 50))},
        f"{several('p', min(size, 50), '/')}/__init__.py": "def f(o): o.step()\n",
    },
    "modules of a package": lambda size: {
        "train.py": f"import p\n{HEAD}{FAULTY}" + many("    p.m{}.f(optimizer)\n", size),
        "p/__init__.py": many("from . import m{}\n", size),
        **{f"p/m{n}.py": "def f(o): o.step()\n" for n in range(size)},
    },
    "imports that are nowhere": lambda size: {
        "train.py": many("import a{}.b.c\nfrom d{}.e import f\n", size) + HEAD + FAULTY
    },
    "classes of other files": chain(
        "from m{+} import A{+}\nclass A{}(A{+}):\n    def f{}(self): self.f{+}()\n",
        "class A:\n    def f(self): optimizer.step()\n",
        "from m0 import A0\nfor x in loader:\n    loss.backward()\n    A0().f0()\n",
    ),
    "cells": lambda size: notebook(HEAD, *[f"x{n} = 1" for n in range(size)], FAULTY),
    "cells that train": lambda size: notebook(HEAD, *[FAULTY] * size),
    "cells of one magic": lambda size: notebook(HEAD, *["%matplotlib inline"] * size, FAULTY),
    "cells with remarks": lambda size: notebook(HEAD, *["optimizer.step  # loopguard: ignore[LG001]"] * size, FAULTY),
    "a cell of magics": lambda size: notebook(HEAD, "%magic a\n" * size, FAULTY),
    "a cell of continued magics": lambda size: notebook(HEAD, "%magic a \\\n" * size + "b\n", FAULTY),
    "a large cell": lambda size: notebook(HEAD, many("x{} = 1\n", size), FAULTY),
    "a cell of a question": lambda size: notebook(HEAD, f"{'a.b*' * size}\n", FAULTY),
    "a cell of a long assignment": lambda size: notebook(HEAD, f"{'a ' * size}= 1\n", FAULTY),
    "a cell of quotes": lambda size: notebook(HEAD, 'x = "' + '\\"' * size + "\n", FAULTY),
    "a cell of strings": lambda size: notebook(HEAD, "x = [" + '"a", ' * size + "]\n", FAULTY),
    "a cell of a long string": lambda size: notebook(HEAD, "x = '''\n" + "a b c\n" * size + "'''\n", FAULTY),
    "a cell of brackets": lambda size: notebook(HEAD, "x = [\n" + "[1],\n" * size + "]\n", FAULTY),
    "a notebook of markdown": lambda size: {
        "train.ipynb": json.dumps(
            {
                "cells": [{"cell_type": "markdown", "source": "a"}] * size
                + [{"cell_type": "code", "source": HEAD + FAULTY}]
            }
        )
    },
    "patterns of files that are left out": lambda size: {
        "train.py": HEAD + FAULTY,
        ".gitignore": many("a{}/*\n", size),
        **{f"m{n}.py": "x = 1\n" for n in range(20)},
    },
    "wild patterns of files that are left out": lambda size: {
        "train.py": HEAD + FAULTY,
        ".gitignore": "*a" * min(size, 40) + "\n" + "**/" * min(size, 40) + "b\n",
        **{f"{'a' * 60}{n}.py": "x = 1\n" for n in range(max(size // 10, 1))},
    },
    "settings for files": lambda size: {
        "train.py": HEAD + FAULTY,
        "loopguard.toml": "[per-file-ignores]\n" + many('"a{}/*" = ["LG101"]\n', size),
    },
    "rules that are left out": lambda size: {
        "train.py": HEAD + FAULTY,
        "loopguard.toml": f"ignore = [{several(chr(34) + 'LG101' + chr(34), size)}]\n",
    },
    "known calls": lambda size: {
        "train.py": HEAD + FAULTY + many("    g{}(optimizer)\n", size),
        "loopguard.toml": many('[[events]]\ncall = "a.b.f{}"\ndoes = ["step"]\non = 0\n', size),
    },
    "folders": lambda size: {"train.py": HEAD + FAULTY, **{f"d{n}/m.py": "x = 1\n" for n in range(size)}},
    "folders within folders": lambda size: {
        "train.py": HEAD + FAULTY,
        f"{several('d', min(size, 150), '/')}/m.py": "x = 1\n",
    },
}
