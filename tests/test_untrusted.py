"""A check of a tree that nobody trusts runs nothing of it, deletes and changes nothing, and writes into its cache alone.

What the process does is taken down by an audit hook (https://peps.python.org/pep-0578/) in it and in its workers, and
the tree, what lies around it, the home and the temporary directory are compared with what they were before.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest
from conftest import BROKEN, ROOT
from test_catalogue import OWN
from test_escape import NAMES, TITLE, is_harmless

SECONDS = 240

MARK = "import os\nopen(os.environ['MARK'], 'a').write(__file__ + '\\n')\n"
"""What a file does that is run."""

# What Python itself has imported from the current directory, if it may, before it comes to `python -m loopguard`.
EARLY = (
    *(
        "__future__",
        "_collections_abc",
        "_weakrefset",
        "abc",
        "collections",
        "contextlib",
        "functools",
        "importlib",
        "io",
    ),
    *("keyword", "loopguard", "operator", "os", "reprlib", "runpy", "site", "stat", "types", "warnings"),
)
LATE = (
    *("ast", "base64", "bisect", "click", "colorama", "copy", "dataclasses", "difflib", "encodings", "enum", "fcntl"),
    *("glob", "hashlib", "inspect", "json", "libcst", "logging", "multiprocessing", "numpy", "pathlib", "pathspec"),
    *("pickle", "queue", "random", "re", "selectors", "shutil", "signal", "socket", "sqlite3", "string", "subprocess"),
    *("tempfile", "threading", "token", "tokenize", "tomllib", "torch", "traceback", "typing", "typing_extensions"),
    *("unicodedata", "yaml"),
)

HOOK = """\
import json, os, sys

_log = os.open(os.environ["AUDIT"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_CHANGES = ("os.", "shutil.", "subprocess.", "socket.", "ctypes.", "pty.", "tempfile.", "urllib.", "webbrowser.")
_HARMLESS = {"os.chdir", "os.fork", "os.listdir", "os.putenv", "os.scandir", "os.unsetenv", "socket.__new__"}


def _full(name, handle):
    # The path of what is called so in an open directory.
    return os.path.join(os.readlink(f"/proc/self/fd/{handle}"), os.fspath(name)) if handle >= 0 else name


def _hear(event, arguments):
    if event == "open":
        name, mode, flags = arguments
        if not (isinstance(flags, int) and flags & _WRITING) or isinstance(name, int):
            return
    elif event == "exec":
        arguments = (arguments[0].co_filename,)
    elif not event.startswith(_CHANGES) or event in _HARMLESS:
        return
    elif event in ("os.mkdir", "os.remove", "os.rename"):
        names = arguments[: 2 if event == "os.rename" else 1]
        arguments = [_full(name, handle) for name, handle in zip(names, arguments[-len(names) :])]
    text = json.dumps([os.getpid(), event, [str(item) for item in arguments]])
    os.write(_log, (text + "\\n").encode())


sys.addaudithook(_hear)
"""

LAUNCHERS = {
    "installed": "import sys\nfrom loopguard.__main__ import main\nif __name__ == '__main__':\n    sys.exit(main())\n",
    # With a second thread, workers are not copies of the process but begin anew.
    "spawning": "import sys, threading\nfrom loopguard.__main__ import main\nif __name__ == '__main__':\n"
    "    threading.Thread(target=threading.Event().wait, daemon=True).start()\n    sys.exit(main())\n",
}


class Ended(NamedTuple):
    """A process that has ended: what it printed, and what it did."""

    code: int
    stdout: str
    stderr: str
    deeds: list[tuple[int, str, list[str]]]


class World:
    """A place with a hostile tree in it, and all that a check of it could reach."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.tree = place / "tree"
        self.watch = place / "watch"
        for name in ("tree", "outside", "home", "temporary", "watch", "bin"):
            (place / name).mkdir()
        (self.watch / "sitecustomize.py").write_text(HOOK)
        for name, text in LAUNCHERS.items():
            (place / "bin" / name).write_text(text)

    def run(self, start: Sequence[str], *arguments: str, cwd: Path | None = None) -> Ended:
        """Run loopguard in the tree, started in some way."""
        environment = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "LOOPGUARD"))}
        environment |= {
            "PYTHONPATH": os.pathsep.join([str(self.watch), str(ROOT)]),
            "HOME": str(self.place / "home"),
            "TMPDIR": str(self.place / "temporary"),
            "MARK": str(self.watch / "ran"),
            "AUDIT": str(self.watch / "audit"),
        }
        (self.watch / "audit").write_text("")
        result = subprocess.run(
            [sys.executable, *start, *arguments],
            cwd=cwd or self.tree,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=SECONDS,
        )
        deeds = [tuple(json.loads(line)) for line in (self.watch / "audit").read_text().splitlines()]
        return Ended(result.returncode, result.stdout, result.stderr, deeds)

    @property
    def ran(self) -> str:
        """The files of the tree that were run."""
        return (self.watch / "ran").read_text() if (self.watch / "ran").exists() else ""

    def snapshot(self) -> Mapping[str, object]:
        """Everything that a check could change, but for its cache."""
        return dict(self._entries())

    def _entries(self) -> Iterator[tuple[str, object]]:
        for folder, folders, files in os.walk(self.place):
            if Path(folder) == self.place:
                folders[:] = ["home", "outside", "temporary", "tree"]
            if Path(folder) == self.tree:
                folders[:] = [name for name in folders if name != ".loopguard_cache"]
            for name in (*folders, *files):
                path = Path(folder, name)
                status = path.lstat()
                is_file = path.is_file() and not path.is_symlink()
                content = path.read_bytes() if is_file else os.readlink(path) if path.is_symlink() else ""  # noqa: PTH115
                # The cache is made in the root of the tree: when that was changed does not matter.
                times = () if path == self.tree else (status.st_mtime_ns, status.st_nlink)
                yield str(path), (content, status.st_mode, status.st_ino, *times)


def train(name: str) -> str:
    """A training script that would be glad to be run."""
    return f"{MARK}import {name}\n@exec\ndef f(): pass\n{BROKEN}"


def notebook(*sources: str) -> str:
    output = {"output_type": "display_data", "data": {"text/html": "<script>alert(1)</script>", "image/png": "iVBOR"}}
    cells = [{"cell_type": "code", "source": source, "outputs": [output]} for source in sources]
    return json.dumps({"nbformat": 4, "metadata": {}, "cells": cells})


NOTEBOOKS = {
    "outputs.ipynb": notebook(MARK, f"!touch mark\n%run evil.py\n%load_ext evil\n{BROKEN}"),
    "magic.ipynb": notebook("%%bash\ntouch mark\nzero_grad", "%%python\n" + BROKEN),
    "deep.ipynb": '{"cells": ' * 50_000 + "zero_grad",
    "types.ipynb": '{"cells": {"zero_grad": [1]}, "metadata": [[[]]], "nbformat": "x"}',
    "names.ipynb": notebook(f"x = '{TITLE}'  # loopguard: ignore[{TITLE}]\n{BROKEN}"),
}

RULES = '[tool.loopguard]\nextend-rules = ["rules", "/", "~"]\nselect = ["ALL"]\n'


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A tree with hostile settings, modules, links, names and notebooks."""
    world = World(tmp_path)

    def write(name: str, text: str) -> None:
        file = world.tree / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, "utf-8")

    for name in NAMES:
        write(name, train("evil"))
    for name, text in NOTEBOOKS.items():
        write(f"notebooks/{name}", text)
    for name in ("evil", "sitecustomize", "usercustomize", "conftest", "setup", "noxfile", "__main__", "__init__"):
        write(f"{name}.py", train("evil"))
    for name in LATE:
        write(f"{name}.py", train(name))
    write("loopguard.pth", "import evil\n")
    write("evil.pth", "import evil\n")
    write("_speedups.so", "\x7fELF")
    write("pyproject.toml", '[tool.loopguard]\nextend = "settings/base.toml"\n')
    write("settings/base.toml", 'extend-exclude = ["*.never"]\n')
    # What is below has projects of its own, with rules in all the ways to name them.
    write("third_party/x/pyproject.toml", RULES)
    write("third_party/x/rules/taste.py", OWN + MARK)
    write("third_party/x/train.py", train("taste"))
    write("third_party/y/loopguard.toml", 'extend = "more.toml"\n')
    write("third_party/y/more.toml", 'extend-rules = ["../x/rules"]\nextend = "/dev/zero"\n')
    write("third_party/y/train.py", train("taste"))
    write("third_party/z/.loopguard.toml", 'extend = "../x/pyproject.toml"\n')
    write("third_party/z/train.py", train("taste"))
    os.mkfifo(world.tree / "third_party" / "pyproject.toml")
    # Files that are none, and links that lead out and in circles.
    os.mkfifo(world.tree / "pipe.py")
    (world.tree / "device.py").symlink_to("/dev/zero")
    (world.tree / "big").mkdir()
    (world.tree / "big" / ".gitignore").symlink_to("/dev/zero")
    outside = world.place / "outside"
    (outside / "secret.py").write_text(train("evil"))
    (outside / "notes.txt").write_text("keep me")
    (world.tree / "out").symlink_to(outside)
    (world.tree / "secret_link.py").symlink_to(outside / "secret.py")
    (world.tree / "circle").symlink_to(world.tree)
    (world.tree / "loop.py").symlink_to("loop.py")
    (world.tree / "gone.py").symlink_to("nowhere")
    write(".git/config", "[core]\n\tfsmonitor = touch mark\n")
    write(".git/hooks/pre-commit", "#!/bin/sh\ntouch mark\n")
    write(".gitignore", "*.never\n[b-a]\n!\n")
    # So much that workers are started.
    for number in range(4):
        write(f"large_{number}.py", f"{MARK}from large_{(number + 1) % 4} import *\n{BROKEN}" + "# padding\n" * 12_000)
    return world


def wrote(world: World, ended: Ended) -> list[tuple[str, list[str]]]:
    """What a process has changed outside of its cache, or has let others do."""
    processes = {str(process) for process, *_ in ended.deeds}
    cache = str(world.tree / ".loopguard_cache")
    # A file that is opened in a directory which is held open is heard of by its name, until it gets its own.
    moved = [arguments[0] for _, event, arguments in ended.deeds if event == "os.rename"]
    made = {Path(name).name for name in moved if name.startswith(f"{cache}/")}
    return [
        (event, arguments)
        for _, event, arguments in ended.deeds
        if event != "exec"
        and not arguments[0].startswith((cache, "/dev/null"))
        and not (event == "open" and arguments[0] in made)
        # Python keeps compiled modules beside those that it may run, of which the tree has none.
        and not ("__pycache__" in arguments[0] and not arguments[0].startswith(str(world.place)))
        # Workers are started, and ended, by Python's own means.
        and not (event == "subprocess.Popen" and "multiprocessing" in str(arguments))
        and not (event == "os.kill" and arguments[0] in processes)
    ]


STARTS: Mapping[str, Sequence[str]] = {
    "installed": ("{bin}/installed",),
    "spawning": ("{bin}/spawning",),
    "as a module": ("-m", "loopguard"),
    "as a module, safely": ("-P", "-m", "loopguard"),
}

WAYS: Sequence[tuple[str, Sequence[str]]] = [
    *((start, ()) for start in STARTS),
    *(("installed", ("--output-format", name)) for name in ("concise", "json", "json-lines", "github")),
    ("installed", ("--statistics",)),
    ("installed", ("--show-files",)),
    ("installed", ("--show-settings",)),
    ("installed", ("--isolated",)),
    ("installed", ("--no-cache", "-v", "--select", "ALL")),
]


@pytest.mark.parametrize(("start", "options"), WAYS, ids=lambda part: part if isinstance(part, str) else " ".join(part))
def test_a_check_runs_nothing_deletes_nothing_and_writes_into_its_cache_alone(
    world: World, start: str, options: Sequence[str]
) -> None:
    if start != "as a module":  # there, Python would have run these before loopguard is
        for name in EARLY:
            (world.tree / f"{name}.py").write_text(train(name))
    before = world.snapshot()
    command = [part.format(bin=world.place / "bin") for part in STARTS[start]]
    ended = world.run(command, "check", "-j", "2", *options)
    assert world.ran == ""
    executed = {arguments[0] for _, event, arguments in ended.deeds if event == "exec"}
    assert [name for name in executed if name.startswith((str(world.tree), str(world.place / "outside")))] == []
    assert wrote(world, ended) == []
    assert world.snapshot() == before

    assert ended.code in (1, 2), ended.stderr
    assert "Traceback" not in ended.stderr
    assert is_harmless(ended.stderr.removesuffix("\n"))
    commands = r"::(error|warning|notice) title=loopguard" if "github" in options else ""
    assert is_harmless(ended.stdout.expandtabs().removesuffix("\n"), commands)
    if not any(option.startswith("--show") for option in options):
        assert "LG101" in ended.stdout
        # The workers were there, and were heard.
        assert len({process for process, *_ in ended.deeds}) > 2


@pytest.mark.parametrize("target", [".", "third_party/x", "third_party/x/train.py"])
def test_from_elsewhere_not_even_the_tree_s_own_settings_run_anything(world: World, target: str) -> None:
    (world.tree / "pyproject.toml").write_text(RULES)
    (world.tree / "rules").mkdir()
    (world.tree / "rules" / "taste.py").write_text(OWN + MARK)
    before = world.snapshot()
    command, home = [str(world.place / "bin" / "installed")], world.place / "home"
    ended = world.run(command, "check", "--no-cache", str(world.tree / target), cwd=home)
    assert world.ran == ""
    assert world.snapshot() == before
    assert "`extend-rules` are not run: this command was started elsewhere" in ended.stderr
    assert "LG101" in ended.stdout


def test_whoever_goes_there_can_still_run_nothing(world: World) -> None:
    (world.tree / "pyproject.toml").write_text(RULES.replace(', "/", "~"', ""))
    (world.tree / "rules").mkdir()
    (world.tree / "rules" / "taste.py").write_text(OWN + MARK)
    command = [str(world.place / "bin" / "installed")]
    for options in (["--isolated"], ["--show-files"], ["--show-settings"]):
        world.run(command, "check", "--no-cache", *options)
        assert world.ran == ""
    assert world.run(command, "check", "--no-cache", "evil.py").code == 1
    assert set(world.ran.split("\n")) == {str(world.tree / "rules" / "taste.py"), ""}
