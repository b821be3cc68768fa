"""Prepared data of strangers: refused by name, within limits, and nothing is written."""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from genai.cli.compose import compose
from genai.data.partition_writer import DataNodes
from genai.data.prepare import prepare
from genai.data.prepared import INDEX, Prepared
from tests.hostile.attempts import NO_FILES, replace
from tests.hostile.checkpoints import assert_refused

DEEP = "[" * 100_000 + "]" * 100_000


@pytest.fixture
def folder(prepared: Path, tmp_path: Path) -> Path:
    folder = Path(shutil.copytree(prepared, tmp_path / "data"))
    read_all(folder)  # the times of the copies are written down
    return folder


@pytest.fixture
def texts(corpus: Path, tmp_path: Path) -> Path:
    words = ["modality=text", "modality.block=16", "modality.tokenizer=bytes", "modality.vocab_size=null"]
    words += ["data=text_folder", f"data.path={corpus}", "data.documents=lines"]
    values = compose("train", words).values
    prepare(DataNodes(values["data"], values["modality"]), tmp_path / "texts")
    return tmp_path / "texts"


def read_all(folder: Path) -> None:
    source = Prepared(str(folder))
    for split in (source.train, source.val):
        packed = split.shards.dataset(source.modality)  # type: ignore[union-attr]
        packed.batch(range(len(packed)), None)


def change_index(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    values = json.loads((folder / INDEX).read_text())
    change(values)
    (folder / INDEX).write_text(json.dumps(values))


def rewrite(folder: Path, suffix: str, content: bytes) -> Path:
    """Replace a file of a shard, and write the sums and the index that a stranger would write."""
    values = json.loads((folder / INDEX).read_text())
    shard = values["train"][0]
    entry = {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    found = next(each for each in shard["files"] if each["name"].endswith(suffix))
    found.update(entry)
    path = folder / shard["folder"] / found["name"]
    path.write_bytes(content)
    sums = folder / shard["folder"] / f"{shard['files'][0]['name']}.sums"
    lines = json.loads(sums.read_text())
    status = path.stat()
    lines[suffix] = [*entry.values(), status.st_mtime_ns, status.st_ctime_ns, status.st_ino]
    sums.write_text(json.dumps(lines))
    (folder / INDEX).write_text(json.dumps(values))
    return path


@pytest.mark.parametrize("make", NO_FILES)
def test_something_else_in_the_place_of_the_index(folder: Path, make: Callable[[Path], None]) -> None:
    replace(folder / INDEX, make)
    assert_refused(lambda: Prepared(str(folder)), "index.json", folder)


@pytest.mark.parametrize(
    "change",
    [
        lambda v: v["train"][0].update(folder="../../etc"),
        lambda v: v["train"][0].update(folder="/etc"),
        lambda v: v["train"][0]["files"][0].update(name="../passwd"),
        lambda v: v["train"][0]["files"][0].update(name="x" * 10_000),
        lambda v: v["train"][0]["files"][0].update(size=-1),
        lambda v: v["train"][0]["files"][0].update(sha256="\x1b[31m"),
        lambda v: v["train"][0].update(files=[]),
        lambda v: v["train"][0].update(items=0),
        lambda v: v["train"][0].update(items=2**60),
        lambda v: v["train"][0].update(items="many"),
        lambda v: v.update(train=[]),
        lambda v: v.update(val=5),
        lambda v: v.update(state=[]),
        lambda v: v.update(state={"mean": "\x1b[0m"}),
        lambda v: v.update(state={"mean": float("nan"), "std": 1}),
        lambda v: v.update(modality={"_target_": "os.system"}),
        lambda v: v.update(modality={"_target_": "genai.core.files.write_file"}),
        lambda v: v.update(modality={"_target_": "genai.modalities.image.Image", "size": 10**9}),
        lambda v: v.pop("modality"),
        lambda v: v.update(metrics=7),
        lambda v: v.update(source={}),
    ],
)
def test_a_changed_index(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    change_index(folder, change)
    assert_refused(lambda: read_all(folder), "index.json is no index|modality", folder)


@pytest.mark.parametrize("text", [DEEP, '{"format": 1, "train": ' + DEEP + "}", "5", "[]", '{"format": 1e999}'])
def test_an_index_of_another_shape(folder: Path, text: str) -> None:
    (folder / INDEX).write_text(text)
    assert_refused(lambda: Prepared(str(folder)), "index.json", folder)


def test_more_items_than_there_are(folder: Path) -> None:
    change_index(folder, lambda values: values["train"][0].update(items=2**39))
    assert_refused(lambda: Prepared(str(folder)).train[0], "items, not 549,755,813,888", folder)


@pytest.mark.parametrize("text", [DEEP, "5", "[]", '["only one"]', "{}", "[1, 2, 3]", "no json", '[["a"]]'])
def test_prompts_of_another_shape(folder: Path, text: str) -> None:
    path = rewrite(folder, ".json", text.encode())
    assert_refused(lambda: read_all(folder), str(path.parent), folder)


def test_pixels_that_are_no_whole_pictures(folder: Path) -> None:
    path = rewrite(folder, ".u1", bytes(16 * 16 * 3 + 1))
    assert_refused(lambda: read_all(folder), path.name, folder)
    rewrite(folder, ".u1", b"")
    assert_refused(lambda: read_all(folder), path.name, folder)


def test_tokens_that_there_are_not(texts: Path) -> None:
    values = json.loads((texts / INDEX).read_text())
    size = values["train"][0]["files"][0]["size"]
    path = rewrite(texts, ".u2", b"\xff" * size)
    assert_refused(lambda: read_all(texts), f"{path.name} has the token 65,535; there are", texts)


@pytest.mark.parametrize("text", [DEEP, "5", "{}", '{".u1": 5}', '{".u1": [1, "0"], ".json": null}', "\x1b[0m"])
def test_sums_of_another_shape(folder: Path, text: str) -> None:
    shard = json.loads((folder / INDEX).read_text())["train"][0]
    path = folder / shard["folder"] / f"{shard['files'][0]['name']}.sums"
    path.write_text(text)
    assert_refused(lambda: read_all(folder), shard["folder"], folder)


def test_links_are_not_followed(folder: Path, tmp_path: Path) -> None:
    shard = json.loads((folder / INDEX).read_text())["train"][0]
    path = folder / shard["folder"] / shard["files"][0]["name"]
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    assert_refused(lambda: read_all(folder), f"{path.name} is damaged", folder)


@pytest.mark.parametrize("text", [DEEP, "5", "{}", '{"data": {}, "modality": {}}'])
def test_settings_of_another_shape(folder: Path, tars: Path, text: str) -> None:
    (folder / "settings.json").write_text(text)
    words = ["modality=image", "modality.size=16", "data=webdataset", f"data.path={tars}"]
    values = compose("train", words).values
    assert_refused(lambda: prepare(DataNodes(values["data"], values["modality"]), folder), "data", folder)


def test_a_recorded_address_is_not_opened_by_itself(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    from genai.cli.overrides import recorded_overrides
    from genai.runs.run import Run

    words = ["modality=image", "data=prepared", "data.path=http://127.0.0.1:9/x", "data.cache_gb=1"]
    (tmp_path / "record.json").write_text(json.dumps({"overrides": words}))
    assert not any("127.0.0.1" in word for word in recorded_overrides(Run(tmp_path)))
    assert "data.path=http://127.0.0.1:9/x of the run is not used again" in capfd.readouterr().err
    given = recorded_overrides(Run(tmp_path), ["data.path=http://127.0.0.1:9/x"])
    assert "data.path=http://127.0.0.1:9/x" in given
