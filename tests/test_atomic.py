"""A file is there whole or not at all, and whatever fails leaves nothing behind."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest
from snapshot import names, seen

from loopguard import atomic


def test_a_file_gets_a_new_text_and_keeps_its_permissions(place: Path) -> None:
    file = place / ("x" * 255)  # there is no longer name
    file.write_text("old")
    file.chmod(0o604)
    atomic.write(file, "new")
    assert seen(file) == {str(file): (stat.S_IFREG | 0o604, b"new")}
    assert names(place) == [file.name]


def test_a_new_file_has_the_permissions_that_the_process_gives(place: Path) -> None:
    mask = os.umask(0o027)
    try:
        atomic.write(place / "new", "text")
        assert os.umask(0o027) == 0o027
    finally:
        os.umask(mask)
    assert seen(place / "new") == {str(place / "new"): (stat.S_IFREG | 0o640, b"text")}


def test_a_link_stays_one(place: Path) -> None:
    (place / "folder").mkdir()
    (place / "link").symlink_to("folder/file")
    atomic.write(place / "link", "text")
    assert (place / "link").is_symlink()
    assert (place / "folder" / "file").read_text() == "text"
    assert names(place) + names(place / "folder") == ["folder", "link", "file"]


@pytest.mark.parametrize("failing", ["replace", "chmod"])
@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_what_fails_changes_nothing_and_leaves_nothing_behind(
    place: Path, monkeypatch: pytest.MonkeyPatch, failing: str, error: BaseException
) -> None:
    file = place / "file"
    file.write_text("old")
    before = seen(place)

    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(os, failing, fail)
    with pytest.raises(type(error)):
        atomic.write(file, "new")
    assert seen(place) == before
