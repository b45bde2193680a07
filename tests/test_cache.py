"""A warm run says what a cold one would, whatever has changed, and does nothing that it need not do."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import BROKEN, HEALTHY, ROOT, Run, places, python

Write = Callable[..., Path]

CLEAR = "def prepare(optimizer):\n    optimizer.zero_grad()\n"
IDLE = "def prepare(optimizer):\n    print(optimizer.defaults, 'before zero_grad')\n"
USES = "from helper import prepare\n" + BROKEN.replace("    loss = ", "    prepare(optimizer)\n    loss = ")
LATER = 10_000_000_000


@pytest.fixture
def settle(place: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Lets enough time pass, as far as the cache can tell, for stamps to count."""
    now = time.time_ns

    def later() -> None:
        monkeypatch.setattr("loopguard.stamps.time_ns", lambda: now() + LATER)

    return later


@pytest.fixture
def examined(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files that are analysed, in order, in this process."""
    from loopguard import static

    analyse = static.analyse
    paths: list[str] = []

    def tell(source, project, unjudged):  # type: ignore[no-untyped-def]
        paths.append(source.path)
        return analyse(source, project, unjudged)

    monkeypatch.setattr("loopguard.static.analyse", tell)
    return paths


def found(run: Run, *arguments: str) -> list[str]:
    """The findings of a run, with the cache and without it, which must be the same."""
    warm = run("check", "--output-format", "json", *arguments)
    plain = run("check", "--output-format", "json", "--no-cache", *arguments)
    assert (warm.stdout, warm.exit_code, warm.stderr) == (plain.stdout, plain.exit_code, plain.stderr)
    return places(run("check", "--output-format", "concise", *arguments))


def test_a_file_is_not_analysed_again(run: Run, write: Write, settle, examined: list[str]) -> None:
    write("train.py")
    settle()
    first = run("check")
    assert examined == ["train.py"]
    for format in ("full", "concise", "json", "github"):
        run("check", "--output-format", format)
    assert examined == ["train.py"]
    assert run("check").stdout == first.stdout


def test_a_young_file_is_read_and_not_analysed_again(run: Run, write: Write, examined: list[str]) -> None:
    """It could have changed within the same tick of the clock; its content tells that it has not."""
    write("train.py")
    run("check")
    run("check")
    assert examined == ["train.py"]


def test_a_file_that_has_only_been_touched_is_not_analysed_again(
    run: Run, write: Write, settle, examined: list[str]
) -> None:
    file = write("train.py")
    settle()
    run("check")
    os.utime(file, ns=(1, 1))
    run("check")
    assert examined == ["train.py"]


def test_a_changed_file_is_analysed_again(run: Run, write: Write, settle) -> None:
    write("train.py")
    settle()
    assert found(run) == ["train.py:11:5: LG101"]
    write("train.py", HEALTHY)
    assert found(run) == []
    write("train.py", "\n" + BROKEN)
    assert found(run) == ["train.py:12:5: LG101"]


def test_a_change_that_keeps_size_and_time_is_seen(run: Run, write: Write, settle) -> None:
    file = write("train.py")
    settle()
    assert found(run) == ["train.py:11:5: LG101"]
    status = file.stat()
    write("train.py", BROKEN.replace("    optimizer.step()", "    optimizer.stop()"))
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert file.stat().st_size == status.st_size
    assert found(run) == []


def test_a_file_that_is_gone_or_new_makes_no_trouble(run: Run, write: Write, settle) -> None:
    file = write("a.py")
    write("b.py")
    settle()
    assert len(found(run)) == 2
    file.rename("c.py")
    assert found(run) == ["b.py:11:5: LG101", "c.py:11:5: LG101"]


def test_what_an_imported_file_does_counts(run: Run, write: Write, settle) -> None:
    write("train.py", USES)
    write("helper.py", CLEAR)
    settle()
    assert found(run) == []
    write("helper.py", IDLE)
    assert found(run) == ["train.py:13:5: LG101"]
    write("helper.py", CLEAR)
    assert found(run) == []


def test_what_an_imported_file_imports_counts(run: Run, write: Write, settle) -> None:
    write("train.py", USES)
    write("helper.py", "from inner import prepare\n")
    write("inner.py", CLEAR)
    settle()
    assert found(run, "train.py") == []
    write("inner.py", IDLE)
    assert found(run, "train.py") == ["train.py:13:5: LG101"]


def test_an_imported_file_that_is_a_pipe_now_is_not_waited_for(run: Run, write: Write, settle) -> None:
    write("train.py", USES)
    file = write("helper.py", IDLE)
    settle()
    assert found(run) == ["train.py:13:5: LG101"]
    file.unlink()
    os.mkfifo(file)
    assert found(run) == []


def test_an_import_that_is_found_now_counts(run: Run, write: Write, settle) -> None:
    write("train.py", USES)
    settle()
    before = found(run)
    file = write("helper.py", IDLE)
    assert before == []
    assert found(run) == ["train.py:13:5: LG101"]
    file.unlink()
    assert found(run) == []


def test_an_import_that_is_found_nearer_now_counts(run: Run, write: Write, settle) -> None:
    write("pkg/train.py", USES)
    write("helper.py", CLEAR)
    settle()
    assert found(run) == []
    write("pkg/helper.py", IDLE)
    assert found(run) == ["pkg/train.py:13:5: LG101"]


def test_a_file_that_was_checked_alone_is_known_to_the_next_run(
    run: Run, write: Write, settle, examined: list[str]
) -> None:
    """A change in a file that a run did not look at is seen by the next one."""
    write("train.py", USES)
    write("other.py")
    write("helper.py", CLEAR)
    settle()
    run("check")
    write("helper.py", IDLE)
    run("check", "other.py")
    run("check", "helper.py")
    assert found(run) == ["other.py:11:5: LG101", "train.py:13:5: LG101"]


def test_what_is_selected_is_decided_anew(run: Run, write: Write, settle, examined: list[str]) -> None:
    write("train.py")
    settle()
    assert run("check").exit_code == 1
    assert run("check", "--ignore", "LG101").exit_code == 0
    write("pyproject.toml", '[tool.loopguard.per-file-ignores]\n"train.py" = ["ALL"]\n')
    assert run("check").exit_code == 0
    assert examined == ["train.py"]


def test_comments_count_in_a_warm_run(run: Run, write: Write, settle) -> None:
    write("hidden.py", BROKEN.replace("step()", "step()  # noqa: LG101"))
    write("unused.py", HEALTHY.replace("step()", "step()  # loopguard: ignore[LG101]"))
    settle()
    for _ in range(2):
        assert found(run) == ["unused.py:12:23: LG002"]


def test_a_users_own_rule_counts_as_it_is_now(place: Path, write: Write) -> None:
    text = (ROOT / "rules" / "missing_zero_grad.py").read_text("utf-8")
    write("pyproject.toml", '[tool.loopguard]\nextend-rules = ["own"]\nextend-exclude = ["own"]\n')
    write("train.py")
    for code in ("XY1", "XY2"):
        write("own/my_rule.py", text.replace('"LG101"', f'"{code}"'))
        for _ in range(2):
            assert f"{code} my-rule" in python(place, "-m", "loopguard", "check").stdout


@pytest.mark.parametrize("damage", [b"", b"\xff\xfe\0", b"loopguard 1", "half"])
def test_a_damaged_cache_is_none(run: Run, write: Write, settle, damage: bytes | str) -> None:
    write("train.py")
    settle()
    expected = found(run)
    for index in Path(".loopguard_cache").glob("*.index"):
        data = index.read_bytes()
        index.write_bytes(damage if isinstance(damage, bytes) else data[: len(data) // 2])
    assert found(run) == expected
    assert found(run) == expected


def test_a_cache_that_says_something_else_is_not_believed(run: Run, write: Write, settle) -> None:
    write("train.py")
    settle()
    expected = found(run)
    for index in Path(".loopguard_cache").glob("*.index"):
        index.write_text(index.read_text("utf-8").replace("LG101", "LG102"), "utf-8")
    assert found(run) == expected


def test_another_version_does_not_believe_it(run: Run, write: Write, settle, monkeypatch, examined: list[str]) -> None:
    write("train.py")
    settle()
    run("check")
    monkeypatch.setattr("loopguard.cache.__version__", "0.0.0")
    run("check")
    assert examined == ["train.py"] * 2


def test_a_directory_that_cannot_be_written_is_no_matter(run: Run, write: Write) -> None:
    write("train.py")
    write(".loopguard_cache", "a file where the directory would be")
    result = run("check", "--output-format", "concise")
    assert (places(result), result.stderr) == (["train.py:11:5: LG101"], "")


def test_without_a_cache_none_is_read_or_written(run: Run, write: Write, settle, examined: list[str]) -> None:
    write("train.py")
    settle()
    run("check", "--no-cache")
    assert not Path(".loopguard_cache").exists()
    run("check")
    run("check", "-n")
    assert examined == ["train.py"] * 3


def test_the_cache_is_marked_as_one_and_lies_by_the_configuration(run: Run, write: Write, monkeypatch) -> None:
    write("pyproject.toml", "[tool.loopguard]\n")
    write("sub/train.py")
    monkeypatch.chdir("sub")
    run("check")
    folder = Path("../.loopguard_cache")
    assert (folder / "CACHEDIR.TAG").read_text().startswith("Signature: 8a477f597d28d172789f06886806bc55")
    assert (folder / ".gitignore").read_text().splitlines()[-1] == "*"
    assert not Path(".loopguard_cache").exists()


def test_the_cache_can_lie_elsewhere(run: Run, write: Write) -> None:
    write("train.py")
    run("check", "--cache-dir", "deep/cache")
    assert list(Path("deep/cache").glob("*.index"))
    assert not Path(".loopguard_cache").exists()


def test_clean_removes_the_cache_and_nothing_else(run: Run, write: Write) -> None:
    write("train.py")
    run("check")
    assert run("clean").stdout == "Removed .loopguard_cache.\n"
    assert [path.name for path in Path.cwd().iterdir()] == ["train.py"]
    assert run("clean").stdout == "No cache found.\n"
    write("mine/file.txt", "not a cache")
    assert run("clean", "--cache-dir", "mine").stdout == "No cache found.\n"
    assert Path("mine/file.txt").exists()


def test_runs_at_the_same_time_do_not_hurt_each_other(place: Path, write: Write) -> None:
    for number in range(8):
        write(f"train{number}.py")
    command = [sys.executable, "-m", "loopguard", "check", "--output-format", "concise"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    for _ in range(2):
        runs = [
            subprocess.Popen([*command, *paths], cwd=place, env=environment, stdout=subprocess.PIPE, text=True)
            for paths in ([], ["train1.py", "train2.py"], [])
        ]
        outputs = [run.communicate()[0].count("LG101") for run in runs]
        assert outputs == [8, 2, 8]


def test_a_warm_run_loads_neither_libcst_nor_rules(place: Path, write: Write) -> None:
    write("train.py", HEALTHY)
    code = (
        "import sys\nfrom loopguard.cli import app\n"
        "try: app(['check'], prog_name='loopguard')\n"
        "except SystemExit: print(*sys.modules)"
    )
    loaded = [set(python(place, "-c", code).stdout.splitlines()[-1].split()) for _ in range(2)]
    assert "libcst" in loaded[0]
    assert not {"libcst", "json", "multiprocessing", "loopguard.rule"} & loaded[1]
