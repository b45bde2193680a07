"""Bytes to text, and rows of the text to places in the file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loopguard.errors import SourceError
from loopguard.events import Place
from loopguard.notebook import neutralise
from loopguard.paths import shown
from loopguard.source import Source, decode, read


def test_lines_are_split_at_line_ends_only() -> None:
    source = Source.from_bytes(b"a\x0cb\r\nc\x0b\x1c\rd\n", "x.py")
    assert source.lines() == ["a\x0cb", "c\x0b\x1c", "d", ""]


@pytest.mark.parametrize(("row", "text"), [(0, ""), (1, "a"), (2, "b"), (3, ""), (-1, "")])
def test_a_row_that_is_not_there_is_empty(row: int, text: str) -> None:
    assert Source("x.py", "a\nb").line(row) == text


def test_a_place_in_a_plain_file_is_the_range_itself() -> None:
    assert Source("x.py", "a\nb").place(1, 1, 2, 2) == Place("x.py", 1, 1, 2, 2)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ("# -*- coding: latin-1 -*-\né".encode("latin-1"), "é"),
        ("#!/usr/bin/python\n# vim: set fileencoding=cp1252 :\n€".encode("cp1252"), "€"),
        ("\n# coding: latin-1\né".encode("latin-1"), "é"),
        ("x = 1\n# coding: latin-1\né".encode(), "é"),
        ("# coding: UTF_8\né".encode(), "é"),
        (b"\xef\xbb\xbf# coding: utf-8-unix\n", ""),
        ("# -*- coding: iso-8859-1-unix -*-\né".encode("latin-1"), "é"),
    ],
)
def test_a_declared_encoding_counts_where_python_lets_it(data: bytes, text: str) -> None:
    assert decode(data).splitlines()[-1].endswith(text)


NAMES = ("utf-8", "utf8", "u8", "latin-1", "latin1", "iso-8859-1", "iso-latin-1", "iso-8859-15", "cp1252", "ascii")
ENDS = ("", "-unix", "-dos", "-", "-sig", "x", "unix")


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["", "with a byte order mark"])
@pytest.mark.parametrize("spelt", [str.lower, str.upper, lambda name: name.replace("-", "_")])
@pytest.mark.parametrize("name", [name + end for name in NAMES for end in ENDS])
def test_an_encoding_is_known_by_the_names_that_python_knows(
    name: str, spelt: Callable[[str], str], mark: bytes
) -> None:
    data = mark + f"# -*- coding: {spelt(name)} -*-\n".encode()
    try:
        compile(data, "x.py", "exec")
    except SyntaxError:
        with pytest.raises(SourceError):
            decode(data)
    else:
        assert decode(data).startswith("# -*-")


@pytest.mark.parametrize(
    ("data", "row", "column", "reason"),
    [
        (b"a\r\nb\xffc", 2, 2, "cannot be decoded as utf-8: invalid start byte"),
        ("é = 'é'\nü".encode() + b"\xe9", 2, 2, "cannot be decoded as utf-8: unexpected end of data"),
        (b"# coding: ascii\nx = '\xe9'", 2, 6, "cannot be decoded as ascii: ordinal not in range(128)"),
        (b"# coding: nonsense", 1, 1, "the encoding `nonsense` is unknown"),
        (
            b"\xef\xbb\xbf# coding: ascii",
            1,
            1,
            "the file starts with a UTF-8 byte order mark but declares `ascii`",
        ),
        (b"# coding: unicode_escape\n'\\ud800'", 1, 1, "cannot be decoded as unicode_escape"),
    ],
)
def test_text_that_cannot_be_decoded_says_where_and_why(data: bytes, row: int, column: int, reason: str) -> None:
    with pytest.raises(SourceError) as caught:
        decode(data)
    assert (caught.value.row, caught.value.column) == (row, column)
    assert caught.value.reason.startswith(reason)


def test_a_null_byte_is_placed() -> None:
    with pytest.raises(SourceError, match="null bytes") as caught:
        Source.from_bytes(b"a\nbc\0", "x.py")
    assert (caught.value.row, caught.value.column) == (2, 3)


@given(st.binary(max_size=60))
def test_any_bytes_give_text_or_a_source_error(data: bytes) -> None:
    for name in ("x.py", "x.ipynb"):
        try:
            text = Source.from_bytes(data, name).text
        except SourceError:
            continue
        assert "\r" not in text and "\0" not in text
        text.encode()


@given(st.lists(st.text(st.sampled_from("%!?\"'()[]#\\ =ax"), max_size=12)))
def test_neutralising_keeps_the_number_of_lines(lines: list[str]) -> None:
    assert len(neutralise(lines)) == len(lines)


def test_paths_below_the_current_directory_are_shown_relative(place: Path, tmp_path_factory) -> None:  # type: ignore[no-untyped-def]
    assert shown(place / "sub" / ".." / "a.py") == "a.py"
    assert shown(place.parent / "a.py") == str(place.parent / "a.py")
    assert shown(place.with_name(place.name + "x") / "a.py") == f"{place}x/a.py"


def test_a_file_knows_its_path_and_where_it_lies(place: Path) -> None:
    (place / "a.py").write_text("x")
    source = read(place / "a.py")
    assert (source.path, source.file, source.text) == ("a.py", place / "a.py", "x")
