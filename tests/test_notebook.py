"""Notebooks: cells, their numbers, magics, and files that are none."""

from __future__ import annotations

import json

import pytest
from conftest import BROKEN, Run, places

from loopguard.errors import SourceError
from loopguard.notebook import neutralise
from loopguard.source import Source


def notebook(*cells: object, **more: object) -> bytes:
    """A notebook of format 4; a string is a code cell."""
    made = [
        {"cell_type": "code", "metadata": {}, "outputs": [], "source": cell} if isinstance(cell, str) else cell
        for cell in cells
    ]
    return json.dumps({"cells": made, "metadata": {}, "nbformat": 4, "nbformat_minor": 5, **more}).encode()


MARKDOWN = {"cell_type": "markdown", "source": ["some *words*"]}
SETUP, LOOP = BROKEN.split("\n\nfor")
LOOP = f"for{LOOP}"


def test_cells_are_numbered_over_all_cells(run: Run, write) -> None:
    write("x.ipynb", notebook(MARKDOWN, SETUP, MARKDOWN, LOOP))
    result = run("check", "--output-format", "concise")
    assert result.stdout.startswith("x.ipynb:cell 4:4:5: LG101 ")


def test_json_gives_the_cell_and_the_row_in_it(run: Run, write) -> None:
    write("x.ipynb", notebook(SETUP, LOOP))
    (finding,) = json.loads(run("check", "--output-format", "json").stdout)
    assert finding["cell"] == 2
    assert finding["location"] == {"row": 4, "column": 5}
    assert {moment["cell"] for moment in finding["evidence"]} == {2}


def test_full_output_quotes_the_lines_as_the_user_wrote_them(run: Run, write) -> None:
    write("x.ipynb", notebook(SETUP, LOOP.replace("    optimizer", "    %time\n    optimizer")))
    output = run("check").stdout
    assert "--> x.ipynb:cell 2:5:5" in output
    assert "4 |     %time\n" in output


def test_stdin_can_be_a_notebook(run: Run) -> None:
    result = run("check", "-", "--stdin-filename", "x.ipynb", "--output-format", "concise", input=notebook(SETUP, LOOP))
    assert result.stdout.startswith("x.ipynb:cell 2:4:5: LG101 ")


def test_cells_of_format_3_are_read(run: Run, write) -> None:
    cells = [{"cell_type": "code", "input": [*text.splitlines(keepends=True)]} for text in (SETUP, LOOP)]
    write("x.ipynb", json.dumps({"nbformat": 3, "metadata": {}, "worksheets": [{"cells": cells}]}))
    assert "x.ipynb:cell 2:4:5: LG101" in run("check", "--output-format", "concise").stdout


def test_magics_do_not_keep_a_notebook_from_being_checked(run: Run, write) -> None:
    magic = "%matplotlib inline\n!pip install torch \\\n    numpy\nfiles = !ls\nmodel?\n"
    write("x.ipynb", notebook("%%bash\nrm -rf (\n", "%%time\n" + SETUP, magic + LOOP))
    assert "x.ipynb:cell 3:9:5: LG101" in run("check", "--output-format", "concise").stdout


@pytest.mark.parametrize(
    ("line", "becomes"),
    [
        ("%timeit f()", "pass"),
        ("    !ls", "    pass"),
        ("?print", "pass"),
        ("print??", "pass"),
        ("torch.nn.*?", "pass"),
        ("%time?", "pass"),
        ("/f 1", "pass"),
        (",f a b", "pass"),
        (";f a b", "pass"),
        ("x = !ls", "x = None"),
        ("a, b = %run x.py", "a, b = None"),
        ("x = y % z", "x = y % z"),
        ("x != y", "x != y"),
        ("x = 'a=!b'", "x = 'a=!b'"),
        ("# what?", "# what?"),
        ("f('%s' % x)", "f('%s' % x)"),
    ],
)
def test_only_what_ipython_alone_understands_is_replaced(line: str, becomes: str) -> None:
    assert neutralise([line]) == [becomes]


@pytest.mark.parametrize(
    "lines",
    [
        ["x = (a", "     % b)"],
        ["x = [  # (", "!1", "]"],
        ['"""', "%magic in a string", '"""'],
        ["'''a", "?", "\\'''", "!", "'''"],
        ["x = '(\\'' \\", "% y"],
        ["f(')', \"]\",", "/ 2)"],
        ["x = 1)", "y = 2"],
    ],
)
def test_what_stands_within_a_statement_is_no_magic(lines: list[str]) -> None:
    assert neutralise(lines) == lines


@pytest.mark.parametrize("line", ["ls ./data/", "ls -la", "cd ..", "pip install torch", "time f(x)", "run train.py"])
def test_a_magic_without_its_sign_is_one_where_it_is_alone_in_its_cell(line: str) -> None:
    assert neutralise([line]) == ["pass"]
    assert neutralise([line, "x = 1"]) == [line, "x = 1"]


@pytest.mark.parametrize(
    "line",
    ["ls = 3", "time += 1", "run, x = 1, 2", "env: int = 3", "run (model)", "time.time()", "ls", "lsx 3", "step 3"],
)
def test_what_is_python_or_no_magic_of_ipython_is_left_alone(line: str) -> None:
    assert neutralise([line]) == [line]


def test_a_magic_is_continued_by_a_backslash() -> None:
    assert neutralise(["!a \\", "  b \\", "  c", "d"]) == ["pass", "", "", "d"]


def test_a_cell_in_another_language_is_left_out() -> None:
    assert neutralise(["", "%%html", "<b>", "</b>"]) == ["", "", "", ""]
    assert neutralise(["%%capture out", "x = 1"]) == ["pass", "x = 1"]


@pytest.mark.parametrize(
    "metadata",
    [{"language_info": {"name": "julia"}}, {"kernelspec": {"language": "R"}}],
)
def test_a_notebook_in_another_language_has_no_cells(metadata: object) -> None:
    assert Source.from_bytes(notebook("x <- 1", metadata=metadata), "x.ipynb").text == ""


@pytest.mark.parametrize("metadata", [{"language_info": {"name": "python"}}, {"kernelspec": {}}, None, []])
def test_a_notebook_in_python_has_its_cells(metadata: object) -> None:
    assert Source.from_bytes(notebook("x = 1", metadata=metadata), "x.ipynb").text == "x = 1\n"


@pytest.mark.parametrize(
    ("data", "place", "reason"),
    [
        (b'{"cells": [\n zero_grad', (2, 2), "not a notebook: invalid JSON: Expecting value"),
        (b"", (1, 1), "not a notebook: invalid JSON: Expecting value"),
        (b"\xff", (1, 1), "not a notebook: invalid start byte"),
        (b"[" * 100_000, (1, 1), "not a notebook: invalid JSON: maximum recursion depth exceeded"),
        (b"1" * 5000, (1, 1), "not a notebook: invalid JSON: Exceeds the limit"),
        (b"[]", (1, 1), "not a notebook: the JSON is no object"),
        (b"{}", (1, 1), "not a notebook: it has no list of cells"),
        (b'{"cells": {}}', (1, 1), "not a notebook: it has no list of cells"),
        (
            b'{"cells": [{"cell_type": "code", "source": 1}]}',
            (1, 1),
            "not a notebook: it has no list of cells",
        ),
    ],
)
def test_what_is_no_notebook_says_where_and_why(data: bytes, place: tuple[int, int], reason: str) -> None:
    with pytest.raises(SourceError) as caught:
        Source.from_bytes(data, "x.ipynb")
    assert caught.value.reason.startswith(reason)
    assert (caught.value.row, caught.value.column) == place


def test_a_broken_notebook_is_a_finding_and_the_rest_is_checked(run: Run, write) -> None:
    write("a.ipynb", b'{"cells": [ "zero_grad"')
    write("b.py")
    assert places(run("check", "--output-format", "concise")) == ["a.ipynb:1:24: LG000", "b.py:11:5: LG101"]


def test_a_null_byte_in_a_cell_is_placed_in_it() -> None:
    with pytest.raises(SourceError) as caught:
        Source.from_bytes(notebook("x = 1", "y\n\0"), "x.ipynb")
    assert (caught.value.cell, caught.value.row, caught.value.column) == (2, 2, 1)


def test_lone_surrogates_are_replaced() -> None:
    assert Source.from_bytes(notebook("x = '\ud800'"), "x.ipynb").text == "x = '?'\n"


def test_rows_of_the_text_and_places_in_cells_are_inverse() -> None:
    source = Source.from_bytes(notebook("a\nb", MARKDOWN, "c", "", "d\ne\n"), "x.ipynb")
    assert source.text == "a\nb\nc\n\nd\ne\n"
    for row, (cell, row_in_cell) in enumerate([(1, 1), (1, 2), (3, 1), (4, 1), (5, 1), (5, 2)], start=1):
        place = source.place(row, 1, row, 2)
        assert (place.cell, place.row) == (cell, row_in_cell)
        assert source.row(place) == row
        assert source.line(place.row, place.cell) == source.text.split("\n")[row - 1]
