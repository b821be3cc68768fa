"""Packed data in shards: the items of one packed data set, and damaged files by their name."""

import json
import pickle
from pathlib import Path

import pytest

from genai.core.data import ItemRandom, PackedDataset, Source
from genai.core.errors import UserError
from genai.core.loader import TrainBatches
from genai.data.partition_writer import DataNodes, PartitionWriter
from genai.data.prepared import Prepared
from genai.data.text import TextFolder
from genai.modalities import shards as module
from genai.modalities.audio import Audio
from genai.modalities.base import Modality
from genai.modalities.image import Image
from genai.modalities.shards import ShardedDataset, ShardFolder, decode_item
from genai.modalities.text import Text
from genai.modalities.video import Video
from genai.toy.data.audio import ToyAudio
from genai.toy.data.image import ToyImages
from genai.toy.data.video import ToyVideo

NODE = {"_target_": "genai.modalities.image.Image", "size": 16}


def sharded(modality: Modality, source: Source, folder: Path) -> tuple[PackedDataset, PackedDataset]:
    """The training split as shards of one partition each, and the packed parts of which they are."""
    writer = PartitionWriter(DataNodes({}, NODE), folder, source, modality)
    partitions = [partition for partition in source.partitions() if "train" in partition.read]
    for partition in partitions:
        writer.write_partition(partition)
    records = [writer.record(partition) for partition in partitions]
    members = [shard for record in records if record for shard in record.train]
    return ShardedDataset(ShardFolder(folder), members, modality), modality.pack(source.train, folder)


@pytest.mark.parametrize(
    ("modality", "source"),
    [
        (Image(16, flip=True), ToyImages(16, items=30)),
        (Audio(8000, crop=10), ToyAudio(items=30)),
        (Video(16, frames=4, stills=0, sparse=0), ToyVideo(16, frames=4, items=30)),
    ],
    ids=["image", "audio", "video"],
)
def test_a_batch_over_shards_is_that_of_one_data_set(
    modality: Modality, source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("genai.core.data.PARTITION_ITEMS", 7)
    modality.fit(source.train, tmp_path)
    shards, whole = sharded(modality, source, tmp_path)
    assert isinstance(shards, ShardedDataset) and len(shards.shards) > 2 and len(shards) == len(whole)
    indices = [13, 0, 6, 7, 20, 1]
    random = ItemRandom(3, [0, 0, 1, 1, 2, 2], indices)
    one, two = (packed.batch(indices, random) for packed in (shards, whole))
    assert one.x.equal(two.x) and one.prompts == two.prompts
    assert (one.local is None) == (two.local is None) and (one.local is None or one.local.equal(two.local))
    batches = TrainBatches(shards, 4, seed=0)
    batches[0]
    assert pickle.loads(pickle.dumps(batches))[5].x.equal(batches[5].x)


def test_windows_of_texts_are_those_of_each_shard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("genai.data.text_partitions.PART_BYTES", 1)
    texts = [f"{number} " * 100 for number in range(8)]
    for number, text in enumerate(texts):
        (tmp_path / f"{number}.txt").write_text(text)
    modality, source = Text("bytes", None, block=64), TextFolder(str(tmp_path), val_fraction=0.01)
    shards, _ = sharded(modality, source, tmp_path / "shards")
    assert isinstance(shards, ShardedDataset)
    windows = [str(decode_item(modality, shards, index)) for index in range(len(shards))]
    firsts = (shards.ends - shards.counts).tolist()
    assert [windows[first] for first in firsts] == [text[1:65] for text in texts]  # the first token is not predicted


def test_only_some_shards_are_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("genai.core.data.PARTITION_ITEMS", 2)
    monkeypatch.setattr(module, "MAX_OPEN", 3)
    shards, whole = sharded(Image(16), ToyImages(16, items=30), tmp_path)
    indices = list(range(len(whole)))
    assert shards.batch(indices, None).x.equal(whole.batch(indices, None).x)
    assert len(shards._open) == 3  # type: ignore[attr-defined]


@pytest.fixture
def folder(prepared: Path, tmp_path: Path) -> Path:
    import shutil

    return Path(shutil.copytree(prepared, tmp_path / "copy"))


def shard_file(folder: Path) -> Path:
    return folder / json.loads((folder / "index.json").read_text())["train"][0]["folder"]


@pytest.mark.parametrize("fault", ["missing", "shorter", "changed", "another"])
def test_a_shard_that_is_not_as_it_was_is_named_with_its_hash(folder: Path, fault: str) -> None:
    shard = json.loads((folder / "index.json").read_text())["train"][0]
    file = folder / shard["folder"] / shard["files"][0]["name"]
    content = file.read_bytes()
    if fault == "missing":
        file.unlink()
    elif fault == "shorter":
        file.write_bytes(content[:-1])
    elif fault == "changed":
        file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    else:
        sums = file.with_name(f"{file.name}.sums")
        sums.write_text(sums.read_text().replace(shard["files"][0]["sha256"], "0" * 64))
    source = Prepared(str(folder))
    with pytest.raises(UserError, match=shard["files"][0]["sha256"]) as error:
        source.train.shards.dataset(source.modality)  # type: ignore[union-attr]
    assert str(file) in str(error.value)


def test_a_copied_folder_is_read_again_and_then_trusted(folder: Path) -> None:
    source = Prepared(str(folder))
    packed = source.train.shards.dataset(source.modality)  # type: ignore[union-attr]
    assert packed.batch([0], None).x.shape == (1, 3, 16, 16)
    sums = next(shard_file(folder).glob("*.sums"))
    before = sums.stat().st_mtime_ns
    Prepared(str(folder)).train[0]
    assert sums.stat().st_mtime_ns == before  # the times were written at the first reading
