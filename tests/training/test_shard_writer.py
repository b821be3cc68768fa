"""Checkpoints of sharded tensors. Several processes: tests/integration/test_distributed.py."""

import errno
import pickletools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import distributed
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.tensor import Replicate, Shard, distribute_tensor

from genai.core.errors import RunError
from genai.runs import checkpoint_files
from genai.runs.checkpoint import load_checkpoint
from genai.training import shard_writer
from genai.training.checkpoint_io import SafeCheckpointIO
from genai.training.checkpoint_saver import CheckpointSaver
from genai.training.shard_writer import ShardedState, save_shards

WEIGHTS = torch.arange(15.0).view(5, 3)


@pytest.fixture
def mesh() -> Iterator[DeviceMesh]:
    distributed.init_process_group("gloo", store=distributed.HashStore(), rank=0, world_size=1)
    yield init_device_mesh("cpu", (1,))
    distributed.destroy_process_group()


def state(mesh: DeviceMesh, weights: torch.Tensor = WEIGHTS, step: int = 1) -> dict[str, Any]:
    sharded = distribute_tensor(weights, mesh, [Shard(0)])
    whole = distribute_tensor(torch.ones(2), mesh, [Replicate()])
    moments = {0: {"momentum": sharded * 2, "step": torch.tensor(1.0)}}
    return {
        "genai": {"format": 1, "step": step},
        "state_dict": {"a": sharded, "b": whole, "c": torch.tensor(3), "e": distribute_tensor(WEIGHTS[:0], mesh)},
        "optimizer_states": [{"state": moments, "param_groups": [{"lr": 0.1}]}],
    }


def test_a_checkpoint_of_shards_is_read_whole(mesh: DeviceMesh, tmp_path: Path) -> None:
    save_shards(ShardedState.split(state(mesh)), tmp_path / "last.ckpt", distributed.group.WORLD)
    loaded = load_checkpoint(tmp_path / "last.ckpt")
    weights = loaded["state_dict"]
    assert torch.equal(weights["a"], WEIGHTS) and weights["b"].tolist() == [1, 1] and weights["c"] == 3
    assert weights["e"].shape == (0, 3) and list(weights) == ["a", "b", "c", "e"]
    assert torch.equal(loaded["optimizer_states"][0]["state"][0]["momentum"], WEIGHTS * 2)
    assert list(loaded["optimizer_states"][0]["state"][0]) == ["momentum", "step"]


def test_shards_are_those_of_their_step(mesh: DeviceMesh, tmp_path: Path) -> None:
    saver, content = CheckpointSaver(), state(mesh)
    io = SafeCheckpointIO({}, saver)
    io.save_checkpoint(content, tmp_path / "last.ckpt", distributed.group.WORLD)
    content["state_dict"]["a"].add_(100)
    saver.wait()
    assert torch.equal(load_checkpoint(tmp_path / "last.ckpt")["state_dict"]["a"], WEIGHTS)


def test_no_file_but_the_small_one_is_a_pickle(mesh: DeviceMesh, tmp_path: Path) -> None:
    save_shards(ShardedState.split(state(mesh)), tmp_path / "last.ckpt", distributed.group.WORLD)
    for file in tmp_path.rglob("*"):
        if file.is_file() and file.name != "state.pt":  # that is a zip file, which is checked
            with pytest.raises(ValueError):
                list(pickletools.genops(file.read_bytes()))


@pytest.mark.parametrize(("value", "number"), [(torch.nan, "nan"), (torch.inf, "inf")])
def test_a_number_that_is_not_finite_is_not_saved(value: float, number: str, mesh: DeviceMesh, tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    save_shards(ShardedState.split(state(mesh)), path, distributed.group.WORLD)
    before = sorted(tmp_path.rglob("*"))
    weights = WEIGHTS.clone()
    weights[4, 2] = value
    with pytest.raises(RunError, match=rf"last\.ckpt is not saved, because a holds {number}"):
        save_shards(ShardedState.split(state(mesh, weights, 2)), path, distributed.group.WORLD)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_failure_after_the_manifest_is_in_its_place_removes_nothing_of_it(
    mesh: DeviceMesh, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "last.ckpt"
    save_shards(ShardedState.split(state(mesh)), path, distributed.group.WORLD)

    def fail(*_: Any) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(checkpoint_files, "sync_folder", fail)
    with pytest.raises(RunError, match="Input/output error"):
        save_shards(ShardedState.split(state(mesh, step=2)), path, distributed.group.WORLD)
    assert load_checkpoint(path)["genai"]["step"] == 2
    assert load_checkpoint(tmp_path / "previous.ckpt")["genai"]["step"] == 1


@pytest.mark.parametrize("function", ["write_shard", "write_state", "write_manifest"])
def test_a_full_disk_is_named_and_nothing_of_the_save_stays(
    function: str, mesh: DeviceMesh, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "last.ckpt"
    save_shards(ShardedState.split(state(mesh)), path, distributed.group.WORLD)
    before = sorted(tmp_path.rglob("*"))

    def fail(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(shard_writer, function, fail)
    message = r"cannot save .*last\.ckpt: No space left on device; [\d,]+ bytes are free there\.\nThe previous"
    with pytest.raises(RunError, match=message):
        save_shards(ShardedState.split(state(mesh, step=2)), path, distributed.group.WORLD)
    assert sorted(tmp_path.rglob("*")) == before
    assert load_checkpoint(path)["genai"]["step"] == 1
