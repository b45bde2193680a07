"""A project to whose cache everything happens, step by step, and what must be true after each step.

Between two checks somebody edits the project; puts files, links, pipes and directories where the cache is, or into it;
damages or ages what is there, takes permissions away, kills a check in the middle, fills the disk, cleans up, or runs
several checks at once. After each step

- what is not ours is as it was put there, wherever it is;
- a check has said what it says without a cache, byte for byte, with at most one line of warning; or, where
  `--cache-dir` names what cannot be a cache, it has refused in one line and checked nothing.
"""

from __future__ import annotations

import errno
import os
import random
import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from unittest.mock import patch
from zlib import crc32

from click.testing import CliRunner
from conftest import BROKEN, HEALTHY, ROOT
from snapshot import Seen, seen

from loopguard.cli import app

OURS = re.compile(r"loopguard-[0-9a-f]{8}\.index|\.loopguard-[0-9a-f]{16}\.tmp")
MARKS = {
    "CACHEDIR.TAG": b"Signature: 8a477f597d28d172789f06886806bc55\n"
    b"# This directory is a cache of loopguard: https://bford.info/cachedir/\n",
    ".gitignore": b"# Made by loopguard.\n*\n",
}
NAMES = (
    "thesis.txt", "model.ckpt-1000.index", "deadbeef.index", "deadbeef.index.12", "loopguard.index", "x.py",
    "loopguard-0123abcd.index.bak", "Loopguard-0123abcd.index", "loopguard-0123abcg.index", ".loopguard-00.tmp",
    ".loopguard-0123456789abcdef.tmp.gz", "CACHEDIR.TAG", ".gitignore", ".DS_Store", "a\nb", "\x1b[31m",
)  # fmt: skip
"""What foreign files are called: like ours, almost like ours, and otherwise."""

CONTENTS = (b"", b"precious", b"loopguard", b"\0" * 64, MARKS["CACHEDIR.TAG"][:43], b"loopguard 2", BROKEN.encode())

USES = "from helper import prepare\n" + BROKEN.replace("    loss = ", "    prepare(optimizer)\n    loss = ")
SOURCES = ("a.py", "b.py", "helper.py", "sub/c.py", "sub/helper.py")
TEXTS = (
    BROKEN, HEALTHY, USES, USES, "optimizer.step(\n", BROKEN.replace("step()", "step()  # noqa: LG101"),
    "def prepare(optimizer):\n    print(optimizer)\n", "def prepare(optimizer):\n    optimizer.zero_grad()\n",
)  # fmt: skip

OLD = 60 * 86_400

KILLED = """\
import os, signal, sys
left = int(sys.argv.pop(1))
def deadly(function):
    def call(*arguments, **more):
        global left
        left -= any(value is not None for name, value in more.items() if name.endswith("dir_fd"))
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*arguments, **more)
    return call
for name in ("open", "mkdir", "replace", "unlink"):
    setattr(os, name, deadly(getattr(os, name)))
os.supports_dir_fd.add(os.open)
import loopguard.__main__ as main
main.main()
"""
"""The command, which is killed as it is about to do something in the directory of the cache for the nth time."""

Event = Callable[[], object]


def _is_gone(path: Path, top: Path) -> bool:
    """Whether what was below something, or was that itself, is not there any more."""
    return path.is_relative_to(top) and not os.path.lexists(path)


class World:
    """Everything there is, below `place` and, if given, in the directory `disk`, on a small file system of its own."""

    def __init__(self, place: Path, seed: int, disk: Path | None = None) -> None:
        self.events: Counter[str] = Counter()
        self.outcomes: Counter[str] = Counter()
        self.said = ""
        self._random = random.Random(seed)
        self._place, self._project, self._victim = place, place / "project", place / "victim"
        self._disk = disk
        self._given = [None, "cache", "deep/er/cache", str(place / "elsewhere" / "cache")]
        self._given += [str(disk / "cache")] * 3 if disk is not None else []
        self._where: str | None = None
        self._foreign: Seen = {}
        self._modes: dict[Path, int] = {}
        self._full = False
        for folder in ("project", "victim", "elsewhere", "victim/empty"):
            (place / folder).mkdir()
        for name in NAMES:
            (self._victim / name).write_bytes(b"precious")
        for name in SOURCES:
            self._edit(name)
        self._foreign = seen(self._victim)
        os.chdir(self._project)

    def step(self) -> None:
        """Let some things happen, and check. Raises `AssertionError` if that is not as it should be."""
        if self._random.random() < 0.4:
            self._tidy()
        possible = self._possible()
        for name in self._random.choices(list(possible), k=self._random.randint(1, 3)):
            self.events[name] += 1
            with suppress(OSError):  # some things cannot happen where others have
                possible[name]()
        self._check()
        for path, mode in self._modes.items():
            with suppress(OSError):  # it may be gone, or out of reach
                path.chmod(mode)
        self._modes.clear()
        self._nothing_foreign_has_changed()

    def settle(self) -> None:
        """Have somebody take away what does not belong there, and see that the cache works again."""
        self._tidy()
        for path in self._ours():
            os.utime(path, (time.time() - 3600,) * 2)
        quiet = self.outcomes["quiet"]
        for text in (BROKEN, HEALTHY):
            (self._project / "a.py").write_text(f"{text}# at the end\n")
            self._check()
        assert self.outcomes["quiet"] == quiet + 2, self.said
        left = [path.name for path in self._ours()]
        assert any(name.endswith(".index") for name in left) and not any(name.endswith(".tmp") for name in left), left
        self._nothing_foreign_has_changed()

    # What happens.

    def _possible(self) -> dict[str, Event]:
        return {
            "edit": lambda: self._edit(self._random.choice(SOURCES)),
            "delete a source": lambda: (self._project / self._random.choice(SOURCES)).unlink(),
            "another place": self._move,
            "foreign file": lambda: self._put(self._random.choice(NAMES), self._random.choice(CONTENTS)),
            "foreign directory": lambda: self._put("directory/x.index", b"precious"),
            "link in place of the cache": self._link,
            "link on the way to the cache": self._link_above,
            "file in place of the cache": self._replace_by_file,
            "something in place of a file": self._exchange,
            "damage": self._damage,
            "age": self._age,
            "permissions": self._forbid,
            "kill": self._kill,
            "full disk": self._fill,
            "clean": self._clean,
            "several at once": self._several,
            "tidy up": self._tidy,
            "tidy up a little": self._tidy_a_little,
        }

    @property
    def _cache(self) -> Path:
        return self._project / (self._where or ".loopguard_cache")

    def _ours(self) -> list[Path]:
        """What is in the cache and ours by its whole name, or by its name and content."""
        with suppress(OSError):
            _require_real(self._cache)
            there = sorted(self._cache.iterdir())
            return [path for path in there if OURS.fullmatch(path.name) or self._is_mark(path)]
        return []

    def _is_mark(self, path: Path) -> bool:
        return path.name in MARKS and str(path) not in self._foreign

    def _edit(self, name: str) -> None:
        file = self._project / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(self._random.choice(TEXTS))

    def _move(self) -> None:
        self._where = self._random.choice(self._given)

    def _put(self, name: str, content: bytes) -> None:
        """Make a foreign file in the directory of the cache, or of what shall be one, unless something is there."""
        path = self._cache / name
        _require_real(path.parent)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as file:
            try:
                file.write(content)
                file.flush()
            finally:  # on a full disk it is there, and empty
                self._foreign |= seen(path if path.parent == self._cache else path.parent)
        if self._random.random() < 0.5:
            os.utime(path, (time.time() - OLD,) * 2)
            self._foreign |= seen(path if path.parent == self._cache else path.parent)

    def _remove(self, path: Path) -> None:
        """Remove whatever is there: it is somebody who does so, not the cache."""
        _require_real(path.parent)
        try:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        finally:  # where it may not, a part of it may be gone
            self._foreign = {name: what for name, what in self._foreign.items() if not _is_gone(Path(name), path)}
            self._modes = {other: mode for other, mode in self._modes.items() if not _is_gone(other, path)}

    def _target(self) -> Path:
        """Where a link may lead."""
        victims = ("", "empty", "nowhere", "thesis.txt", "deadbeef.index")
        caches = [self._project / (given or ".loopguard_cache") for given in self._given]
        return self._random.choice([*(self._victim / name for name in victims), *caches])

    def _link(self) -> None:
        self._remove(self._cache)
        self._cache.symlink_to(self._target())
        self._foreign |= seen(self._cache)

    def _link_above(self) -> None:
        self._where = "deep/er/cache"
        path = self._random.choice([self._cache.parent, self._cache.parent.parent])
        self._remove(path)
        path.symlink_to(self._target())
        self._foreign |= seen(path)

    def _replace_by_file(self) -> None:
        self._remove(self._cache)
        self._cache.write_bytes(b"precious")
        self._foreign |= seen(self._cache)

    def _exchange(self) -> None:
        path = self._random.choice([*self._ours(), self._cache / "CACHEDIR.TAG", self._cache / ".loopguard-00.tmp"])
        self._remove(path)
        what = self._random.choice(["link", "pipe", "directory", "hard link"])
        if what == "link":
            path.symlink_to(self._target())
        elif what == "pipe":
            os.mkfifo(path)
        elif what == "directory":
            path.mkdir()
        else:
            os.link(self._victim / "thesis.txt", path)
        if what != "hard link" or not OURS.fullmatch(path.name):  # that may go, and what it shares stays elsewhere
            self._foreign |= seen(path)

    def _damage(self) -> None:
        path = self._random.choice(
            self._ours() or [self._cache / f".loopguard-{self._random.getrandbits(64):016x}.tmp"]
        )
        _require_real(path)
        data = bytearray(path.read_bytes() if path.exists() else b"half")
        at = self._random.randrange(len(data) or 1)
        what = self._random.choice(["cut off", "other byte", "empty", "noise", "malformed"])
        if what == "malformed":  # but with the right checksum
            head, _, body = bytes(data).partition(b"\n")
            body = body.replace(
                *self._random.choice([(b"\t", b""), (b"\t", b"\t\t"), (b"[", b"{"), (b"0", b"-1"), (b"1", b"99")])
            )
            data = bytearray(b"%s%08x\n%s" % (head[:-8], crc32(body), body))
        elif what == "other byte" and data:
            data[at] ^= 1 << self._random.randrange(8)
        else:
            data = bytearray({"cut off": data[:at], "noise": self._random.randbytes(200)}.get(what, b""))
        path.unlink(missing_ok=True)  # it may have another name elsewhere
        path.write_bytes(data)
        if path.name in MARKS and data != MARKS[path.name]:
            self._foreign |= seen(path)  # who knows whose it is now

    def _age(self) -> None:
        for path in self._ours():
            if self._random.random() < 0.5:
                os.utime(path, (time.time() - self._random.choice([700, OLD]),) * 2)

    def _forbid(self) -> None:
        path = self._random.choice([self._cache, *self._ours()])
        _require_real(path)
        if path.exists() and (path.is_dir() or path.stat().st_nlink == 1):  # a hard link shares its permissions
            self._modes.setdefault(path, path.stat().st_mode & 0o777)
            path.chmod(self._random.choice([0, 0o400, 0o500, 0o300]) if path.is_dir() else 0)

    def _kill(self) -> None:
        command = [sys.executable, "-c", KILLED, str(self._random.randint(0, 12)), "check", *self._arguments()]
        done = subprocess.run(command, env=_environment(), capture_output=True, text=True, check=False)
        assert "Traceback" not in done.stderr, done.stderr

    def _fill(self) -> None:
        self._full = True
        if self._disk is not None:
            with suppress(OSError), (self._disk / "filler").open("ab", buffering=0) as file:
                while file.write(bytes(256)):
                    pass

    def _clean(self) -> None:
        result = CliRunner().invoke(app, ["clean", *self._arguments()])
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        assert (result.stdout + result.stderr).count("\n") == 1

    def _several(self) -> None:
        tasks = [["check", "--output-format", "json", *self._arguments()]] * 2 + [["clean", *self._arguments()]]
        running = [
            subprocess.Popen(
                [sys.executable, "-m", "loopguard", *task],
                env=_environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            )
            for task in tasks
        ]  # fmt: skip
        for task, process in zip(tasks, running, strict=True):
            out, err = process.communicate(timeout=120)
            if task[0] == "check":
                self._judge(process.returncode, out, err)
            assert "Traceback" not in err, err

    def _tidy(self) -> None:
        """Take all away that does not belong there."""
        outside = [Path(path) for path in self._foreign if not Path(path).is_relative_to(self._victim)]
        for path in outside:
            self._remove(path)
        self._empty_disk()

    def _tidy_a_little(self) -> None:
        outside = [Path(path) for path in self._foreign if not Path(path).is_relative_to(self._victim)]
        self._remove(self._random.choice(outside or [self._cache / "nothing"]))
        self._empty_disk()

    def _empty_disk(self) -> None:
        self._full = False
        if self._disk is not None:
            (self._disk / "filler").unlink(missing_ok=True)

    # What must be true.

    def _arguments(self) -> list[str]:
        return ["--cache-dir", self._where] if self._where is not None else []

    def _check(self) -> None:
        """Check with a cache, and without one."""
        replace = os.replace

        def full(*arguments: str, **more: int) -> None:
            if self._full and self._disk is None:
                raise OSError(errno.ENOSPC, "No space left on device")
            replace(*arguments, **more)

        with patch("os.replace", full):
            result = CliRunner().invoke(app, ["check", "--output-format", "json", *self._arguments()])
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        self.said = result.stderr
        self._judge(result.exit_code, result.stdout, result.stderr)

    def _judge(self, code: int, out: str, err: str) -> None:
        if self._where is not None and code == 2:
            *before, last = err.splitlines()
            assert (out, all(line.startswith("loopguard: warning: ") for line in before)) == ("", True), err
            assert last.startswith("loopguard: error: --cache-dir: "), err
            self.outcomes["refused"] += 1
            return
        plain = CliRunner().invoke(app, ["check", "--output-format", "json", "--no-cache"])
        assert (code, out) == (plain.exit_code, plain.stdout)
        more = Counter(err.splitlines()) - Counter(plain.stderr.splitlines())
        assert more.total() <= 1, err
        assert all(line.startswith("loopguard: warning: ") for line in more), err
        self.outcomes["warned" if more else "quiet"] += 1

    def _nothing_foreign_has_changed(self) -> None:
        now: Seen = {}
        for path in self._foreign:
            now |= {key: what for key, what in seen(Path(path)).items() if key in self._foreign}
        changed = {path: (was, now.get(path)) for path, was in self._foreign.items() if now.get(path) != was}
        assert not changed, changed
        more = seen(self._victim).keys() - self._foreign.keys()
        assert not more, more
        known = {*(name.partition("/")[0] for name in SOURCES), "deep", "cache", ".loopguard_cache"}
        assert {path.name for path in self._project.iterdir()} <= known
        assert {path.name for path in (self._place / "elsewhere").iterdir()} <= {"cache"}


def _require_real(path: Path) -> None:
    """Raise an error if a path leads through a link: nothing but what is tested may be led astray."""
    if os.path.realpath(path) != str(path):
        raise NotADirectoryError(path)


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT)}
