"""Two ranks for the tests: starts `ranks/launch.py` and reads what it has written."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

RANKS = (0, 1)

_LAUNCH = Path(__file__).parent / "ranks" / "launch.py"

Results = dict[str, dict[str, object]]
"""By program and rank (`ddp.0`): what was found in each scenario. `error` is the traceback of a rank that failed."""


def launch(programs: Sequence[Path], folder: Path) -> Results:
    """Run programs on two ranks each."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(_LAUNCH), str(folder), *map(str, programs)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return {file.stem: json.loads(file.read_text("utf-8")) for file in folder.glob("*.json")}


def finding_of(results: Results, program: Path, rank: int, name: str) -> object:
    """What one rank has found in one scenario, as (row, code) for each."""
    result = results.get(f"{program.stem}.{rank}", {"error": "the rank has not come to its end"})
    assert "error" not in result, result["error"]
    found = result[name]
    assert isinstance(found, list)
    return [tuple(item) for item in found]
