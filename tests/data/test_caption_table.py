import json
from pathlib import Path

import pytest

from genai.data.caption_table import CAPTION_COLUMNS, FILE_COLUMNS, CaptionTable, read_table

FILES = {"a.png", "b.png", "c.png"}


def table(folder: Path, content: str, name: str = "metadata.csv") -> CaptionTable:
    (folder / name).write_text(content, newline="")
    return read_table(folder / name, lambda file: file if file in FILES else None)


def captions(table: CaptionTable) -> dict[str, str]:
    return {row.file: row.caption for row in table.rows if not row.problem}


EXPECTED = {"a.png": "a red, round ball", "b.png": 'the "big" one', "c.png": "plain"}
DIALECTS = {
    "quoted": 'file_name,caption\na.png,"a red, round ball"\nb.png,"the ""big"" one"\nc.png,plain\n',
    "unquoted": 'file_name,caption\na.png,a red, round ball\nb.png,the "big" one\nc.png,plain\n',
    "semicolons": 'file_name;caption\na.png;a red, round ball\nb.png;"the ""big"" one"\nc.png;plain\n',
    "tabs": 'file_name\tcaption\na.png\ta red, round ball\nb.png\tthe "big" one\nc.png\tplain\n',
    "bars": 'file_name|caption\na.png|a red, round ball\nb.png|the "big" one\nc.png|plain\n',
    "backslashes": 'file_name,caption\na.png,"a red, round ball"\nb.png,"the \\"big\\" one"\nc.png,plain\n',
    "backslashes and an open quote": (
        'file_name,caption\na.png,"a red, round ball"\nb.png,"the \\"big\\" one"\nc.png,"pl"ain\n'
    ),
    "blanks": 'file_name, caption\na.png, "a red, round ball"\nb.png, "the ""big"" one"\n c.png , plain\n',
    "other order": 'caption,file_name\n"a red, round ball",a.png\n"the ""big"" one",b.png\nplain,c.png\n',
    "no header": 'a.png,a red, round ball\nb.png,the "big" one\nc.png,plain\n',
    "an index": 'no;File Name;Caption\n1;a.png;a red, round ball\n2;b.png;"the ""big"" one"\n3;c.png;plain\n',
    "open quotes": 'file_name,caption\na.png,"a red, round ball"\nb.png,the "big" one\nc.png,plain\nd.png,"lost\n',
    "Windows": 'file_name,caption,\r\na.png,"a red, round ball",\r\nb.png,"the ""big"" one",\r\n\r\nc.png,plain,\r\n',
}


@pytest.mark.parametrize("dialect", DIALECTS)
def test_each_dialect_gives_whole_captions(tmp_path: Path, dialect: str) -> None:
    assert captions(table(tmp_path, DIALECTS[dialect])) == EXPECTED


@pytest.mark.parametrize("caption", CAPTION_COLUMNS)
@pytest.mark.parametrize("file", FILE_COLUMNS)
def test_columns_have_usual_names_in_any_case(tmp_path: Path, file: str, caption: str) -> None:
    for name, content in (
        ("metadata.csv", f"id,{file.upper()},{caption.title()}\n1,a.png,red\n"),
        ("manifest.jsonl", f'{{"{file.title()}": "a.png", "{caption}": "red"}}'),
    ):
        assert captions(table(tmp_path, content, name)) == {"a.png": "red"}


def test_a_table_without_the_columns_is_one_line_that_says_how_to_mend_it(tmp_path: Path) -> None:
    rows = "".join(f"{name},1\n" for name in ("x.png", "y.png"))
    assert list(table(tmp_path, f"photo,split\n{rows}").notes(Path("m.csv"))) == [
        "m.csv has the columns photo, split: name one of them file_name and one caption."
    ]
    assert list(table(tmp_path, f"photo,caption\n{rows}").notes(Path("m.csv"))) == [
        "m.csv has the columns photo, caption: name one of them file_name."
    ]
    assert list(table(tmp_path, '{"key": "a", "text": "b"}\n' * 3, "metadata.jsonl").notes(Path("m"))) == [
        "m has the columns key, text: name one of them file_name."
    ]


def test_a_table_whose_files_are_all_absent_is_one_line(tmp_path: Path) -> None:
    found = table(tmp_path, "file_name,text\nx.png,1\ny.png,2\n")
    assert (found.num_used, len(found.rows)) == (0, 2)
    assert list(found.notes(Path("m"))) == [
        "m: none of its 2 rows can be used. The first: m:2 names 'x.png', which does not exist."
    ]


def test_a_caption_that_is_cut_by_a_comma_is_named_where_it_cannot_be_joined(tmp_path: Path) -> None:
    found = table(tmp_path, "file_name,text,id\na.png,red,1\nb.png,a red, round ball,2\n")
    assert captions(found) == {"a.png": "red"}
    assert list(found.notes(Path("m"))) == ["m:3 has 4 cells for 3 columns: quote its caption."]


def test_whole_numbers_are_captions_only_as_labels(tmp_path: Path) -> None:
    content = '{"file_name": "a.png", "label": 7}\n{"file_name": "b.png", "text": 7}\n'
    assert captions(table(tmp_path, content, "metadata.jsonl")) == {"a.png": "7"}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (["red", ["round"], None, True, 3, {"a": 1}, " ", "big\n \t ball"], ("red", "3", "big ball")),
        ("red, ,round,", ("red", "round")),
        (7, ("7",)),
        ({"red": 1}, ()),
        ([], ()),
        (None, ()),
    ],
)
def test_keywords_are_texts_on_one_line(tmp_path: Path, value: object, expected: tuple[str, ...]) -> None:
    (tmp_path / "metadata.jsonl").write_text(json.dumps({"file_name": "a.png", "Tags": value}))
    (row,) = read_table(tmp_path / "metadata.jsonl", lambda file: file, ["tags"]).rows
    assert not row.problem and row.captions == ((expected,) if expected else ())
    assert row.caption == ", ".join(expected)
