"""Files are inspected once, and again only after they change."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from genai.core.cache import cache_key, cached_json
from genai.core.errors import UserError
from genai.data.file_index import _stamp, index_files
from genai.data.file_table import FileInfo


class Inspector:
    """Records which files it is asked about, and fails where it is told to."""

    def __init__(self, error: BaseException | None = None, last: str = "") -> None:
        self.names: list[str] = []
        self.error, self.last = error, last

    def __call__(self, file: Path) -> dict[str, Any]:
        self.names.append(file.name)
        if self.error and file.name == self.last:
            raise self.error
        return {"seconds": float(file.read_text()[0])}


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of this test alone."""
    monkeypatch.setenv("GENAI_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Five files, one of them in a folder."""
    (tmp_path / "root" / "deep").mkdir(parents=True)
    for number in range(4):
        (tmp_path / "root" / f"{number}.wav").write_text(f"{number}")
    (tmp_path / "root" / "deep" / "4.wav").write_text("4")
    return tmp_path / "root"


def index(root: Path, inspector: Inspector) -> list[FileInfo]:
    return index_files(root, sorted(root.rglob("*.wav")), "sounds", inspector)


def test_only_new_and_changed_files_are_inspected(root: Path) -> None:
    inspector = Inspector()
    first = index(root, inspector)
    assert sorted(inspector.names) == [f"{number}.wav" for number in range(5)]
    assert [info.seconds for info in first] == [0, 1, 2, 3, 4]
    (root / "1.wav").write_text("7")
    (root / "5.wav").write_text("5")
    (root / "2.wav").unlink()
    inspector = Inspector()
    assert [info.seconds for info in index(root, inspector)] == [0, 7, 3, 5, 4]
    assert sorted(inspector.names) == ["1.wav", "5.wav"]
    assert [info.seconds for info in index(root, Inspector())] == [0, 7, 3, 5, 4]


def test_a_file_that_cannot_be_used_is_known_too(root: Path) -> None:
    inspector = Inspector(UserError("it is bad."), "2.wav")
    assert [info.error for info in index(root, inspector)] == ["", "", "it is bad.", "", ""]
    again = Inspector()
    assert [info.error for info in index(root, again)] == ["", "", "it is bad.", "", ""]
    assert sorted(again.names) == []


@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("an error of the program")])
def test_after_an_interruption_the_rest_is_inspected(root: Path, error: BaseException) -> None:
    with pytest.raises(type(error)):
        index(root, Inspector(error, "3.wav"))
    inspector = Inspector()
    index(root, inspector)
    assert sorted(inspector.names) == ["3.wav", "4.wav"]


@pytest.fixture
def old_index(root: Path, own_cache: Path) -> Iterator[Path]:
    """The JSON file that an earlier version wrote, about two files; one has changed since."""
    own_cache.mkdir()
    row = {
        "wrong": "",
        "content": "ab" * 32,
        "thumbnail": "0102",
        "fps": 0.0,
        "cuts": [],
        "note": "",
        "is_silence": False,
    }
    stamp = list(map(int, _stamp(root / "0.wav").split()))
    rows = {
        "0.wav": {"stamp": stamp, **row, "seconds": 8.0},
        "1.wav": {"stamp": [1, 2, 3], **row, "seconds": 9.0},
        "gone.wav": {"stamp": [], **row, "seconds": 9.0},
    }
    file = own_cache / f"{cache_key('sounds', 4, str(root.absolute()))}.json"
    cached_json(file, lambda: rows)
    yield file
    assert [path.name for path in own_cache.iterdir()] == [f"{file.stem}.sqlite"]


def test_the_index_of_earlier_versions_is_taken_over(root: Path, old_index: Path) -> None:
    inspector = Inspector()
    infos = index(root, inspector)
    assert infos[0] == FileInfo(content_hash="ab" * 32, thumbnail=bytes([1, 2]), seconds=8.0, cuts=[])
    assert [info.seconds for info in infos] == [8, 1, 2, 3, 4]
    assert sorted(inspector.names) == [f"{number}.wav" for number in range(1, 5)]
    assert index(root, inspector) == infos and len(inspector.names) == 4


@pytest.mark.parametrize("content", ["{}", "[]", '{"0.wav": 5}', '{"0.wav": {"stamp": 5}}', "{", None])
def test_an_old_index_that_cannot_be_read_is_left_out(root: Path, old_index: Path, content: str | None) -> None:
    old_index.with_name(f"{old_index.name}.sums").unlink()
    if content is None:
        old_index.write_text("{}")
    else:
        old_index.unlink()
        try:
            cached_json(old_index, lambda: json.loads(content))
        except ValueError:
            old_index.write_text(content)
    assert [info.seconds for info in index(root, Inspector())] == [0, 1, 2, 3, 4]


def test_a_stamp_has_the_sizes_and_the_latest_times(root: Path) -> None:
    for number in range(3):
        os.utime(root / f"{number}.wav", ns=(1, 10 + number))
    assert _stamp(root / "2.wav").split()[:2] == ["1", "12"]
    os.utime(root / "3.wav", ns=(1, 5))
    assert _stamp(root).split()[:2] == ["4", "12"]
    assert _stamp(root / "missing.wav") == ""
