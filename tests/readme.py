"""The parts of README.md that are made from the program itself. `python tests/readme.py` writes them anew."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
SHOWN = "examples/broken_zero_grad.py"
WATCHED = "examples/broken_accumulation.py --epochs 1"
TAUGHT = "examples/accumulation.py"


def rules() -> str:
    """The catalogue as a table."""
    rows = ["| code | name | level | judged by | what it finds |", "| --- | --- | --- | --- | --- |"]
    for rule in json.loads(_loopguard("rule", "--all", "--output-format", "json")):
        name = f"[{rule['name']}](rules/{rule['name'].replace('-', '_')}.py)"
        engines = " and ".join({"static": "check", "runtime": "run"}[engine] for engine in rule["engines"])
        rows.append(f"| {rule['code']} | {name} | {rule['level']} | {engines} | {rule['summary']} |")
    return "\n".join(rows)


def finding() -> str:
    """What the command says about an example."""
    return f"```console\n$ loopguard check {SHOWN}\n{_loopguard('check', '--isolated', SHOWN)}\n```"


def run() -> str:
    """What a guarded run says about an example."""
    return f"```console\n$ loopguard run {WATCHED} > losses.txt\n{_python('-m', 'loopguard', 'run', *WATCHED.split())[1]}\n```"


def ledger() -> str:
    """What an example says with the help of the ledger."""
    return f"```console\n$ python {TAUGHT}\n{_python(TAUGHT)[0]}\n```"


def _loopguard(*arguments: str) -> str:
    return _python("-m", "loopguard", *arguments, "--color", "never")[0]


def _python(*arguments: str) -> tuple[str, str]:
    """What a program prints on stdout and on stderr."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", *arguments],
        cwd=ROOT,
        env={**os.environ, "NO_COLOR": "1", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode not in (0, 1):
        raise RuntimeError(done.stderr)
    return done.stdout.strip(), done.stderr.strip()


def current(text: str) -> str:
    """The text of the README with its generated parts as they should be."""
    for part in (finding, run, ledger, rules):
        name = part.__name__
        before, rest = re.split(rf"(?<=<!-- {name}: written by tests/readme\.py -->\n)", text, maxsplit=1)
        after = rest[rest.index(f"<!-- end of {name} -->") :]
        text = f"{before}\n{part()}\n\n{after}"
    return text


if __name__ == "__main__":
    README.write_text(current(README.read_text("utf-8")), "utf-8")
