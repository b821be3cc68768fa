"""Preparing data: in one process or several, again after a stop, and not into a folder of other data."""

import errno
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from genai.cli.compose import compose
from genai.core import cache
from genai.core.data import Example
from genai.core.errors import RunError, UserError
from genai.core.filesystem import lock_file
from genai.data import partition_writer
from genai.data.partition_writer import DataNodes
from genai.data.prepare import LOCK, prepare, prepare_source
from genai.data.prepared import INDEX, Prepared
from genai.data.tar_files import TarFiles


def nodes(*words: str) -> DataNodes:
    values = compose("train", list(words)).values
    return DataNodes(values["data"], values["modality"])


@pytest.fixture
def tar_nodes(tars: Path) -> DataNodes:
    words = ("modality=image", "modality.size=8", "data=webdataset", f"data.path={tars}", "data.val_fraction=0.4")
    return nodes(*words)


def shards(folder: Path) -> dict[str, Any]:
    index = json.loads((folder / INDEX).read_text())
    return {split: sorted(str(shard["files"]) for shard in index[split]) for split in ("train", "val")}


@pytest.mark.slow
def test_several_processes_write_the_same(tar_nodes: DataNodes, tmp_path: Path) -> None:
    prepare(tar_nodes, tmp_path / "one")
    prepare(tar_nodes, tmp_path / "two", processes=2)
    assert shards(tmp_path / "one") == shards(tmp_path / "two")


def test_a_stopped_call_goes_on(tar_nodes: DataNodes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepare(tar_nodes, tmp_path / "whole")
    read, calls = TarFiles._read, []

    def stop(self: TarFiles, file: Path, is_val: bool) -> Iterator[Example | UserError]:
        calls.append(file.name)
        for number, example in enumerate(read(self, file, is_val)):
            if file.name == "1.tar" and is_val and number == 0:
                raise KeyboardInterrupt
            yield example

    monkeypatch.setattr(TarFiles, "_read", stop)
    with pytest.raises(KeyboardInterrupt):
        prepare(tar_nodes, tmp_path / "part")
    assert not (tmp_path / "part" / INDEX).exists() and not (tmp_path / "part" / LOCK).exists()
    monkeypatch.setattr(TarFiles, "_read", read)
    calls.clear()
    monkeypatch.setattr(TarFiles, "_read", lambda *words: calls.append(words[1].name) or read(*words))
    prepare(tar_nodes, tmp_path / "part")
    assert set(calls) == {"1.tar"}  # the other one was complete
    assert shards(tmp_path / "part") == shards(tmp_path / "whole")


def test_other_words_need_another_folder(tar_nodes: DataNodes, tars: Path, tmp_path: Path) -> None:
    prepare(tar_nodes, tmp_path / "data")
    other = DataNodes(tar_nodes.data, {**tar_nodes.modality, "size": 16})
    with pytest.raises(UserError, match=r"was begun with modality\.size=8, not 16\. Repeat"):
        prepare(other, tmp_path / "data")
    other = DataNodes({**tar_nodes.data, "_target_": "genai.data.text.TextFolder", "path": "x"}, tar_nodes.modality)
    source, modality = tar_nodes.build()
    writer = partition_writer.PartitionWriter(other, tmp_path / "data", source, modality)
    with pytest.raises(UserError, match=r"begun with data=genai.data.[\w.]+, not genai.data.text.TextFolder. Repeat"):
        writer.restore_or_fit(source.partitions())


def test_what_an_earlier_call_left_is_removed(tar_nodes: DataNodes, tmp_path: Path) -> None:
    folder, own = tmp_path / "data", tmp_path / "data" / "part-one"
    for stale in (folder / f"part-{'a' * 24}", own):
        stale.mkdir(parents=True)
        (stale / "0.u1").write_bytes(b"x")
    (folder / f"part-{'b' * 24}").symlink_to(own)
    prepare(tar_nodes, folder)
    assert own.joinpath("0.u1").exists()  # a name that genai does not give
    parts = {path.name for path in folder.glob("part-*")} - {own.name}
    assert parts == {shard.folder for shard in Prepared(str(folder)).index.train}
    (folder / partition_writer.SETTINGS).unlink()
    before = shards(folder)
    (folder / INDEX).unlink()
    prepare(tar_nodes, folder)
    assert shards(folder) == before


def test_shards_that_a_training_reads_stay_until_the_next_call(tars: Path, tmp_path: Path) -> None:
    copied = shutil.copytree(tars, tmp_path / "tars")
    tar_nodes = nodes("modality=image", "modality.size=8", "data=webdataset", f"data.path={copied}")
    folder = tmp_path / "data"
    prepare(tar_nodes, folder)
    split = Prepared(str(folder)).train
    before = {path.name for path in folder.glob("part-*")}
    os.utime(next(copied.glob("*.tar")), ns=(0, 0))
    prepare(tar_nodes, folder)
    assert {path.name for path in folder.glob("part-*")} > before
    _, modality = tar_nodes.build()
    modality.pack_split(split, tmp_path).batch(list(range(len(split))), None)
    prepare(tar_nodes, folder)
    assert not before <= {path.name for path in folder.glob("part-*")}


def test_a_damaged_shard_is_not_said_to_be_made_again(
    tar_nodes: DataNodes, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    prepare(tar_nodes, tmp_path / "data")
    prepared = Prepared(str(tmp_path / "data"))
    shard = prepared.index.train[0]
    file = tmp_path / "data" / shard.folder / shard.files[0].name
    file.write_bytes(bytes([file.read_bytes()[0] ^ 1]) + file.read_bytes()[1:])
    _, modality = tar_nodes.build()
    with pytest.raises(UserError, match="is damaged"):
        modality.pack_split(prepared.train, tmp_path).batch([0], None)
    assert "made again" not in capfd.readouterr().err


def test_a_folder_is_prepared_by_one_call_at_a_time(tar_nodes: DataNodes, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    lock = lock_file(tmp_path / "data" / LOCK)
    with pytest.raises(UserError, match="is being prepared by another process"):
        prepare(tar_nodes, tmp_path / "data")
    lock.release()


def test_a_mistake_leaves_no_folder(tmp_path: Path) -> None:
    words = ("modality=image", "data=webdataset", f"data.path={tmp_path}")
    with pytest.raises(UserError, match="no tar file in this folder"):
        prepare(nodes(*words), tmp_path / "data")
    assert not (tmp_path / "data").exists()


def test_data_without_validation_examples_are_an_error(tars: Path, tmp_path: Path) -> None:
    words = ("modality=image", "data=webdataset", f"data.path={tars}", "data.val_fraction=0.0001")
    with pytest.raises(UserError, match="the split 'val' has no examples"):
        prepare(nodes(*words), tmp_path / "data")


def test_examples_fill_several_shards(tar_nodes: DataNodes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepare(tar_nodes, tmp_path / "one")
    monkeypatch.setattr(partition_writer, "SHARD_ITEMS", 2)
    prepare(tar_nodes, tmp_path / "many")
    one, many = Prepared(str(tmp_path / "one")), Prepared(str(tmp_path / "many"))
    assert len(many.index.train) > len(one.index.train) and len(many.train) == len(one.train)
    monkeypatch.setattr(partition_writer, "SHARD_ITEMS", 100)
    monkeypatch.setattr(partition_writer, "SHARD_BYTES", 8 * 8 * 3)
    prepare(tar_nodes, tmp_path / "small")
    assert len(Prepared(str(tmp_path / "small")).index.train) == len(one.train)


def test_iterable_data_are_prepared_once(tar_nodes: DataNodes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("genai.data.prepare.cache_dir", lambda: tmp_path)
    source, _ = tar_nodes.build()
    assert isinstance(source, TarFiles)
    first = prepare_source(source, tar_nodes)
    monkeypatch.setattr(TarFiles, "_read", lambda *words: pytest.fail("it is read again"))
    again = prepare_source(source, tar_nodes)
    assert first.train.content_hash == again.train.content_hash
    assert prepare_source(source, tar_nodes, first.index.state).path == first.path  # a model's own state


def test_texts_are_prepared_with_a_tokenizer_of_their_beginning(corpus: Path, tmp_path: Path) -> None:
    words = ("modality=text", "modality.tokenizer=bpe", "modality.vocab_size=300", "modality.block=16")
    text = nodes(*words, "data=text_folder", f"data.path={corpus}", "data.documents=lines")
    prepare(text, tmp_path / "data")
    source = Prepared(str(tmp_path / "data"))
    assert source.modality.state()["vocab_size"] == 300
    assert "the cat" in "".join(str(example.media) for example in source.train) or "cat" in str(source.train[0].media)
    prepare(text, tmp_path / "data")  # nothing to do


def test_a_full_disk_loses_no_example(tar_nodes: DataNodes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partition_writer, "SHARD_ITEMS", 2)
    make_entry, calls = cache._make_entry, []

    def fill(path: Path, write: Any, suffixes: Any) -> Path:
        calls.append(path)
        if len(calls) == 3:
            write(path.with_name("half.u1"))
            raise OSError(errno.ENOSPC, "No space left on device")
        return make_entry(path, write, suffixes)

    monkeypatch.setattr(cache, "_make_entry", fill)
    with pytest.raises(RunError, match=r"is (its|the) disk full"):
        prepare(tar_nodes, tmp_path / "data")
    monkeypatch.setattr(cache, "_make_entry", make_entry)
    source = Prepared(str(tmp_path / "data")) if prepare(tar_nodes, tmp_path / "data") else None
    assert source is not None and len(source.train) + len(source.val) == 12


def test_a_missing_file_is_made_again(tar_nodes: DataNodes, tmp_path: Path) -> None:
    prepare(tar_nodes, tmp_path / "data")
    expected = shards(tmp_path / "data")
    next((tmp_path / "data").rglob("*.u1")).unlink()
    prepare(tar_nodes, tmp_path / "data")
    source = Prepared(str(tmp_path / "data"))
    assert shards(tmp_path / "data") == expected and len([*source.train, *source.val]) == 12


def test_conversations_are_refused(talks: Path, tmp_path: Path) -> None:
    chats = nodes("modality=text", "data=chat", f"data.path={talks}")
    with pytest.raises(UserError, match="data of type Chat are not prepared"):
        prepare(chats, tmp_path / "data")
    assert not (tmp_path / "data").exists()
