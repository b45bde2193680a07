"""What `loopguard check` costs, as ratios to work that it cannot do without.

README.md beside this file says what the rows mean.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage
from statistics import median
from time import perf_counter

from synthetic import other_module, training_script, write_tree

TARGET = 1.5
"""At most this many times the parse, for a training script of 500 lines."""

CHECK = ("-m", "loopguard", "check", "--isolated")
PARSE = """\
import sys, libcst
for name in open(sys.argv[1], encoding="utf8").read().split("\\n"):
    try:
        libcst.parse_module(open(name, "rb").read())
    except libcst.ParserSyntaxError:
        pass
"""
COUNT = """\
import sys, libcst
parse, parsed = libcst.parse_module, []
libcst.parse_module = lambda *given: parsed.append(1) or parse(*given)
from loopguard.cli import main
try:
    main()
finally:
    print("parsed:", len(parsed))
"""


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run this Python in a new process. Raises RuntimeError if it fails; findings are no failure."""
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False)
    if done.returncode not in (0, 1) or "Traceback" in done.stderr:
        raise RuntimeError(f"{arguments} exited with {done.returncode}:\n{done.stderr}")
    return done


def seconds(arguments: tuple[str, ...]) -> tuple[float, float]:
    """The processor time of a new process, which other load disturbs little, and how long it takes."""
    used, start = getrusage(RUSAGE_CHILDREN), perf_counter()
    python(*arguments)
    now, end = getrusage(RUSAGE_CHILDREN), perf_counter()
    return now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime, end - start


def compare(what: str, ours: tuple[str, ...], yardstick: tuple[str, ...], repeats: int) -> float:
    """Run both in turn, print and return the median of the ratios of processor time."""
    for command in (ours, yardstick):  # once unmeasured, for the byte code and the disk's cache
        python(*command)
    pairs = [(seconds(ours), seconds(yardstick)) for _ in range(repeats)]
    ratios = sorted(mine[0] / other[0] for mine, other in pairs)
    middle = median(ratios)
    mine, other = (1000 * median(wall for _, wall in times) for times in zip(*pairs, strict=True))
    spread = f"{ratios[len(ratios) // 4]:.2f} to {ratios[-len(ratios) // 4]:.2f}"
    print(f"{what:42} {middle:5.2f}   {spread:13} {mine:7.0f} ms {other:7.0f} ms")
    return middle


def heavy_imports(file: Path) -> list[str]:
    """Which of the modules that a file without loop words must not load are loaded."""
    log = python("-X", "importtime", *CHECK, str(file)).stderr
    loaded = {line.rpartition("|")[2].strip() for line in log.splitlines()}
    return sorted({"libcst", "torch", "loopguard.static"} & loaded)


def files_of(tree: Path) -> tuple[list[str], list[str]]:
    """The files that would be checked below `tree`, and those of them that can hold an event."""
    from loopguard.check import EVENT

    names = python(*CHECK, "--show-files", str(tree)).stdout.splitlines()
    return names, [name for name in names if EVENT.search(Path(name).read_bytes())]


def parsed_in(tree: Path) -> int:
    """How many files a run over `tree` parses, imported ones included."""
    done = python("-c", COUNT, *CHECK[2:], str(tree))
    found = re.search(r"parsed: (\d+)", done.stdout)
    assert found, done.stdout
    return int(found[1])


def main() -> int:
    """Measure, print, and return 1 if the target is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tree", nargs="?", type=Path, metavar="TREE", help="measure this tree too")
    parser.add_argument("--repeats", type=int, default=11)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        # Installed packages come with byte code. Give both sides theirs, wherever they are run from.
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        os.environ["PYTHONPYCACHEPREFIX"] = str(folder / "byte code")
        return measure(folder, args.tree, args.repeats)


def measure(folder: Path, tree: Path | None, repeats: int) -> int:
    """Write what is measured below `folder`, and measure it."""
    healthy, broken, plain = folder / "healthy.py", folder / "broken.py", folder / "plain.py"
    healthy.write_text(training_script(500))
    broken.write_text(training_script(500, broken=True))
    plain.write_text(other_module(500))
    project = folder / "project"
    write_tree(project)

    print(f"{'':42} {'ratio':>5}   {'middle half':13} {'check':>10} {'yardstick':>10}")
    ratio = 0.0
    for what, file in (("500 lines, healthy / parse", healthy), ("500 lines, one bug / parse", broken)):
        parse = ("-c", f"import libcst; libcst.parse_module(open({str(file)!r}, 'rb').read())")
        ratio = max(ratio, compare(what, (*CHECK, str(file)), parse, repeats))
    compare("no loop words / import click", (*CHECK, str(plain)), ("-c", "import click"), repeats)
    for where in [project, *([tree] if tree else [])]:
        names, candidates = files_of(where)
        listed = folder / "candidates"
        listed.write_text("\n".join(candidates))
        what = f"{where.name}, {len(names)} files / parse of {len(candidates)}"
        compare(what, (*CHECK, str(where)), ("-c", PARSE, str(listed)), repeats if where == project else 3)
        parsed = parsed_in(where)
        print(f"  {len(names)} files read, {len(candidates)} of them can hold an event, {parsed} parsed")
    loaded = heavy_imports(plain)
    print(f"loaded for a file without loop words: {', '.join(loaded) or 'neither libcst nor torch'}")
    print(f"target for 500 lines: at most {TARGET}: {'met' if ratio <= TARGET else 'missed'}")
    return 1 if ratio > TARGET or loaded else 0


if __name__ == "__main__":
    sys.exit(main())
