"""Checkpoints in several files under one manifest."""

import hashlib
import json
import os
import random
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.distributed import checkpoint

from genai.core.errors import CorruptCheckpoint
from genai.runs import sharded_checkpoint
from genai.runs.checkpoint import load_checkpoint, save_checkpoint
from genai.runs.run import Run
from genai.runs.sharded_checkpoint import (
    checkpoint_bytes,
    is_manifest,
    read_manifest,
    remove_unused_folders,
    unused_folders,
)
from genai.runs.tensor_tree import named_tensors
from tests.sharded import save_sharded


def state(step: int = 1) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(step)
    weights: dict[str, Any] = {
        "a": torch.randn(7, 5, generator=generator),
        "b": torch.randn(1, generator=generator),
        "c": torch.randn(3, 2, 2, generator=generator).bfloat16(),
        "d": torch.arange(6),
        "e": torch.tensor([True, False]),
        "n": torch.tensor(step),
        "z": torch.empty(0, 4),
    }
    moments = {0: {"step": torch.tensor(3.0), "momentum": torch.randn(7, 5, generator=generator)}}
    groups = [{"lr": 0.1, "betas": (0.9, 0.99), "params": [0]}]
    return {
        "genai": {"format": 1, "step": step},
        "state_dict": OrderedDict(weights),
        "optimizer_states": [{"state": moments, "param_groups": groups}],
    }


def assert_same(first: dict[str, Any], other: dict[str, Any]) -> None:
    tensors, others = dict(named_tensors(first)), dict(named_tensors(other))
    assert list(tensors) == list(others)
    for name, tensor in tensors.items():
        assert torch.equal(tensor, others[name]) and tensor.dtype == others[name].dtype, name


@pytest.mark.parametrize("processes", [1, 2, 3, 8])
def test_save_and_load_are_inverse(processes: int, tmp_path: Path) -> None:
    folder = save_sharded(state(), tmp_path / "last.ckpt", processes)
    loaded = load_checkpoint(tmp_path / "last.ckpt")
    assert_same(loaded, state())
    assert loaded["genai"] == state()["genai"]
    assert loaded["optimizer_states"][0]["param_groups"] == state()["optimizer_states"][0]["param_groups"]
    assert checkpoint_bytes(tmp_path / "last.ckpt") == sum(file.stat().st_size for file in folder.iterdir())


def test_the_hash_of_the_manifest_stands_for_all_files(tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    folder = save_sharded(state(), path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert path.with_name("last.ckpt.sha256").read_text() == f"{digest}  last.ckpt\n"
    values = json.loads(path.read_text())
    hashes = {name: entry["sha256"] for name, entry in values["files"].items()}
    assert hashes == {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in folder.iterdir()}
    assert (values["step"], values["folder"]) == (1, folder.name)


def test_torch_reads_the_shards_without_us(tmp_path: Path) -> None:
    folder = save_sharded(state(), tmp_path / "last.ckpt", 3)
    weights = {f"state_dict.{name}": torch.zeros_like(state()["state_dict"][name]) for name in "abcd"}
    checkpoint.load(weights, storage_reader=checkpoint.HuggingFaceStorageReader(str(folder)), no_dist=True)
    for name in "abcd":
        assert torch.equal(weights[f"state_dict.{name}"], state()["state_dict"][name])


def test_the_last_two_and_the_best_stay(tmp_path: Path) -> None:
    best = save_sharded(state(1), tmp_path / "best.ckpt")
    folders = [save_sharded(state(step), tmp_path / "last.ckpt") for step in (1, 2, 3)]
    assert sorted(path for path in tmp_path.iterdir() if path.is_dir()) == sorted([best, *folders[1:]])
    for name, step in (("best", 1), ("last", 3), ("previous", 2)):
        assert_same(load_checkpoint(tmp_path / f"{name}.ckpt"), state(step))
    save_checkpoint(state(4), tmp_path / "last.ckpt")  # another trainer goes on
    assert not is_manifest(tmp_path / "last.ckpt") and is_manifest(tmp_path / "previous.ckpt")
    save_checkpoint(state(5), tmp_path / "last.ckpt")
    assert [path for path in tmp_path.iterdir() if path.is_dir()] == [best]
    save_sharded(state(6), tmp_path / "last.ckpt")
    assert_same(load_checkpoint(tmp_path / "previous.ckpt"), state(5))


def test_one_flipped_bit_is_found_anywhere(tmp_path: Path) -> None:
    run, draw = Run(tmp_path), random.Random(0)
    save_sharded(state(1), run.last)
    folder = save_sharded(state(2), run.last)
    for file in (run.last, *folder.iterdir()):
        content = file.read_bytes()
        for position in (0, len(content) - 1, *(draw.randrange(len(content)) for _ in range(5))):
            changed = bytearray(content)
            changed[position] ^= 1 << draw.randrange(8)
            file.write_bytes(changed)
            path, loaded, notes = run.load("last")
            assert (path.name, loaded["genai"]["step"], len(notes)) == ("previous.ckpt", 1, 1)
            assert file.name in notes[0]
        file.write_bytes(content)
    assert run.load("last")[1]["genai"]["step"] == 2


@pytest.mark.parametrize("name", ["shard-00001.safetensors", "state.pt"])
def test_a_shard_that_is_missing_or_short_is_named_and_not_kept(name: str, tmp_path: Path) -> None:
    run = Run(tmp_path)
    save_sharded(state(1), run.last)
    file = save_sharded(state(2), run.last) / name
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(CorruptCheckpoint, match=rf"{name} is damaged: it has [\d,]+ bytes, not"):
        load_checkpoint(run.last)
    file.unlink()
    with pytest.raises(CorruptCheckpoint, match=rf"last\.ckpt is incomplete: .*{name} is not there"):
        load_checkpoint(run.last)
    save_sharded(state(3), run.last)
    path, loaded, _ = run.load("previous")
    assert (path.name, loaded["genai"]["step"]) == ("previous.ckpt", 1)


def test_a_manifest_without_its_folder_says_what_is_missing(tmp_path: Path) -> None:
    folder = save_sharded(state(), tmp_path / "last.ckpt")
    (tmp_path / "other").mkdir()
    copy = tmp_path / "other" / "last.ckpt"
    copy.write_bytes((tmp_path / "last.ckpt").read_bytes())
    with pytest.raises(CorruptCheckpoint, match=f"{folder.name} is not there: copy it with the checkpoint"):
        load_checkpoint(copy)


def test_folders_of_a_save_that_was_killed_are_removed(tmp_path: Path) -> None:
    run = Run(tmp_path)
    good = save_sharded(state(), run.last)
    half = run.last.with_name("last-00000002-0123abcd")
    half.mkdir()
    (half / "shard-00000.safetensors").write_bytes(b"half")
    own = run.last.with_name("notes")  # of a person
    own.mkdir()
    assert unused_folders(run.last.parent) == [half] and run.temporary_files() == [half]
    run.remove_temporary_files()
    assert not half.exists() and good.exists() and own.exists()
    remove_unused_folders(tmp_path / "nothing")


def test_a_checkpoint_that_is_replaced_while_it_is_read_is_read_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "best.ckpt"
    save_sharded(state(1), path)
    original, steps = sharded_checkpoint.read_manifest, iter((2, 3))

    def read(file: Path) -> Any:
        manifest = original(file)
        if (step := next(steps, None)) is not None:  # training goes on
            with monkeypatch.context() as patch:
                patch.setattr(sharded_checkpoint, "read_manifest", original)
                save_sharded(state(step), path)
        return manifest

    monkeypatch.setattr(sharded_checkpoint, "read_manifest", read)
    assert load_checkpoint(path)["genai"]["step"] == 3


@pytest.mark.parametrize("kill_index", range(9))
def test_a_kill_at_any_rename_leaves_a_good_newest_checkpoint(
    kill_index: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for step in (1, 2):
        save_sharded(state(step), tmp_path / "last.ckpt")
    renames, original = iter(range(100)), os.replace

    def replace(source: Path, destination: Path) -> None:
        if next(renames) == kill_index:
            raise KeyboardInterrupt
        original(source, destination)

    monkeypatch.setattr(os, "replace", replace)
    try:
        save_sharded(state(3), tmp_path / "last.ckpt")
    except KeyboardInterrupt:
        pass
    else:
        assert kill_index > 4  # so many renames there are
    monkeypatch.undo()
    last, previous = (load_checkpoint(tmp_path / f"{name}.ckpt") for name in ("last", "previous"))
    assert last["genai"]["step"] in (2, 3) and previous["genai"]["step"] in (1, 2)
    for loaded in (last, previous):
        assert_same(loaded, state(loaded["genai"]["step"]))


def test_a_manifest_names_its_step_and_files(tmp_path: Path) -> None:
    save_sharded(state(7), tmp_path / "last.ckpt", 3)
    manifest = read_manifest(tmp_path / "last.ckpt")
    assert manifest.step == 7 and manifest.num_bytes == checkpoint_bytes(tmp_path / "last.ckpt")
    assert sorted(manifest.files) == [*(f"shard-{number:05d}.safetensors" for number in range(3)), "state.pt"]
