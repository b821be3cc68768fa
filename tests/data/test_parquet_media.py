"""Pictures and sounds in Parquet files."""

from pathlib import Path
from typing import Any

import pytest

from genai.core.data import Example
from genai.core.errors import UserError
from genai.data.media_readers import ImageReader, SoundReader
from genai.data.parquet_media import ParquetMedia

pyarrow = pytest.importorskip("pyarrow")


def write(path: Path, rows: list[dict[str, Any]]) -> str:
    from pyarrow import parquet

    parquet.write_table(pyarrow.Table.from_pylist(rows), path, row_group_size=2)
    return str(path)


def read(source: ParquetMedia) -> tuple[list[Example], list[str]]:
    results = [each for part in source.partitions() for split in part.read.values() for each in split()]
    errors = [str(each) for each in results if isinstance(each, UserError)]
    return [each for each in results if isinstance(each, Example)], errors


def test_a_file_of_the_hub(tables: Path) -> None:
    source = ParquetMedia(str(tables), ImageReader(16))
    assert len(source.partitions()) == 3
    examples, errors = read(source)
    assert len(examples) == 12 and not errors and {example.prompt for example in examples} == {"red_ball", "sky"}


def test_columns_can_be_named(tables: Path, tmp_path: Path, pictures: Path) -> None:
    content = next(pictures.rglob("*.png")).read_bytes()
    path = write(tmp_path / "x.parquet", [{"photo": content, "label": 3, "words": "a  b"}, {"photo": b"", "label": 4}])
    examples, errors = read(ParquetMedia(path, ImageReader()))
    assert not examples and "has no column image or img or picture or bytes" in errors[0] and "photo" in errors[0]
    examples, errors = read(ParquetMedia(path, ImageReader(), column="photo"))
    assert [example.prompt for example in examples] == ["3"]
    assert errors == [f"{path}, row 2: the column 'photo' holds no file."]
    examples, _ = read(ParquetMedia(path, ImageReader(), column="photo", caption_column="words"))
    assert [example.prompt for example in examples] == ["a b"]


def test_sounds(tmp_path: Path, sounds: Path) -> None:
    rows = [{"audio": {"bytes": file.read_bytes(), "path": None}, "text": file.stem} for file in sounds.rglob("*.wav")]
    examples, errors = read(ParquetMedia(write(tmp_path / "x.parquet", rows), SoundReader(8000)))
    assert len(examples) == len(rows) and not errors


def test_a_file_that_is_no_parquet_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "x.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(UserError, match=r"x\.parquet cannot be read"):
        ParquetMedia(str(tmp_path / "x.parquet"), ImageReader()).partitions()


def test_cells_without_a_caption_are_empty_prompts(tmp_path: Path, pictures: Path) -> None:
    content = next(pictures.rglob("*.png")).read_bytes()
    path = write(tmp_path / "x.parquet", [{"image": content, "text": None}, {"image": content + b" ", "text": "a"}])
    examples, _ = read(ParquetMedia(path, ImageReader()))
    assert sorted(example.prompt for example in examples) == ["", "a"]
    with pytest.raises(UserError, match=r"has no column 'captoin'\. It has: image, text"):
        read(ParquetMedia(path, ImageReader(), caption_column="captoin"))
