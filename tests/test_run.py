"""`loopguard run` is the program, and tells at its end what was found."""

from __future__ import annotations

import json
import os
import py_compile
import signal
import subprocess
import sys
import zipapp
import zipfile
from collections.abc import Callable
from pathlib import Path
from textwrap import indent
from typing import Any

import pytest
from conftest import ROOT, Run

# What a program can know of itself. It imports no torch, so it is quick, and nothing is watched.
PROBE = """\
import atexit, gc, json, sys, warnings
import __main__
import neighbour

atexit.register(print, "at exit")
told = {
    "argv": sys.argv,
    "path": sys.path,
    "main": {k: repr(v).partition(' at 0x')[0] for k, v in vars(__main__).items() if k[:2] == "__" and k not in ("__loader__", "__builtins__")},
    "loader": type(__loader__).__name__,
    "mine": __main__.__dict__ is globals(),
    "gc": gc.get_threshold(),
    "recursion": sys.getrecursionlimit(),
    "errors": (sys.stdout.errors, sys.stderr.errors),
    "filters": [str(item) for item in warnings.filters],
    "modules": sorted({"torch", "libcst"} & set(sys.modules)),
}
print(json.dumps(told, indent=1))
"""

TRAINING = """\
import sys
import torch

torch.manual_seed(0)
model = torch.nn.Linear(3, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for number in range(20):
    loss = model(torch.randn(4, 3)).pow(2).mean()
    loss.backward()
    optimizer.step()
    print(loss.item())
{end}
"""
"""LG101 at row 10."""

HEALTHY = TRAINING.replace("    loss.backward()", "    optimizer.zero_grad()\n    loss.backward()")

Process = subprocess.CompletedProcess[str]


def start(*arguments: str, stdin: str = "", **environment: str) -> subprocess.Popen[str]:
    """A process of Python's, with nothing of ours on its path that is not installed, and something to read."""
    env = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "LOOPGUARD"))}
    env |= {
        "PYTHONPATH": str(Path(__file__).parent.parent),
        "PYTHONUNBUFFERED": "1",
        "OMP_NUM_THREADS": "1",
        **environment,
    }
    read, written = os.pipe()
    os.write(written, stdin.encode())
    os.close(written)
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", *arguments],
        stdin=read,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=env,
    )
    os.close(read)
    return process


def finish(process: subprocess.Popen[str]) -> Process:
    """What a process has printed, and how it has ended."""
    out, err = process.communicate(timeout=120)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def plainly(*arguments: str, **environment: str) -> Process:
    """A program as Python runs it."""
    return finish(start(*arguments, **environment))


def guarded(*arguments: str, **environment: str) -> Process:
    """A program as we run it."""
    return finish(start("-m", "loopguard", "run", *arguments, **environment))


@pytest.fixture
def project(place: Path) -> Path:
    """A script, a package with modules that can be run, and what they import."""
    for folder in ("scripts", "package", "package/inner"):
        (place / folder).mkdir()
    (place / "scripts" / "probe.py").write_text(PROBE)
    (place / "scripts" / "neighbour.py").write_text("")
    (place / "neighbour.py").write_text("")
    (place / "package" / "__init__.py").write_text("print('package')")
    (place / "package" / "probe.py").write_text(PROBE)
    (place / "package" / "inner" / "__init__.py").write_text("")
    (place / "package" / "inner" / "__main__.py").write_text(PROBE)
    (place / "app").mkdir()
    (place / "app" / "__main__.py").write_text(PROBE)
    (place / "app" / "neighbour.py").write_text("")
    (place / "compiled").mkdir()
    (place / "compiled" / "neighbour.py").write_text("")
    py_compile.compile(str(place / "app" / "__main__.py"), str(place / "compiled" / "__main__.pyc"))
    py_compile.compile(str(place / "scripts" / "probe.py"), str(place / "scripts" / "probe.pyc"))
    (place / "probe").write_bytes((place / "scripts" / "probe.pyc").read_bytes())
    for name in ("app.zip", "app.pyz"):
        zipapp.create_archive(place / "app", place / name, "/usr/bin/env python3" if name == "app.pyz" else None)
    return place


@pytest.mark.parametrize(
    "program",
    [
        ("scripts/probe.py",),
        ("scripts/../scripts/probe.py", "--json", "x", "-m", "--", "-h"),
        ("-m", "package.probe", "--lr=1"),
        ("-m", "package.inner"),
        ("app", "--lr=1"),
        ("./app/", "-m"),
        ("{here}/app",),
        ("compiled",),
        ("app.zip", "--lr=1"),
        ("./app.pyz",),
        ("scripts/probe.pyc",),
        ("probe",),
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("safe", ["", "1"], ids=["", "safe path"])
def test_a_program_cannot_tell_the_difference(program: tuple[str, ...], safe: str, project: Path) -> None:
    environment = {"PYTHONSAFEPATH": safe, "PYTHONPATH": f"{ROOT}{os.pathsep}{project}"}
    program = tuple(part.format(here=project) for part in program)
    plain, ours = plainly(*program, **environment), guarded(*program, **environment)
    assert plain.returncode == 0, plain.stderr
    assert json.loads(ours.stdout[ours.stdout.index("{") : ours.stdout.rindex("}") + 1]) | {"modules": []} == (
        json.loads(plain.stdout[plain.stdout.index("{") : plain.stdout.rindex("}") + 1]) | {"modules": []}
    )
    assert ours.stdout.endswith("}\nat exit\n")
    assert ours.returncode == 0
    assert ours.stderr == "loopguard: no mistakes in 0 steps of 0 optimizers\n"


ENDS = {
    "nothing": "",
    "exit": "import sys; sys.exit()",
    "code": "import sys; sys.exit(7)",
    "text": "import sys; sys.exit('no data')",
    "error": "def f():\n    1 / 0\n\n\ndef g():\n    try:\n        f()\n    except ZeroDivisionError as e:\n        raise KeyError(1) from e\n\n\ng()",
    "group": "raise ExceptionGroup('both', [ValueError(1), TypeError(2)])",
    "syntax": "for",
    "import": "import nowhere_to_be_found",
    "interrupt": "raise KeyboardInterrupt",
    "thread": "import threading, time\nthreading.Thread(target=lambda: (time.sleep(0.3), print('late'))).start()",
    "hook": "import sys\nsys.excepthook = lambda *a: print('mine', a[0].__name__, file=sys.stderr)\n1 / 0",
    "unflushed": "import sys; sys.stdout.write('no line end')",
}


@pytest.mark.parametrize("end", ENDS)
def test_a_program_ends_as_it_would(place: Path, end: str) -> None:
    (place / "train.py").write_text(f"print('begin')\n{ENDS[end]}\n")
    plain, ours = plainly("train.py"), guarded("train.py")
    assert (ours.returncode, ours.stdout) == (plain.returncode, plain.stdout)
    shown = [line for line in ours.stderr.splitlines() if not line.startswith("loopguard:")]
    assert "\n".join(shown) == plain.stderr.rstrip("\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nowhere.py",), "no such file: nowhere.py"),
        ((".",), ". has no file `__main__.py`, without which it cannot be run"),
        (("empty",), "empty has no file `__main__.py`, without which it cannot be run"),
        (("no_main.zip",), "no_main.zip has no file `__main__.py`, without which it cannot be run"),
        (("nested",), "nested has no file `__main__.py`, without which it cannot be run"),
        (("pipe",), "not a file: pipe"),
        (("train.py/x",), "train.py/x: cannot be read: Not a directory"),
        (("circle",), "circle: cannot be read: Too many levels of symbolic links"),
        (("-m", "nowhere"), "no module named `nowhere`"),
        (("-m", "train.py"), "no module named `train.py`; without -m, train.py is run as a file"),
        (("-m", "empty"), "`empty` is a package without a `__main__`, which cannot be run"),
        (("-m", "math"), "`math` is not a module written in Python"),
        (("--json", "nowhere/out.json", "train.py"), "--json: nowhere/out.json: there is no directory {here}/nowhere"),
        (("--json", ".", "train.py"), "--json: .: is a directory"),
        (("--on-finding", "explode", "train.py"), "invalid value for '--on-finding': "),
        (("--legder", "full", "train.py"), "no such option `--legder`; did you mean `--ledger`?"),
        ((), "missing argument 'TARGET'"),
    ],
)
def test_bad_usage_is_one_line_and_runs_nothing(place: Path, arguments: tuple[str, ...], message: str) -> None:
    (place / "train.py").write_text("print('it runs')")
    (place / "empty").mkdir()
    (place / "empty" / "__init__.py").write_text("print('it runs')")
    (place / "nested" / "__main__").mkdir(parents=True)
    (place / "nested" / "__main__" / "__init__.py").write_text("print('it runs')")
    with zipfile.ZipFile(place / "no_main.zip", "w") as archive:
        archive.writestr("train.py", "print('it runs')")
    os.mkfifo(place / "pipe")
    (place / "circle").symlink_to("circle")
    ended = guarded(*arguments)
    assert (ended.returncode, ended.stdout) == (2, "")
    (line,) = ended.stderr.splitlines()
    assert line.startswith(f"loopguard: error: {message.format(here=place)}")


def test_a_directory_and_an_archive_are_checked_and_watched(place: Path) -> None:
    (place / "app").mkdir()
    (place / "app" / "__main__.py").write_text(TRAINING.format(end=""))
    zipapp.create_archive(place / "app", place / "app.zip")
    for target, file in (("app", "app/__main__.py"), ("app.zip", "app.zip/__main__.py")):
        ended = guarded("--json", "run.json", target)
        assert ended.returncode == 0, ended.stderr
        assert f"{file}:10:5: LG101" in ended.stderr
        assert "`loopguard check` says so, too" in ended.stderr
        assert document(ended, place / "run.json")["static"][0]["filename"] == str(place / file)


def test_without_torch_there_is_one_line(place: Path) -> None:
    (place / "train.py").write_text("print('it runs')")
    hide = (
        "import sys, importlib.util as u; f = u.find_spec\n"
        "u.find_spec = lambda name, *a: None if name == 'torch' else f(name, *a)\n"
        "sys.argv = ['loopguard', 'run', 'train.py']\n"
        "from loopguard.__main__ import main; main()"
    )
    ended = plainly("-c", hide)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == ("loopguard: error: `loopguard run` needs torch: pip install 'torch-loopguard[runtime]'\n")


def document(ended: Process, file: Path) -> dict[str, Any]:
    """The JSON that a run has left."""
    assert file.exists(), ended.stderr
    whole: dict[str, Any] = json.loads(file.read_text())
    assert [*whole] == ["version", "findings", "static", "summary"]
    return whole


def test_a_run_tells_what_a_check_tells_and_more(place: Path, run: Run) -> None:
    (place / "train.py").write_text(TRAINING.format(end="sys.exit(3)"))
    plain = plainly("train.py")
    ended = guarded("--json", "out.json", "train.py")
    assert (ended.returncode, ended.stdout) == (plain.returncode, plain.stdout) == (3, plain.stdout)
    whole = document(ended, place / "out.json")
    (finding,), (said,) = whole["findings"], whole["static"]
    (checked,) = json.loads(run("check", "--output-format", "json", "train.py").stdout)
    assert said.pop("verdict") == "confirmed"
    assert said == checked
    assert set(finding) == {*checked, "count", "iterations", "parameters"}
    same = ("code", "filename", "location", "end_location", "name", "severity", "url", "advice")
    assert [finding[key] for key in same] == [checked[key] for key in same]
    assert (finding["count"], finding["iterations"], finding["parameters"]) == (19, [1, 2], ["weight", "bias"])
    assert [moment["iteration"] for moment in finding["evidence"]] == [1, 1, 2, 2]
    assert whole["summary"] == {
        "advice": 0,
        "confirmed": 1,
        "ended": "SystemExit",
        "errors": 1,
        "failed": None,
        "not_judged": 0,
        "optimizers_not_judged": 0,
        "not_reached": 0,
        "optimizers": 1,
        "refuted": 0,
        "steps": 20,
        "warnings": 0,
    }
    assert "(3) iteration 2: new gradients are added to the used ones" in ended.stderr
    assert ended.stderr.endswith(
        "(19 times; `loopguard check` says so, too)\nloopguard: found 1 error in 20 steps of 1 optimizer\n"
    )


ENDINGS: dict[str, tuple[str, str]] = {
    "an exception": ("raise ValueError('of theirs')", "ValueError"),
    "an interrupt": ("import os, signal; os.kill(os.getpid(), signal.SIGINT)", "KeyboardInterrupt"),
    "a termination": ("import os, signal; os.kill(os.getpid(), signal.SIGTERM)", "SIGTERM"),
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_the_findings_are_written_whatever_ends_the_run(place: Path, ending: str) -> None:
    end, name = ENDINGS[ending]
    (place / "train.py").write_text(TRAINING.format(end=end))
    plain, ended = plainly("train.py"), guarded("--on-finding", "collect", "--json", "out.json", "train.py")
    assert (ended.returncode, ended.stdout) == (plain.returncode, plain.stdout)
    whole = document(ended, place / "out.json")
    assert [finding["code"] for finding in whole["findings"]] == ["LG101"]
    assert whole["summary"]["ended"] == name
    *shown, finding, summary = ended.stderr.splitlines()
    assert "\n".join(shown) == plain.stderr.rstrip("\n")
    assert finding.startswith("train.py:10:5: LG101 missing-zero-grad: ")
    assert summary == "loopguard: found 1 error in 20 steps of 1 optimizer"


def test_a_finding_can_be_raised_at_its_line(place: Path) -> None:
    (place / "train.py").write_text(TRAINING.format(end=""))
    ended = guarded("--on-finding", "raise", "--json", "out.json", "train.py")
    assert ended.returncode == 1
    assert len(ended.stdout.splitlines()) == 1  # the second step is the one that raises
    lines = [line.strip() for line in ended.stderr.splitlines()]
    assert lines[:3] == [
        "Traceback (most recent call last):",
        f'File "{place / "train.py"}", line 10, in <module>',
        "optimizer.step()",
    ]
    assert any(line.startswith("loopguard.errors.TrainingLoopError: train.py:10:5: LG101 ") for line in lines)
    assert document(ended, place / "out.json")["summary"]["ended"] == "TrainingLoopError"


VERDICTS = {
    "confirmed": "`loopguard check` says so, too",
    "refuted": "said by `loopguard check`, refuted by this run",
    "not reached": "said by `loopguard check`, not reached in this run",
    "not judged": "said by `loopguard check`, not judged by this run",
}


@pytest.mark.parametrize(
    ("change", "found", "verdicts"),
    [
        (lambda text: text.replace("range(20)", "range(20 if len(sys.argv) > 1 else 0)"), [], ["not reached"]),
        (lambda text: text.replace("optimizer.step()", "optimizer.step()  # loopguard: ignore[LG101]"), [], []),
        (lambda text: f"import os\nos.chdir('/')\n{text}", ["LG101"], ["confirmed"]),
        # What the text does not tell: each forward pass clears.
        (
            lambda text: text.replace(
                "for number",
                "setattr(model, 'forward', (lambda f: lambda x: (model.zero_grad(), f(x))[1])(model.forward))\nfor number",
            ),
            [],
            ["refuted"],
        ),
        (
            lambda text: text.replace("for number", "clears = len(sys.argv) < 9\nfor number").replace(
                "    loss.backward()", "    if clears:\n        optimizer.zero_grad()\n    loss.backward()"
            ),
            [],
            ["not judged"],
        ),
        (lambda text: f"import sys\nif len(sys.argv) > 9:\n{indent(text, '    ')}", [], ["not reached"]),
    ],
    ids=["never trained", "suppressed", "elsewhere", "refuted", "another path", "without torch"],
)
def test_a_run_judges_what_was_said_of_it(
    place: Path, change: Callable[[str], str], found: list[str], verdicts: list[str]
) -> None:
    (place / "train.py").write_text(change(TRAINING.format(end="")))
    ended = guarded("--json", "out.json", "train.py")
    assert ended.returncode == 0, ended.stderr
    whole = document(ended, place / "out.json")
    assert [finding["code"] for finding in whole["findings"]] == found
    assert [finding["verdict"] for finding in whole["static"]] == verdicts
    counted = {name: whole["summary"][name.replace(" ", "_")] for name in VERDICTS}
    assert counted == {name: verdicts.count(name) for name in VERDICTS}
    told = [words for line in ended.stderr.splitlines() for name, words in VERDICTS.items() if words in line]
    assert told == [VERDICTS[name] for name in verdicts]


def test_a_healthy_run_says_one_line(place: Path) -> None:
    (place / "train.py").write_text(HEALTHY.format(end=""))
    plain, ended = plainly("train.py"), guarded("--ledger", "full", "train.py")
    assert (ended.returncode, ended.stdout) == (0, plain.stdout)
    assert ended.stderr == "loopguard: no mistakes in 20 steps of 1 optimizer\n"


def test_an_old_report_is_replaced_and_keeps_its_mode(place: Path) -> None:
    (place / "train.py").write_text("print('no torch')")
    (place / "out.json").write_text("old")
    (place / "out.json").chmod(0o600)
    (place / "link.json").symlink_to("out.json")
    assert guarded("--json", "link.json", "train.py").returncode == 0
    assert (place / "link.json").is_symlink()
    assert json.loads((place / "out.json").read_text())["summary"]["steps"] == 0
    assert (place / "out.json").stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in place.iterdir()) == ["link.json", "out.json", "train.py"]


def test_a_process_that_was_forked_reports_nothing(place: Path) -> None:
    fork = "import os, sys\nchild = os.fork()\nif not child:\n    sys.exit(0)\nos.waitpid(child, 0)"
    (place / "train.py").write_text(TRAINING.format(end=fork))
    ended = guarded("--on-finding", "collect", "train.py")
    assert ended.stderr.count("loopguard: found 1 error") == 1


def test_a_handler_of_the_program_for_termination_stays(place: Path) -> None:
    handler = (
        "import os, signal\nsignal.signal(signal.SIGTERM, lambda *_: sys.exit(9))\nos.kill(os.getpid(), signal.SIGTERM)"
    )
    (place / "train.py").write_text(TRAINING.format(end=handler))
    ended = guarded("--json", "out.json", "train.py")
    assert ended.returncode == 9
    assert document(ended, place / "out.json")["summary"]["ended"] == "SystemExit"


def test_it_composes_with_torchrun(place: Path) -> None:
    """Two ranks with the same mistake: it is told once, and one report is written."""
    ranks = TRAINING.replace("torch.manual_seed(0)", "torch.distributed.init_process_group('gloo')")
    ranks = ranks.replace("optimizer =", "model = torch.nn.parallel.DistributedDataParallel(model)\noptimizer =")
    (place / "train.py").write_text(ranks.format(end="torch.distributed.destroy_process_group()"))
    ended = plainly(
        "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "loopguard", "run", "--json",
        "out.json", "train.py",
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert [finding["code"] for finding in document(ended, place / "out.json")["findings"]] == ["LG101"]
    assert ended.stderr.count("LG101 missing-zero-grad") == 2  # as it happens, and in the summary
    assert ended.stderr.count("loopguard: found 1 error") == 1


def test_an_interrupt_from_the_terminal_ends_it_as_python_would(place: Path) -> None:
    (place / "train.py").write_text("import time\nprint('begin', flush=True)\ntime.sleep(60)")
    process = start("-m", "loopguard", "run", "--json", "out.json", "train.py")
    assert process.stdout is not None
    assert process.stdout.readline() == "begin\n"
    process.send_signal(signal.SIGINT)
    ended = finish(process)
    assert ended.returncode == -signal.SIGINT
    assert document(ended, place / "out.json")["summary"]["ended"] == "KeyboardInterrupt"


def test_the_tests_of_interrupts_pass_in_the_background_too() -> None:
    """A shell has those whom it starts there ignore the signal."""
    name = f"{__file__}::{test_an_interrupt_from_the_terminal_ends_it_as_python_would.__name__}"
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "--numprocesses=0", name],
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
        cwd=Path(__file__).parent.parent,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ended.returncode == 0, ended.stdout
