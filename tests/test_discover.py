"""Which files are checked."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Run


@pytest.fixture
def files(run: Run, place: Path):  # type: ignore[no-untyped-def]
    """The files that would be checked, relative to the current directory."""

    def show(*arguments: str) -> list[str]:
        lines = run("check", "--show-files", *arguments).stdout.splitlines()
        return [os.path.relpath(line, place) for line in lines]

    return show


def test_python_and_notebook_files_are_found(files, write) -> None:
    for name in ("a.py", "b.pyi", "c.ipynb", "d.pyw", "e.txt", "f.pyc", "g.py.bak"):
        write(name)
    assert files() == ["a.py", "b.pyi", "c.ipynb", "d.pyw"]


def test_a_named_file_is_checked_whatever_its_suffix(files, write) -> None:
    write("train.txt")
    assert files("train.txt") == ["train.txt"]


def test_a_file_that_is_named_twice_is_checked_once(files, write) -> None:
    write("a.py")
    assert files("a.py", ".", "./a.py") == ["a.py"]


def test_a_directory_called_like_a_file_is_walked(files, write) -> None:
    write("pkg.py/a.py")
    assert files() == ["pkg.py/a.py"]


def test_default_names_are_left_out(files, write) -> None:
    for name in (".venv/a.py", "node_modules/a.py", "sub/dist/a.py", "venv.py"):
        write(name)
    assert files() == ["venv.py"]


def test_a_directory_that_is_left_out_can_be_named(files, write) -> None:
    write(".venv/a.py")
    write(".venv/dist/b.py")
    assert files(".venv") == [".venv/a.py"]


def test_exclude_replaces_the_default_names(files, write) -> None:
    write("loopguard.toml", 'exclude = ["gen"]\n')
    write("dist/a.py")
    write("gen/a.py")
    assert files() == ["dist/a.py"]


def test_extend_exclude_adds_to_them(files, write) -> None:
    write("loopguard.toml", 'extend-exclude = ["sub/*_pb2.py"]\n')
    for name in ("dist/a.py", "sub/a_pb2.py", "a_pb2.py"):
        write(name)
    assert files() == ["a_pb2.py"]
    assert files("--extend-exclude", "a_pb2.py") == []
    assert files("--exclude", "sub") == ["a_pb2.py", "dist/a.py"]


def test_a_named_directory_keeps_the_patterns_that_are_not_about_it(files, write) -> None:
    write("loopguard.toml", 'extend-exclude = ["gen", "*_pb2.py"]\n')
    write("gen/a.py")
    write("gen/a_pb2.py")
    assert files("gen") == ["gen/a.py"]


def test_a_named_file_is_checked_although_excluded(files, write) -> None:
    write("dist/a.py")
    assert files("dist/a.py") == ["dist/a.py"]


def test_force_exclude_leaves_out_named_files(files, write) -> None:
    for name in ("dist/a.py", "gen/deep/b.py", "c.py"):
        write(name)
    write("loopguard.toml", 'extend-exclude = ["gen"]\nforce-exclude = true\n')
    named = ("dist/a.py", "gen/deep/b.py", "dist", "c.py")
    assert files(*named) == ["c.py"]
    assert files("--no-force-exclude", *named) == ["c.py", "dist/a.py", "gen/deep/b.py"]


def test_force_exclude_looks_at_the_whole_path_outside_of_the_project(files, write, tmp_path_factory) -> None:  # type: ignore[no-untyped-def]
    outside = tmp_path_factory.mktemp("outside") / "site-packages" / "a.py"
    outside.parent.mkdir()
    outside.touch()
    (outside.parent.parent / "b.py").touch()
    assert files("--force-exclude", str(outside)) == []
    assert len(files("--force-exclude", str(outside.parent.parent / "b.py"))) == 1
    assert len(files(str(outside))) == 1


def test_what_git_ignores_is_left_out(files, write) -> None:
    write(".gitignore", "/out\n*.gen.py\n!keep.gen.py\n# comment\n")
    for name in ("out/a.py", "sub/out/b.py", "c.gen.py", "keep.gen.py"):
        write(name)
    assert files() == ["keep.gen.py", "sub/out/b.py"]
    assert len(files("--no-respect-gitignore")) == 4


def test_a_nested_gitignore_has_the_last_word(files, write) -> None:
    write(".gitignore", "*.gen.py\n")
    write("sub/.gitignore", "!a.gen.py\n/local.py\n")
    for name in ("a.gen.py", "sub/a.gen.py", "sub/local.py", "sub/deep/local.py"):
        write(name)
    assert files() == ["sub/a.gen.py", "sub/deep/local.py"]


def test_ignore_files_above_count_within_the_repository(files, write, place: Path) -> None:
    (place / "repo" / ".git" / "info").mkdir(parents=True)
    write(".gitignore", "a.py\n")
    write("repo/.git/info/exclude", "b.py\n")
    write("repo/.gitignore", "c.py\n")
    write("repo/sub/.gitignore", "d.py\n")
    for name in "abcde":
        write(f"repo/sub/deep/{name}.py")
    assert files("repo/sub/deep") == ["repo/sub/deep/a.py", "repo/sub/deep/e.py"]
    assert files("repo") == ["repo/sub/deep/a.py", "repo/sub/deep/e.py"]


def test_an_ignored_directory_can_be_named(files, write, place: Path) -> None:
    (place / ".git").mkdir()
    write(".gitignore", "build/\n*.gen.py\n")
    write("build/a.py")
    write("build/b.gen.py")
    assert files("build") == ["build/a.py"]
    assert files("build/b.gen.py") == ["build/b.gen.py"]


def test_a_loop_of_directories_ends(files, write, place: Path) -> None:
    write("pkg/a.py")
    (place / "pkg" / "self").symlink_to(place / "pkg")
    (place / "pkg" / "up").symlink_to(place)
    (place / "aa").symlink_to(place / "pkg")
    assert files() == ["pkg/a.py"]


def test_a_link_that_leads_to_itself_is_passed_over(files, write, place: Path) -> None:
    write("a.py")
    (place / "b.py").symlink_to(place / "b.py")
    (place / "c").symlink_to(place / "d")
    (place / "d").symlink_to(place / "c")
    (place / "gone.py").symlink_to(place / "nowhere.py")
    assert files() == ["a.py"]


def test_a_linked_directory_outside_is_followed(files, write, place: Path, tmp_path_factory) -> None:  # type: ignore[no-untyped-def]
    outside = tmp_path_factory.mktemp("outside")
    (outside / "a.py").touch()
    (place / "link").symlink_to(outside)
    assert files() == ["link/a.py"]


def test_a_tree_may_be_deeper_than_the_stack(files, place: Path) -> None:
    deep = "/".join("d" * 1100)
    folder = place
    for name in deep.split("/"):  # `parents=True` would do it by recursion
        folder /= name
        folder.mkdir()
    file = folder / "a.py"
    file.touch()
    (place / "b.py").touch()
    try:
        assert files() == ["b.py", f"{deep}/a.py"]
    finally:
        # What removes temporary directories afterwards does it by recursion.
        file.unlink()
        os.removedirs(file.parent)


def test_a_directory_that_cannot_be_read_is_a_warning(run: Run, write, monkeypatch: pytest.MonkeyPatch) -> None:
    write("locked/a.py")
    write("b.py")
    scandir = os.scandir

    def refuse(path: Path) -> Iterator[os.DirEntry[str]]:
        if Path(path).name == "locked":
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    result = run("check", "-q", "--output-format", "concise")
    assert result.stderr == "loopguard: warning: locked: cannot be read: Permission denied\n"
    assert result.stdout.startswith("b.py:")
