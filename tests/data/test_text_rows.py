"""Rows of tables; other files are read in the tests of what is made of their rows."""

from pathlib import Path

import pytest

from genai.core.errors import UserError
from genai.data.text_rows import read_rows


def table(tmp_path: Path, text: str, name: str = "rows.csv") -> Path:
    (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path / name


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("rows.csv", 'Source,target\na,b\n\n"c, d",e\n'),
        ("rows.csv", "source;target\r\na;b\r\nc, d;e\r\n"),
        ("rows.csv", '\n\n"source","target","tags; notes"\na,b\n"c, d",e\n'),
        ("rows.tsv", "source\t target \t\na\tb\t\nc, d\te\t"),
    ],
)
def test_tables(tmp_path: Path, name: str, text: str) -> None:
    rows = [row for _, row in read_rows(table(tmp_path, text, name))]
    assert rows == [{"source": "a", "target": "b"}, {"source": "c, d", "target": "e"}]


def test_a_row_with_too_many_cells_loses_no_other(tmp_path: Path) -> None:
    rows = dict(read_rows(table(tmp_path, "a,b\n1,2\n1,2,3\n4\n")))
    places = [place.rpartition(":")[2] for place in rows]
    assert places == ["2", "3", "4"]
    first, broken, last = rows.values()
    assert (first, last) == ({"a": "1", "b": "2"}, {"a": "4"})
    assert isinstance(broken, UserError) and "has 3 cells, but the first line 2" in str(broken)


def test_long_cells_are_read_and_open_quotes_are_named(tmp_path: Path) -> None:
    ((_, row),) = read_rows(table(tmp_path, f"a,b\n{'x' * 200_000},2\n"))
    assert len(row["a"]) == 200_000
    with pytest.raises(UserError, match=r"rows\.csv:3: unexpected end of data"):
        _ = [*read_rows(table(tmp_path, 'a,b\n1,2\n"3,4\n'))]
    assert [*read_rows(table(tmp_path, ""))] == []
    with pytest.raises(UserError, match=r"has two columns 'a'"):
        _ = [*read_rows(table(tmp_path, "a,b,A\n1,2,3\n"))]
