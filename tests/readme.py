"""The parts of README.md that are made from the program itself. `python tests/readme.py` writes them anew."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
SHOWN = "examples/broken_zero_grad.py"


def rules() -> str:
    """The catalogue as a table."""
    rows = ["| code | name | level | what it finds |", "| --- | --- | --- | --- |"]
    for rule in json.loads(_loopguard("rule", "--all", "--output-format", "json")):
        name = f"[{rule['name']}](rules/{rule['name'].replace('-', '_')}.py)"
        rows.append(f"| {rule['code']} | {name} | {rule['level']} | {rule['summary']} |")
    return "\n".join(rows)


def finding() -> str:
    """What the command says about an example."""
    return f"```console\n$ loopguard check {SHOWN}\n{_loopguard('check', '--isolated', SHOWN)}\n```"


def _loopguard(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "loopguard", *arguments, "--color", "never"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode not in (0, 1):
        raise RuntimeError(done.stderr)
    return done.stdout.strip()


def current(text: str) -> str:
    """The text of the README with its generated parts as they should be."""
    for part in (finding, rules):
        name = part.__name__
        before, rest = re.split(rf"(?<=<!-- {name}: written by tests/readme\.py -->\n)", text, maxsplit=1)
        after = rest[rest.index(f"<!-- end of {name} -->") :]
        text = f"{before}\n{part()}\n\n{after}"
    return text


if __name__ == "__main__":
    README.write_text(current(README.read_text("utf-8")), "utf-8")
