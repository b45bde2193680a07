"""The cache never touches what is not its own: no other directory, nothing behind a link, no file of another name."""

from __future__ import annotations

import errno
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from zlib import crc32

import pytest
from conftest import BROKEN, HEALTHY, Run, places, python
from snapshot import names, seen

from loopguard import atomic
from loopguard.directory import Directory

Write = Callable[..., Path]

NAME = ".loopguard_cache"
FOUND = ["train.py:11:5: LG101"]
OLD = time.time() - 60 * 86_400


@pytest.fixture(autouse=True)
def script(write: Write) -> None:
    """A file that there is something to say of."""
    write("train.py")


def warm(folder: str = NAME) -> Path:
    """The index of a cache."""
    (index,) = Path(folder).glob("*.index")
    return index


def check(run: Run, *arguments: str) -> str:
    """The warnings of a check, which finds what is to be found."""
    result = run("check", "--output-format", "concise", *arguments)
    assert places(result) == FOUND
    assert result.exit_code == 1
    return result.stderr


def refused(run: Run, *arguments: str) -> str:
    """The one line of an error of usage."""
    result = run(*arguments)
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (2, "", 1)
    return result.stderr.removeprefix("loopguard: error: ").rstrip("\n")


FOREIGN = {
    "a text": {"thesis.txt": b"precious"},
    "an index of TensorFlow": {"model.ckpt-1000.index": b"precious"},
    "what is almost called like an index": {"loopguard-0123456.index": b"", "loopguard-01234567.index.bak": b""},
    "what is almost called like an unfinished one": {".loopguard-0123456789abcde.tmp": b""},
    "a directory in it": {"sub/thesis.txt": b"precious"},
}
UNMARKED = {
    "an index with the name of a former one": {"deadbeef.index": b"faiss"},
    "somebody else's cache": {"CACHEDIR.TAG": b"Signature: 8a477f597d28d172789f06886806bc55\n"},
    "a directory that git shall keep": {".gitignore": b"*\n!.gitignore\n"},
}


@pytest.mark.parametrize("name", [*FOREIGN, *UNMARKED])
def test_a_directory_with_foreign_files_never_becomes_a_cache(run: Run, write: Write, name: str) -> None:
    for file, content in (FOREIGN | UNMARKED)[name].items():
        os.utime(write(f"mine/{file}", content), (OLD, OLD))
    before = seen(Path("mine"))
    assert refused(run, "check", "--cache-dir", "mine").startswith("--cache-dir: mine: is no cache of loopguard's, as ")
    assert run("clean", "--cache-dir", "mine").stdout == "No cache found.\n"
    Path("mine").rename(NAME)
    (warning,) = check(run).splitlines()
    assert warning.startswith(f"loopguard: warning: {NAME} is no cache of loopguard's, as it holds `")
    Path(NAME).rename("mine")
    assert seen(Path("mine")) == before


@pytest.mark.parametrize("name", FOREIGN)
def test_our_tag_alone_makes_no_cache(run: Run, write: Write, name: str) -> None:
    """Older versions have put it where it does not belong; `clean` takes away what they have left, and no more."""
    check(run, "--cache-dir", "mine")
    for file, content in FOREIGN[name].items():
        os.utime(write(f"mine/{file}", content), (OLD, OLD))
    before = seen(Path("mine"))
    assert refused(run, "check", "--cache-dir", "mine").startswith("--cache-dir: mine: is no cache of loopguard's, as ")
    assert seen(Path("mine")) == before
    run("clean", "--cache-dir", "mine")
    left = {path: what for path, what in seen(Path("mine")).items() if Path(path).is_file()}
    assert left == {f"mine/{file}": before[f"mine/{file}"] for file in FOREIGN[name]}


@pytest.mark.parametrize("name", ["deadbeef.index", ".gitignore"])
def test_a_file_that_may_be_ours_by_its_name_and_is_not_stays_in_the_cache(run: Run, write: Write, name: str) -> None:
    check(run)
    os.utime(write(f"{NAME}/{name}", b"precious"), (OLD, OLD))
    before = seen(Path(NAME, name))
    write("other.py", HEALTHY)
    assert check(run) == ""
    assert run("clean").stdout == f"Removed the cache in {NAME}, and left alone what else is there: `{name}`.\n"
    assert seen(Path(NAME, name)) == before


def test_an_empty_directory_becomes_one(run: Run) -> None:
    Path("mine").mkdir()
    check(run, "--cache-dir", "mine")
    assert warm("mine")
    assert run("clean", "--cache-dir", "mine").stdout == "Removed mine.\n"


def test_what_a_file_manager_leaves_is_no_obstacle_and_is_not_removed(run: Run, write: Write) -> None:
    write("mine/.DS_Store", b"\0")
    assert check(run, "--cache-dir", "mine") == ""
    assert warm("mine")
    told = run("clean", "--cache-dir", "mine").stdout
    assert told == "Removed the cache in mine, and left alone what else is there: `.DS_Store`.\n"
    assert names("mine") == [".DS_Store"]


# Links.


@pytest.fixture
def victim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A directory of somebody else's, in which nothing changes."""
    folder = tmp_path_factory.mktemp("victim")
    for name in ("faiss.index", "01234567.index", "thesis.txt"):
        (folder / name).write_text("precious")
        os.utime(folder / name, (OLD, OLD))
    (folder / "empty").mkdir()
    before = seen(folder)
    yield folder
    assert seen(folder) == before


@pytest.mark.parametrize("target", ["", "empty", "nowhere", "thesis.txt"])
def test_a_link_in_place_of_the_cache_is_refused(run: Run, victim: Path, target: str) -> None:
    Path(NAME).symlink_to(victim / target)
    assert check(run) == f"loopguard: warning: {NAME} is a link: there is no cache\n"
    assert refused(run, "check", "--cache-dir", NAME) == f"--cache-dir: {NAME}: is a link"
    assert refused(run, "clean") == f"{NAME} is a link"
    assert Path(NAME).is_symlink()


def test_a_link_to_a_cache_is_refused_too(run: Run) -> None:
    check(run, "--cache-dir", "mine")
    before = seen(Path("mine"))
    Path(NAME).symlink_to("mine")
    assert check(run) == f"loopguard: warning: {NAME} is a link: there is no cache\n"
    assert refused(run, "clean") == f"{NAME} is a link"
    assert seen(Path("mine")) == before


def test_a_link_on_the_way_within_the_project_is_refused(run: Run, write: Write, victim: Path) -> None:
    write("pyproject.toml", "[tool.loopguard]\n")
    Path("build").symlink_to(victim)
    for inner in ("build/cache", "build/empty", "build/empty/deep/cache"):
        assert refused(run, "check", "--cache-dir", inner) == f"--cache-dir: {inner}: `build` is a link"
        assert refused(run, "check", "--cache-dir", str(Path(inner).absolute())).endswith(": `build` is a link")
        assert refused(run, "clean", "--cache-dir", inner) == f"{inner} `build` is a link"


def test_a_link_on_the_way_within_a_tree_that_is_checked_is_refused(run: Run, write: Write, victim: Path) -> None:
    tree = victim.with_name("tree")
    tree.mkdir(exist_ok=True)
    link = tree / "build"
    link.symlink_to(victim)
    (tree / "a.py").write_text(BROKEN)
    cache = str(link / "empty")
    assert refused(run, "check", str(tree), "--cache-dir", cache) == f"--cache-dir: {cache}: `{link}` is a link"
    shutil.rmtree(tree)


def test_a_link_above_the_project_is_no_matter(
    run: Run, place: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path_factory.mktemp("home") / "link"
    home.symlink_to(place)
    monkeypatch.chdir(home)
    assert check(run) == ""
    assert check(run, "--cache-dir", str(home / "mine")) == ""
    assert warm(str(place / NAME)) and warm(str(place / "mine"))
    (place / "other").mkdir()
    assert check(run, "--cache-dir", f"{home}/other/deep/cache") == ""
    assert run("clean").stdout == f"Removed {NAME}.\n"


ENTRIES: dict[str, Callable[[Path, Path], object]] = {
    "link": lambda path, victim: path.symlink_to(victim / "thesis.txt"),
    "dangling link": lambda path, victim: path.symlink_to(victim / "nowhere"),
    "link to a directory": lambda path, victim: path.symlink_to(victim),
    "pipe": lambda path, _: os.mkfifo(path),
    "directory": lambda path, _: path.mkdir(),
    "socket": lambda path, _: os.mknod(path, 0o140600),
}


@pytest.mark.parametrize("kind", ENTRIES)
@pytest.mark.parametrize("entry", ["CACHEDIR.TAG", ".gitignore", "index", ".loopguard-0123456789abcdef.tmp"])
def test_what_is_no_file_within_a_cache_is_neither_followed_nor_opened_nor_removed(
    run: Run, victim: Path, entry: str, kind: str
) -> None:
    check(run)
    path = warm() if entry == "index" else Path(NAME, entry)
    path.unlink(missing_ok=True)
    ENTRIES[kind](path, victim)
    before = seen(Path(NAME))
    (warning,) = check(run).splitlines()
    assert warning.startswith(f"loopguard: warning: {NAME} is no cache of loopguard's, as it holds `")
    assert refused(run, "check", "--cache-dir", NAME).startswith(f"--cache-dir: {NAME}: is no cache")
    assert seen(Path(NAME)) == before
    run("clean")
    assert seen(path) == {key: value for key, value in before.items() if key.startswith(str(path))}


def test_what_an_index_shares_with_a_foreign_file_stays_in_that_file(run: Run, victim: Path) -> None:
    """A hard link: the index is replaced, not overwritten."""
    check(run)
    warm().unlink()
    os.link(victim / "thesis.txt", next(iter(Path(NAME).glob("*.index")), Path(NAME, f"loopguard-{0:08x}.index")))
    for _ in range(2):
        assert check(run) == ""
    run("clean")
    assert not Path(NAME).exists()


def test_a_link_that_takes_the_place_of_the_directory_while_it_is_open_changes_nothing(
    place: Path, victim: Path
) -> None:
    (place / "mine").mkdir()
    with Directory.below(place, place / "mine") as directory:
        (place / "mine").rename(place / "moved")
        (place / "mine").symlink_to(victim)
        directory.write("thesis.txt", b"ours")
        directory.remove("thesis.txt")
        assert [name for name, _ in directory.entries()] == []


def test_nobody_can_guess_a_temporary_name_and_a_link_of_that_name_is_not_followed(
    place: Path, victim: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names: list[str] = []
    replace = os.replace
    monkeypatch.setattr(os, "replace", lambda old, new, **more: (names.append(old), replace(old, new, **more)))
    for _ in range(2):
        atomic.replace(str(place / "x"), b"new")
    assert len(set(names)) == 2
    monkeypatch.setattr(os, "urandom", lambda size: b"\0" * size)
    (place / f".loopguard-{'00' * 8}.tmp").symlink_to(victim / "thesis.txt")
    with pytest.raises(FileExistsError):
        atomic.replace(str(place / "x"), b"newer")
    assert (place / "x").read_bytes() == b"new"


# What is removed, and when.


def test_what_was_not_finished_is_removed_later_if_its_whole_name_is_ours(run: Run, write: Write) -> None:
    check(run)
    ours, young = f".loopguard-{0:016x}.tmp", f".loopguard-{1:016x}.tmp"
    for name in (ours, young):
        Path(NAME, name).write_bytes(b"")
    os.utime(Path(NAME, ours), (OLD, OLD))
    write("train.py", HEALTHY)
    run("check")
    assert not Path(NAME, ours).exists()
    assert Path(NAME, young).exists()


def test_old_indexes_and_the_oldest_of_too_many_are_removed(run: Run, write: Write) -> None:
    check(run)
    others = [Path(NAME, f"loopguard-{number:08x}.index") for number in range(30)]
    for number, index in enumerate(others):
        index.write_bytes(b"")
        os.utime(index, (time.time() - number,) * 2)
    os.utime(others[3], (OLD, OLD))
    write("train.py", HEALTHY)
    run("check")
    assert {index.name for index in others if index.exists()} == {i.name for i in [*others[:3], *others[4:24]]}


FORMER = {
    "0123abcd.index": b"loopguard 2 ('0.1.0', ...) 00000000\n",
    "0123abcd.index.4711": b"loopguard 2 ('0.1.",
    "76543210.index": b"loopguard 1 ('0.1.0', ...) 00000000\n",
}
"""What versions before this one have left."""


def test_a_former_cache_is_a_cache_and_what_it_holds_ages_as_ever(run: Run, write: Write) -> None:
    check(run)
    for name, content in FORMER.items():
        write(f"{NAME}/{name}", content)
        write(f"{NAME}/ffff{name[4:]}", b"not " + content)
    os.utime(Path(NAME, "0123abcd.index"), (OLD, OLD))
    write("train.py", HEALTHY)
    assert run("check").stderr == ""
    assert {name for name in FORMER if Path(NAME, name).exists()} == {"0123abcd.index.4711", "76543210.index"}
    told = run("clean").stdout
    assert told == (
        f"Removed the cache in {NAME}, and left alone what else is there:"
        " `ffff3210.index`, `ffffabcd.index`, `ffffabcd.index.4711`.\n"
    )
    assert len(names(NAME)) == 3


def test_clean_leaves_alone_what_others_have_put_into_a_cache(run: Run, write: Write) -> None:
    check(run)
    write(f"{NAME}/sub/thesis.txt", b"precious")
    for number in range(5):
        write(f"{NAME}/{number}.txt", b"precious")
    told = run("clean").stdout
    assert told == (
        f"Removed the cache in {NAME}, and left alone what else is there: `0.txt`, `1.txt`, `2.txt`, `3.txt`, 2 more.\n"
    )
    assert names(NAME) == ["0.txt", "1.txt", "2.txt", "3.txt", "4.txt", "sub"]
    assert Path(NAME, "sub/thesis.txt").read_bytes() == b"precious"


def test_clean_finds_no_cache_where_none_is(run: Run, write: Write) -> None:
    Path("empty").mkdir()
    write("file", b"")
    write("marked/CACHEDIR.TAG", b"Signature: 8a477f597d28d172789f06886806bc55\n")
    before = seen(Path.cwd())
    for folder in ("empty", "file", "marked", "nowhere", "file/cache", "."):
        assert run("clean", "--cache-dir", folder).stdout == "No cache found.\n"
    assert seen(Path.cwd()) == before


def test_clean_says_what_it_may_not_remove(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    check(run)

    def refuse(*_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Directory, "remove", refuse)
    assert refused(run, "clean") == f"{NAME} cannot be removed: Permission denied"


# What cannot be written.


@pytest.mark.parametrize(
    "arguments",
    [
        ["check", "--cache-dir", ""],
        ["clean", "--cache-dir", ""],
        ["check", "--config", ""],
        ["check", "-", "--stdin-filename", ""],
        ["run", "--json", "", "train.py"],
    ],
)
def test_an_empty_path_is_not_the_current_directory(run: Run, place: Path, arguments: list[str]) -> None:
    before = seen(place)
    option = next(part for part in arguments if part.startswith("--"))
    assert refused(run, *arguments) == f"{option}: the path is empty"
    assert refused(run, "check", "") == "a path is empty"
    assert seen(place) == before


def test_a_given_directory_that_is_none_or_cannot_be_made_is_an_error_before_anything_is_checked(
    run: Run, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("file", b"")
    assert refused(run, "check", "--cache-dir", "file") == "--cache-dir: file: is no directory"
    assert refused(run, "check", "--cache-dir", "file/cache") == "--cache-dir: file/cache: `file` is no directory"
    name = "x" * 300
    assert refused(run, "check", "--cache-dir", name) == f"--cache-dir: {name}: cannot be read: File name too long"
    Path("empty").mkdir()
    monkeypatch.setattr(os, "access", lambda *_, **__: False)
    assert refused(run, "check", "--cache-dir", "deep/cache") == "--cache-dir: deep/cache: may not be made there"
    assert refused(run, "check", "--cache-dir", "empty") == "--cache-dir: empty: may not be written"
    assert not Path("deep").exists()


@pytest.mark.parametrize("given", [(), ("--cache-dir", NAME)])
def test_a_cache_that_may_only_be_read_is_read(run: Run, write: Write, monkeypatch, given: tuple[str, ...]) -> None:
    check(run)
    write("other.py", HEALTHY)

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(atomic, "replace", refuse)
    monkeypatch.setattr(os, "access", lambda *_, **__: False)
    before = seen(Path(NAME))
    assert check(run, *given) == ""
    assert seen(Path(NAME)) == before


def test_a_full_disk_is_said_leaves_nothing_behind_and_the_next_run_mends_it(run: Run, place: Path) -> None:
    code = (
        "import resource, loopguard.__main__ as main\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (200, 200))\n"  # enough for the marks
        "main.main()"
    )
    full = python(place, "-c", code, "check", "--output-format", "concise")
    assert (full.returncode, full.stdout) == (1, run("check", "-n", "--output-format", "concise").stdout)
    assert full.stderr == (
        f"loopguard: warning: {NAME} cannot be written: File too large: the cache is not up to date\n"
    )
    assert names(NAME) == [".gitignore", "CACHEDIR.TAG"]
    assert check(run) == ""
    assert warm()


@pytest.mark.parametrize("left", [[], ["tag"], ["tag", "ignore"], ["ignore"], ["index"]])
def test_a_cache_that_was_never_finished_is_finished_by_the_next_run(run: Run, left: list[str]) -> None:
    check(run)
    for name, path in {"tag": Path(NAME, "CACHEDIR.TAG"), "ignore": Path(NAME, ".gitignore"), "index": warm()}.items():
        if name not in left:
            path.unlink()
    Path(NAME, f".loopguard-{0:016x}.tmp").write_bytes(b"half")
    assert check(run) == ""
    assert {"CACHEDIR.TAG", ".gitignore", warm().name} <= {*names(NAME)}


# What is believed.


def test_a_cache_that_came_along_is_not_believed(run: Run) -> None:
    """Whoever ships a tree may ship a cache with it, in which nothing was ever found."""
    check(run)
    index = warm()
    head, _, body = index.read_bytes().partition(b"\n")
    line, _, others = body.partition(b"\n")
    fields = line.split(b"\t")
    fields[3], fields[7] = b"c", b""
    body = b"\t".join(fields) + b"\n" + others
    index.write_bytes(b"%s%08x\n%s" % (head[:-8], crc32(body), body))
    assert places(run("check", "--output-format", "concise")) == []  # here it was written, and is believed
    shutil.copytree(NAME, "shipped")
    shutil.rmtree(NAME)
    shutil.copytree("shipped", NAME)
    assert check(run) == ""


def test_a_default_cache_of_another_user_is_not_used(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    check(run)
    before = seen(Path(NAME))
    monkeypatch.setattr(Directory, "owner", 4711)
    assert check(run) == f"loopguard: warning: {NAME} belongs to another user: there is no cache\n"
    assert seen(Path(NAME)) == before
    assert check(run, "--cache-dir", NAME) == ""
