"""Manifests of strangers, and the shards that they name: other places, false sizes, parts that do not fit together."""

import json
import os
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import genai
from genai.core.files import file_hash
from genai.runs.checkpoint import load_checkpoint
from genai.runs.run import Run
from tests.hostile.checkpoints import Change, assert_refused, put, remove
from tests.sharded import save_sharded

SHARD, OTHER, STATE = "shard-00000.safetensors", "shard-00001.safetensors", "state.pt"
Attack = Callable[[Path, Path], object]


@pytest.fixture(scope="module")
def good(trained: Callable[[str], Path]) -> dict[str, Any]:
    """The content of a real checkpoint."""
    return load_checkpoint(trained("text") / "checkpoints" / "best.ckpt")


@pytest.fixture
def path(good: dict[str, Any], tmp_path: Path) -> Path:
    """A good sharded checkpoint of it."""
    file = tmp_path / "run" / "checkpoints" / "last.ckpt"
    save_sharded(good, file)
    return file


def manifest(change: Change) -> Attack:
    """The manifest after ``change``."""

    def attack(path: Path, folder: Path) -> None:
        values = json.loads(path.read_text())
        change(values)
        path.write_text(json.dumps(values))

    return attack


def text(content: str) -> Attack:
    return lambda path, folder: path.write_text(content)


def adopt(path: Path, folder: Path) -> None:
    """Name the files as they are now."""
    values = json.loads(path.read_text())
    files = {file.name: {"size": file.stat().st_size, "sha256": file_hash(file)} for file in folder.iterdir()}
    path.write_text(json.dumps({**values, "files": files}))


def shard(change: Callable[[dict[str, torch.Tensor], dict[str, Any]], object], name: str = OTHER) -> Attack:
    """A shard after ``change`` of its tensors and their places, which the manifest names as it is."""

    def attack(path: Path, folder: Path) -> None:
        content = (folder / name).read_bytes()
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        tensors, places = load_file(folder / name), json.loads(header["__metadata__"]["DCP_SHARDING_INFO"])
        change(tensors, places)
        save_file(tensors, folder / name, {"DCP_SHARDING_INFO": json.dumps(places)})
        adopt(path, folder)

    return attack


def raw(content: bytes, name: str = SHARD) -> Attack:
    """A file with other bytes, which the manifest names as it is."""

    def attack(path: Path, folder: Path) -> None:
        (folder / name).write_bytes(content)
        adopt(path, folder)

    return attack


def header(text: str) -> bytes:
    return struct.pack("<Q", len(text)) + text.encode()


def move_away(path: Path, folder: Path) -> None:
    outside = path.parent.parent.parent / folder.name
    shutil.move(folder, outside)
    folder.symlink_to(outside)


def link_file(path: Path, folder: Path) -> None:
    outside = path.parent.parent.parent / SHARD
    shutil.move(folder / SHARD, outside)
    (folder / SHARD).symlink_to(outside)


def pipe(path: Path, folder: Path) -> None:
    (folder / SHARD).unlink()
    os.mkfifo(folder / SHARD)


def code(path: Path, folder: Path) -> None:
    class Shell:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.system, ("touch /tmp/genai-was-here",)

    torch.save({"x": Shell()}, folder / STATE)
    adopt(path, folder)


def state(change: Change) -> Attack:
    """``state.pt`` after ``change``, which the manifest names as it is."""

    def attack(path: Path, folder: Path) -> None:
        values = torch.load(folder / STATE, weights_only=True)
        change(values)
        torch.save(values, folder / STATE)
        adopt(path, folder)

    return attack


def name_of(tensors: dict[str, torch.Tensor]) -> str:
    return next(name for name in tensors if name.startswith("state_dict.") and tensors[name].ndim > 1)


def not_finite(tensors: dict[str, torch.Tensor], places: dict[str, Any]) -> None:
    tensors[name_of(tensors)].view(-1)[0] = torch.nan


def twice(tensors: dict[str, torch.Tensor], places: dict[str, Any]) -> None:
    places[name_of(tensors)]["saved_offsets"][0] = 0


def hole(tensors: dict[str, torch.Tensor], places: dict[str, Any]) -> None:
    places[name_of(tensors)]["saved_offsets"][0] += 1


def wide(tensors: dict[str, torch.Tensor], places: dict[str, Any]) -> None:
    tensors[name_of(tensors)] = torch.zeros(1, 99_999)


def other_type(tensors: dict[str, torch.Tensor], places: dict[str, Any]) -> None:
    tensors[name_of(tensors)] = tensors[name_of(tensors)].double()


def scalar(tensors: dict[str, torch.Tensor], places: dict[str, Any]) -> None:
    tensors[name_of(tensors)] = torch.tensor(1.0)


def more_rows(tensors: dict[str, torch.Tensor], places: dict[str, Any]) -> None:
    tensors[name_of(tensors)] = tensors[name_of(tensors)].repeat(3, 1)


def stranger(tensors: dict[str, torch.Tensor], places: dict[str, Any]) -> None:
    tensors["state_dict.new"], places["state_dict.new"] = torch.zeros(2), {"saved_offsets": [0]}


ATTACKS: dict[str, tuple[Attack, str]] = {
    "a folder above": (manifest(put("../last-00000001-01234567", "folder")), "it names '../last"),
    "an absolute folder": (manifest(put("/etc", "folder")), "it names '/etc'"),
    "this folder": (manifest(put(".", "folder")), r"it names '\.'"),
    "a folder of a number": (manifest(put(3, "folder")), "it names 3"),
    "another folder": (manifest(put("last-00000001-01234567", "folder")), "is not there"),
    "a file above": (manifest(put({"size": 1, "sha256": "0" * 64}, "files", "../config.yaml")), "it names '../conf"),
    "a file of another kind": (manifest(put({"size": 1, "sha256": "0" * 64}, "files", "x.pkl")), "it names 'x.pkl'"),
    "a file with a NUL": (manifest(put({"size": 1, "sha256": "0" * 64}, "files", "state.pt\0")), "it names 'state"),
    "no state": (manifest(remove("files", STATE)), "does not name state.pt"),
    "no files": (manifest(remove("files")), "files=None"),
    "files of a list": (manifest(put([1], "files")), r"files=\[1\]"),
    "a file without a size": (manifest(remove("files", SHARD, "size")), "size=None"),
    "a huge size": (manifest(put(2**60, "files", SHARD, "size")), r"it has [\d,]+ bytes, not 1,152,921,504"),
    "a larger size": (manifest(put(2**70, "files", SHARD, "size")), "it should be"),
    "a negative size": (manifest(put(-1, "files", SHARD, "size")), "it should be"),
    "a wrong hash": (manifest(put("0" * 64, "files", SHARD, "sha256")), f"{SHARD} is damaged: its content"),
    "a hash of a list": (manifest(put([], "files", SHARD, "sha256")), r"it names \[\]"),
    "another format": (manifest(put(99, "format")), "no manifest of format 1"),
    "a negative step": (manifest(put(-1, "step")), "step=-1"),
    "deep JSON": (text("{" + '"a":[' * 40_000), "not JSON|32 levels"),
    "deep JSON that ends": (text('{"a":' * 900 + "1" + "}" * 900), "not JSON|32 levels"),
    "endless digits": (text('{"step":' + "9" * 200_000 + "}"), "not JSON|40 digits"),
    "a huge manifest": (text("{" + " " * 2**20 + "}"), "no manifest of format 1"),
    "a brace": (text("{"), "not JSON"),
    "no shard": (lambda path, folder: (folder / SHARD).unlink(), f"{SHARD} is not there"),
    "a shard that is not named": (manifest(remove("files", SHARD)), "do not fit together"),
    "a link for the folder": (move_away, "is a link"),
    "a link for a shard": (link_file, f"{SHARD} is a link"),
    "a pipe for a shard": (pipe, "not a file"),
    "code in the state": (code, "it names 'posix.system', which is code"),
    "a number for the state": (state(lambda values: values.clear()), "no place for|not a checkpoint"),
    "a state without a tensor": (state(remove("state_dict", "method.ema_module.readout.weight")), "no place for"),
    "a state of another step": (state(put("x", "genai", "step")), "not a checkpoint"),
    "weights that are not numbers": (shard(not_finite), "not numbers: .* holds nan"),
    "rows twice": (shard(twice), "do not fit together"),
    "missing rows": (shard(hole), "do not fit together"),
    "wider rows": (shard(wide), "do not fit together"),
    "rows of another type": (shard(other_type), "do not fit together"),
    "a scalar for rows": (shard(scalar), "do not fit together"),
    "more rows than the model has": (shard(more_rows), "do not fit"),
    "a new tensor": (shard(stranger), "no place for 'state_dict.new'"),
    "a place of text": (shard(lambda tensors, places: places.update({name_of(tensors): "x"})), "saved_offsets=None"),
    "a negative place": (
        shard(lambda tensors, places: places.update({name_of(tensors): {"saved_offsets": [-1, 0]}})),
        "it should be",
    ),
    "no places": (shard(lambda tensors, places: places.clear()), "saved_offsets=None"),
    "deep places": (
        raw(header('{"__metadata__":{"DCP_SHARDING_INFO":"' + "[" * 90_000 + '"}}')),
        f"{SHARD} is damaged",
    ),
    "a deep header": (raw(header("{" + '"a":{' * 90_000)), f"{SHARD} is damaged"),
    "a header without end": (raw(struct.pack("<Q", 2**62) + b"{}"), f"{SHARD} is damaged"),
    "a tensor beyond the file": (
        raw(header('{"a":{"dtype":"F32","shape":[4611686018427387904],"data_offsets":[0,16]}}') + bytes(16)),
        f"{SHARD} is damaged",
    ),
    "an empty shard": (raw(b""), f"{SHARD} is damaged"),
    "a pickle for a shard": (raw(b"cos\nsystem\n(S'touch /tmp/genai-was-here'\ntR."), f"{SHARD} is damaged"),
}


@pytest.mark.parametrize("kind", ATTACKS)
def test_a_hostile_manifest_is_refused(kind: str, path: Path) -> None:
    attack, message = ATTACKS[kind]
    (folder,) = (child for child in path.parent.iterdir() if child.is_dir())
    attack(path, folder)
    path.with_name("last.ckpt.sha256").unlink()
    assert_refused(lambda: genai.load(path, device="cpu"), message, path.parent.parent.parent)
    assert not Path("/tmp/genai-was-here").exists()


@pytest.mark.parametrize("kind", ["deep JSON", "no shard", "a pipe for a shard", "an empty shard"])
def test_the_one_before_is_used(kind: str, good: dict[str, Any], path: Path) -> None:
    save_sharded({**good, "genai": {**good["genai"], "step": good["genai"]["step"] + 1}}, path)
    manifest_folder = path.with_name(json.loads(path.read_text())["folder"])
    ATTACKS[kind][0](path, manifest_folder)
    file, state, notes = Run(path.parent.parent).load("last")
    assert (file.name, state["genai"]["step"], len(notes)) == ("previous.ckpt", good["genai"]["step"], 1)


def test_a_checkpoint_that_does_not_fit_into_memory_is_not_read(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("genai.core.limits.memory_bytes", lambda: 2**16)
    monkeypatch.setattr("genai.runs.sharded_checkpoint.check_torch_file", lambda file: pytest.fail("it is read"))
    assert_refused(lambda: genai.load(path, device="cpu"), "needs about .* GiB of memory", path.parent)


def test_the_good_one_samples_as_the_whole_file(path: Path, trained: Callable[[str], Path]) -> None:
    whole = genai.load(trained("text") / "checkpoints" / "best.ckpt", device="cpu")
    model = genai.load(path, device="cpu")
    assert model.sample("a", length=4)[0] == whole.sample("a", length=4)[0]
    assert model.digest == file_hash(path)
