"""Sharded checkpoints, written by one process as several would."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from genai.runs.sharded_checkpoint import (
    Manifest,
    ShardFile,
    new_folder_name,
    write_manifest,
    write_shard,
    write_state,
)
from genai.runs.tensor_tree import map_tensors


def save_sharded(state: dict[str, Any], path: Path, processes: int = 2) -> Path:
    """Write a sharded checkpoint and return its folder. Tensors of integers without a shape are not sharded."""
    shards: list[dict[str, tuple[Tensor, int]]] = [{} for _ in range(processes)]

    def split(name: str, tensor: Tensor) -> Tensor:
        if not tensor.ndim or not tensor.numel():
            return tensor
        start = 0
        for shard, rows in zip(shards, tensor.chunk(processes), strict=False):
            shard[name] = rows, start
            start += len(rows)
        return torch.empty(0, dtype=tensor.dtype)

    rest = map_tensors(state, split)
    folder = path.with_name(new_folder_name(path, state["genai"]["step"]))
    folder.mkdir(parents=True)
    files: dict[str, ShardFile] = {}
    for number, shard in enumerate(shards):
        name = f"shard-{number:05d}.safetensors"
        offsets = {key: [start, *([0] * (rows.ndim - 1))] for key, (rows, start) in shard.items()}
        files[name] = write_shard({key: rows for key, (rows, _) in shard.items()}, offsets, folder / name)
    files["state.pt"] = write_state(rest, folder / "state.pt")
    write_manifest(Manifest(state["genai"]["step"], folder.name, files), path)
    return folder
