"""What `loopguard check` costs, as ratios to other work over the same files in the same run.

README.md beside this file says what the rows mean.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage
from statistics import median
from time import perf_counter

import worst
from synthetic import other_module, training_script, write_tree

CHECK = (sys.executable, "-m", "loopguard", "check", "--isolated", "--exit-zero", "--quiet", "--output-format", "json")
PARSE = """\
import sys, libcst
for name in open(sys.argv[1], encoding="utf8").read().split("\\n"):
    try:
        libcst.parse_module(open(name, "rb").read())
    except (libcst.ParserSyntaxError, UnicodeDecodeError):
        pass
"""
WALK = """\
import ast, gc, sys, warnings
from multiprocessing import Pool
gc.disable()
warnings.simplefilter("ignore")
def walk(name):
    try:
        return sum(1 for node in ast.walk(ast.parse(open(name, "rb").read())))
    except (SyntaxError, ValueError):
        return 0
with Pool(int(sys.argv[2])) as pool:
    print(sum(pool.imap_unordered(walk, open(sys.argv[1], encoding="utf8").read().split("\\n"), 50)))
"""
ONE = "import libcst, sys; libcst.parse_module(open(sys.argv[1], 'rb').read())"

Command = tuple[str, ...]


class Run:
    """What a new process has used: seconds of the clock and of processors, and megabytes of memory at its peak."""

    def __init__(self, command: Command, before: Callable[[], object] | None = None) -> None:
        if before is not None:
            before()
        used, start = getrusage(RUSAGE_CHILDREN), perf_counter()
        done = subprocess.run(command, capture_output=True, check=False)
        now, self.clock = getrusage(RUSAGE_CHILDREN), perf_counter() - start
        self.processor = now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime
        if b"Traceback" in done.stderr:
            raise RuntimeError(f"{command} failed:\n{done.stderr.decode()}")


def compare(
    what: str, ours: Command, other: Command, repeats: int, target: float = 0.0, fresh: Sequence[Path] = ()
) -> None:
    """Run both in turn, and print the medians of the ratios. Before each run, the caches `fresh` are removed."""

    def forget() -> None:
        for folder in fresh:
            shutil.rmtree(folder, ignore_errors=True)

    Run(ours, forget), Run(other, forget)  # once unmeasured, for the byte code and the disk's cache
    pairs = [(Run(ours, forget), Run(other, forget)) for _ in range(repeats)]
    clock = median(mine.clock / base.clock for mine, base in pairs)
    processor = median(mine.processor / base.processor for mine, base in pairs)
    mine, base = (median(run.clock for run in runs) for runs in zip(*pairs, strict=True))
    verdict = f"at most {target:g}" if target else ""
    print(f"{what:52} {clock:7.2f} {processor:9.2f} {mine:9.2f} s {base:9.2f} s   {verdict}".rstrip(), flush=True)


def phases(tree: Path) -> None:
    """Print where the time of one process goes."""
    code = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import phases; phases.main()"
    done = subprocess.run([sys.executable, "-c", code, str(tree)], capture_output=True, text=True, check=True)
    print(done.stdout, flush=True)


def over_tree(tree: Path, folder: Path, repeats: int, jobs: int) -> None:
    """Compare runs over a tree."""
    candidates = folder / "candidates"
    found = json.loads(
        subprocess.run(
            [sys.executable, str(Path(__file__).with_name("phases.py")), "--candidates", str(tree)],
            capture_output=True,
            check=True,
        ).stdout
    )
    candidates.write_text("\n".join(found))
    ours, ruffs = folder / "cache", folder / "ruff"
    check = (*CHECK, "-j", str(jobs), "--cache-dir", str(ours), str(tree))
    parse = (sys.executable, "-c", PARSE, str(candidates))
    print(f"{'over the tree':52} {'clock':>7} {'processor':>9} {'check':>11} {'other':>11}")
    compare(f"cold, {jobs} processes / parse of candidates", check, parse, repeats, 0.25, [ours])
    ruff = shutil.which("ruff", path=os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", ""))))
    if ruff:
        lint = (ruff, "check", "--select", "F", "--isolated", "-q", "--exit-zero", "--cache-dir", str(ruffs), str(tree))
        compare(f"cold, {jobs} processes / ruff, cold", check, lint, repeats, 3.0, [ours, ruffs])
        walk = (sys.executable, "-c", WALK, str(candidates), str(jobs))
        compare(f"ast.walk of candidates, {jobs} processes / ruff, cold", walk, lint, repeats, 0.0, [ruffs])
        compare("warm / ruff, warm", check, lint, repeats, 1.0)
    for name, arguments in (("torch-preflight", ()), ("torchfix", ()), ("dslinter", ())):
        other = shutil.which(name)
        if other:
            compare(f"cold, {jobs} processes / {name}", check, (other, *arguments, str(tree)), 1, 0.0, [ours])


def one_file(folder: Path, repeats: int) -> None:
    """Compare runs over one file."""
    print(f"{'over one file of 500 lines':52} {'clock':>7} {'processor':>9} {'check':>11} {'other':>11}")
    healthy, broken, plain = folder / "healthy.py", folder / "broken.py", folder / "plain.py"
    healthy.write_text(training_script(500))
    broken.write_text(training_script(500, broken=True))
    plain.write_text(other_module(500))
    cache, click = ("--cache-dir", str(folder / "one")), (sys.executable, "-c", "import click")
    for what, file in (("healthy", healthy), ("one bug", broken)):
        parse = (sys.executable, "-c", ONE, str(file))
        compare(f"{what}, cold / import libcst and parse", (*CHECK, "-n", str(file)), parse, repeats, 1.25)
        compare(f"{what}, warm / import click", (*CHECK, *cache, str(file)), click, repeats, 1.5)
    compare("no loop words / import click", (*CHECK, "-n", str(plain)), click, repeats)
    compare("--version / import click", (*CHECK[:3], "--version"), click, repeats)


def growth(folder: Path, repeats: int) -> None:
    """Compare runs over something, and over ten times as much of it."""
    print(f"{'ten times as much / once':52} {'clock':>7} {'processor':>9} {'ten times':>11} {'once':>11}")
    for files in (20, 200):
        write_tree(folder / f"files{files}", files)
    check = (*CHECK, "-n", "-j", "1")
    compare("files", (*check, str(folder / "files200")), (*check, str(folder / "files20")), max(repeats // 2, 1), 11)
    for kind, text in worst.KINDS.items():
        for size in (30, 300):
            (folder / f"{kind}{size}.py").write_text(text(size))
        much, little = (str(folder / f"{kind}{size}.py") for size in (300, 30))
        compare(kind.replace("_", " "), (*check, much), (*check, little), max(repeats // 2, 1), 12)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tree", nargs="?", type=Path, metavar="TREE", help="the tree to measure  [default: made up]")
    parser.add_argument("--files", type=int, default=300, help="how many files a made up tree has")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=2)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        # Installed packages come with byte code. Give all sides theirs, wherever they are run from.
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        os.environ["PYTHONPYCACHEPREFIX"] = str(folder / "byte code")
        tree = args.tree
        if tree is None:
            tree = folder / "tree"
            write_tree(tree, args.files)
        phases(tree)
        over_tree(tree, folder, args.repeats, args.jobs)
        one_file(folder, 2 * args.repeats + 1)
        growth(folder, args.repeats)


if __name__ == "__main__":
    main()
