"""Comments, strings, lines, words: what is read before there is a tree."""

from __future__ import annotations

from growth.pieces import FAULTY, HEAD, HEALTHY, before, indented, many, several, within

SHAPES = {
    "a string of noqa, and no loop": lambda size: f"x = '{'noqa ' * size}'\n",
    "a string of noqa": lambda size: before(f"x = '{'noqa ' * size}'\n"),
    "a string of loopguard": lambda size: before(f"x = '{'loopguard: ' * size}'\n"),
    "a comment of noqa": lambda size: before(f"x = 1  {'# noqa: LG101 ' * size}\n"),
    "a comment of noqa and spaces": lambda size: before(f"x = 1  # noqa{' ' * size}:{' ' * size}\n"),
    "a noqa of many codes": lambda size: before(f"x = 1  # noqa: {several('E{}', size)}\n"),
    "a noqa of a long code": lambda size: before(f"x = 1  # noqa: E{'1' * size}x\n"),
    "a comment of ignores": lambda size: before(f"x = 1  {'# loopguard: ignore[LG101] ' * size}\n"),
    "a comment of ignores that do not end": lambda size: before(f"x = 1  {'# loopguard: ignore[ ' * size}\n"),
    "an ignore of many rules": lambda size: before(f"x = 1  # loopguard: ignore[{several('LG{}', size)}]\n"),
    "number signs": lambda size: before(f"# noqa {'# ' * size}\n"),
    "comments": lambda size: before(many("# a comment {}\n", size)),
    "comments that ignore nothing": lambda size: before(many("x = 1  # loopguard: ignore[LG101]\n", size)),
    "comments above statements that ignore nothing": lambda size: before(
        many("# loopguard: ignore[LG101]\nx = 1\n", size)
    ),
    "comments above one statement": lambda size: before(many("# loopguard: ignore[LG101]\n", size)),
    "noqas of other linters": lambda size: before(many("x = 1  # noqa: E501\n", size)),
    "ignores of findings": lambda size: (
        f"{HEAD}for x in loader:\n"
        + many(
            "    optimizer.step()  # loopguard: ignore[LG101]\n    # loopguard: ignore\n    loss.backward() # noqa: LG101\n",
            size,
        )
    ),
    "ignores within a statement": lambda size: (
        f"{HEAD}x = [\n" + many("    optimizer.step,  # loopguard: ignore[LG001]\n", size) + f"]\n{FAULTY}"
    ),
    "comments that ignore the file": lambda size: before(many("# loopguard: ignore-file[LG402]\n", size)),
    "ignored rules of a file with findings": lambda size: (
        f"# loopguard: ignore-file[{several('LG9{}', size)}]\n{HEAD}" + many(FAULTY, size // 4)
    ),
    "comments in a text that is no program": lambda size: f"{HEAD}(\n" + many("x # noqa {}\n", size) + FAULTY,
    "a long line": lambda size: before(f"x = [{'1, ' * size}]\n"),
    "a long string": lambda size: before(f"x = '{'ab ' * size}'\n"),
    "a long string of many lines": lambda size: before("x = '''\n" + "abc def\n" * size + "'''\n"),
    "a long docstring": lambda size: f'"""{"for x in step() " * size}"""\n' + before(""),
    "a string of escaped quotes": lambda size: before('x = "' + '\\"' * size + '"\n'),
    "escaped quotes in a text that is no program": lambda size: before('x = "' + '\\"' * size + "\n"),
    "triple quotes in a text that is no program": lambda size: before('x = """' + '""\\"' * size + "\n"),
    "escaped line ends in a long string": lambda size: before("x = '''\n" + "abc\\\n" * size + "'''\n"),
    "continuation lines": lambda size: before("x = 1" + " + \\\n 1" * size + "\n"),
    "continuation lines in a loop": lambda size: within("x = 1" + " + \\\n 1" * size + "\n"),
    "lines in brackets": lambda size: before("x = [\n" + many("{},\n", size) + "]\n"),
    "empty lines": lambda size: before("\n" * size),
    "lines of spaces": lambda size: before(many(f"{' ' * 40}\n", size)),
    "form feeds": lambda size: before("\f\n" * size),
    "semicolons": lambda size: before(f"{'x = 1; ' * size}\n"),
    "semicolons in a loop": lambda size: within(f"{'loss.backward(); ' * size}\n"),
    "carriage returns": lambda size: before("x = 1\r\n" * size),
    "unicode": lambda size: before(f"x = '{'é' * size}'\n" + "é = é\n" * size),
    "unicode on one line": lambda size: before(f"x = [{'é, ' * size}]\n"),
    "unicode strings on one line": lambda size: before("x = [" + "'é', " * size + "]\n"),
    "capitals whose small letters are two": lambda size: before(f"x = '{'İ' * size}'\n"),
    "a name": lambda size: before(f"{'a' * size} = 1\n"),
    "a name like an optimizer's": lambda size: before(f"{'optim' * size} = 1\n"),
    "attributes like optimizers": lambda size: (
        f"{HEAD}class A:\n    def __init__(self):\n        self.{'optim' * size}\n"
        + f"    def f(self):\n        self.{'optim' * size} \n{indented(indented(FAULTY))}"
    ),
    "attributes that are set on one line": lambda size: (
        f"{HEAD}class A:\n    def f(self):\n        {'self.a = self.b; ' * size}\n{indented(indented(FAULTY))}"
    ),
    "a dotted name": lambda size: before(f"x = a{'.b' * size}\n"),
    "dots in a string": lambda size: before(f"x = '{'nn.A.' * size}'\n"),
    "steps of numbers": lambda size: before(f"x = '{'.step(a, a, ' * size}'\n"),
    "steps in a string": lambda size: before(f"x = '{'.step ' * size}'\n"),
    "backwards in a string": lambda size: before(f"x = '{'backward' * size}'\n"),
    "decorators in a string": lambda size: before("x = '''\n" + "@a\n" * size + "'''\n"),
    "matrix products, a line each": lambda size: before("x = (a\n" + "@ b\n" * size + ")\n"),
    "imports in a string": lambda size: before("x = '''\n" + "from a import (\n" * size + "'''\n"),
    "imports on one line": lambda size: f"import {several('a{}', size)}\n" + before(""),
    "imports of names": lambda size: f"from a import ({several('a{}', size)})\n" + before(""),
    "import statements": lambda size: many("import a{}\n", size) + before(""),
    "import statements from modules": lambda size: many("from a{} import b{}\n", size) + before(""),
    "import statements in functions": lambda size: before(many("def f{}():\n    from a{} import b\n", size)),
    "star imports": lambda size: many("from a{} import *\n", size) + before(""),
    "a header of a loop": lambda size: (
        f"{HEAD}for i, x in enumerate([{'i, ' * size}]):\n"
        + "    loss = model(x).sum()\n    loss.backward()\n    if i % 4 == 0:\n        optimizer.step()\n"
    ),
    "global statements": lambda size: f"{HEAD}def f():\n" + many("    global a{}\n", size) + indented(FAULTY),
    "a global statement": lambda size: f"{HEAD}def f():\n    global {several('a{}', size)}\n" + indented(FAULTY),
    "words": lambda size: before("'''\n" + many("word{} ", size) + "'''\n"),
    "healthy lines": lambda size: f"{HEAD}{HEALTHY}" + many("x{} = 1\n", size),
    "an open bracket in a text that is no program": lambda size: before("(" * size + "\n"),
    "number signs and codings": lambda size: f"#{'coding' * size}\n" + before(""),
    "backslashes": lambda size: before("x = r'" + "\\\\" * size + "'\n"),
    "brackets in a string": lambda size: before(f"x = '{'self.a[' * size}'\n"),
}

_OF_FEW_TOKENS = """\
a string of noqa, and no loop
a string of noqa
a string of loopguard
a comment of noqa and spaces
a noqa of a long code
a comment of ignores that do not end
number signs
number signs and codings
empty lines
lines of spaces
a long string of many lines
a long docstring
a string of escaped quotes
escaped quotes in a text that is no program
triple quotes in a text that is no program
escaped line ends in a long string
a name
a name like an optimizer's
attributes like optimizers
dots in a string
steps of numbers
steps in a string
backwards in a string
decorators in a string
imports in a string
brackets in a string
backslashes
"""

OF_FEW_TOKENS = {name: SHAPES[name] for name in _OF_FEW_TOKENS.splitlines()}
"""Those that are read in no time, but for the regular expressions."""
