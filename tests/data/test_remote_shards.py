"""Shards on another machine."""

import json
import pickle
import shutil
import time
from pathlib import Path

import pytest

from genai.core.errors import UserError
from genai.core.loader import TrainBatches
from genai.data.prepared import Prepared
from genai.data.remote_shards import RemoteShards
from genai.modalities.shards import Shard


@pytest.fixture
def address(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    shutil.copytree(prepared, tmp_path / "there")
    (tmp_path / "cache").mkdir()
    monkeypatch.setattr("genai.data.remote_shards.cache_dir", lambda: tmp_path / "cache")
    return f"file://{tmp_path / 'there'}"


def shards_of(source: Prepared) -> list[Shard]:
    return [*source.index.train, *source.index.val]


def copies(tmp_path: Path) -> set[str]:
    return {file.name for file in (tmp_path / "cache").rglob("*.u1")}


def test_shards_are_copied_when_they_are_needed(address: str, prepared: Path, tmp_path: Path) -> None:
    source, local = Prepared(address), Prepared(str(prepared))
    assert not copies(tmp_path)
    assert (source.train[0].media.pixels == local.train[0].media.pixels).all()
    assert len(copies(tmp_path)) == 1
    assert source.train.content_hash == local.train.content_hash
    batches = TrainBatches(source.train.shards.dataset(source.modality), 4, seed=0)  # type: ignore[union-attr]
    again = TrainBatches(local.train.shards.dataset(local.modality), 4, seed=0)  # type: ignore[union-attr]
    assert pickle.loads(pickle.dumps(batches))[1].x.equal(again[1].x) and batches[1].x.equal(again[1].x)


def test_the_next_shards_are_copied_ahead(address: str, tmp_path: Path) -> None:
    source = Prepared(address)
    source.place.prefetch(shards_of(source))
    for _ in range(100):
        if len(copies(tmp_path)) == 4:
            return
        time.sleep(0.05)
    raise AssertionError("they are not there after five seconds")


def test_a_damaged_copy_is_fetched_again(address: str, tmp_path: Path) -> None:
    source = Prepared(address)
    source.train[0]
    (copy,) = (tmp_path / "cache").rglob("*.u1")
    content = copy.read_bytes()
    copy.write_bytes(b"")
    Prepared(address).train[0]
    assert copy.read_bytes() == content


def test_what_is_not_there_is_named(address: str, tmp_path: Path) -> None:
    source = Prepared(address)
    shutil.rmtree(tmp_path / "there" / source.index.train[0].folder)
    with pytest.raises(UserError, match=r"cannot copy file://.*u1: No such file"):
        source.train[0]
    with pytest.raises(UserError, match="cannot copy"):
        Prepared(f"{address}/nothing")
    with pytest.raises(UserError, match=r"data\.path=nosuchprotocol://x"):
        Prepared("nosuchprotocol://x")
    with pytest.raises(UserError, match="inside another"):
        Prepared("file:///x::file:///tmp")


def test_a_larger_file_than_the_index_says_is_not_copied(address: str, tmp_path: Path) -> None:
    source = Prepared(address)
    shard = source.index.train[0]
    file = tmp_path / "there" / shard.folder / shard.files[0].name
    file.write_bytes(file.read_bytes() + bytes(100))
    with pytest.raises(UserError, match="has more than the"):
        source.train[0]
    assert not copies(tmp_path) and not list((tmp_path / "cache").rglob("*.tmp"))


def test_the_oldest_copies_are_removed(address: str, tmp_path: Path) -> None:
    index = json.loads((tmp_path / "there" / "index.json").read_text())
    sizes = [sum(file["size"] for file in shard["files"]) for split in ("train", "val") for shard in index[split]]
    place = RemoteShards(address, (max(sizes) + 500) / 1e9)
    for shard in shards_of(Prepared(address)):
        place.fetch(shard)
        assert (place.path / shard.folder / shard.files[0].name).exists()
        time.sleep(0.01)
    assert 1 <= len(copies(tmp_path)) < 4
