"""Texts in parts that are read without holding all of them."""

import json
from pathlib import Path

import pytest

from genai.core.errors import UserError
from genai.data import text_partitions as module
from genai.data.text import TextFolder
from genai.media.text import Document


def texts(source: TextFolder) -> tuple[list[str], list[str]]:
    results = [each for part in source.partitions() for split in part.read.values() for each in split()]
    errors = [str(each) for each in results if isinstance(each, UserError)]
    return [str(each.media) for each in results if not isinstance(each, UserError)], errors


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PART_BYTES", 1000)
    monkeypatch.setattr(module, "DOCUMENT_BYTES", 100)


def test_each_line_of_a_large_table_is_read_once(tmp_path: Path) -> None:
    lines = [json.dumps({"text": f"text {number} " + "é" * (number % 90)}) for number in range(200)]
    (tmp_path / "x.jsonl").write_text("\n".join(lines) + "\nno json\n", encoding="utf-8")
    source = TextFolder(str(tmp_path / "x.jsonl"))
    assert len(source.partitions()) > 5
    found, errors = texts(source)
    assert sorted(found) == sorted(json.loads(line)["text"] for line in lines)
    assert len(errors) == 1 and "is not JSON" in errors[0]


def test_a_large_text_is_cut_at_line_ends(tmp_path: Path) -> None:
    text = "".join(f"line {number}\r\n" for number in range(500))
    (tmp_path / "x.txt").write_text(text, newline="")
    found, errors = texts(TextFolder(str(tmp_path / "x.txt"), val_fraction=0.3))
    assert sorted("".join(found).split("\n")) == sorted(text.replace("\r", "").split("\n"))
    assert len(found) > 20 and all(piece.endswith("\n") for piece in found) and not errors
    found, _ = texts(TextFolder(str(tmp_path / "x.txt"), documents="lines"))
    assert sorted(found) == sorted(f"line {number}" for number in range(500))


def test_small_files_are_read_together(tmp_path: Path) -> None:
    for number in range(10):
        (tmp_path / f"{number}.txt").write_text(f"text {number % 5}")
    (tmp_path / "empty.txt").write_text(" \n")
    (tmp_path / "bad.txt").write_bytes(b"\xff\xfe\xfd" * 3)
    source = TextFolder(str(tmp_path))
    assert len(source.partitions()) == 1
    found, errors = texts(source)
    assert sorted(found) == [f"text {number}" for number in range(5)]  # copies count once
    assert len(errors) <= 1


def test_rows_of_parquet_files_are_read_in_groups(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    table = pyarrow.table({"text": [f"text {number}" for number in range(10)]})
    parquet.write_table(table, tmp_path / "x.parquet", row_group_size=4)
    source = TextFolder(str(tmp_path / "x.parquet"))
    assert len(source.partitions()) == 3
    assert sorted(texts(source)[0]) == sorted(f"text {number}" for number in range(10))
    found, errors = texts(TextFolder(str(tmp_path / "x.parquet"), field="body"))
    assert not found and "body" in errors[0]


def test_a_line_without_an_end_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(module.MAX_BYTES, "sample", 500)
    (tmp_path / "x.jsonl").write_text('{"text": "ok"}\n' + "x" * 2000)
    found, errors = texts(TextFolder(str(tmp_path / "x.jsonl")))
    assert found == ["ok"] and "a line has more than 500 bytes" in errors[0]


def test_the_stamp_changes_with_the_file(tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text("one")
    before = TextFolder(str(tmp_path)).partitions()[0].stamp
    assert TextFolder(str(tmp_path)).partitions()[0].stamp == before
    (tmp_path / "x.txt").write_text("three")
    assert TextFolder(str(tmp_path)).partitions()[0].stamp != before


def test_documents_are_media(corpus: Path) -> None:
    example = next(iter(TextFolder(str(corpus), documents="lines").partitions()[0].read["train"]()))
    assert isinstance(getattr(example, "media", None), Document)
