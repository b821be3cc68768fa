"""Sharded checkpoints of several processes, written with ``torch.distributed.checkpoint``.

Its planner says which rows each process has; its collectives tell the first process when all files are complete, and
all processes when one has failed. The files are those of ``genai.runs.sharded_checkpoint``: torch's own writer keeps
a pickle.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, distributed
from torch.distributed import checkpoint
from torch.distributed.checkpoint import DefaultSavePlanner, SavePlan, SavePlanner, StorageWriter
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.metadata import Metadata, MetadataIndex
from torch.distributed.checkpoint.storage import WriteResult
from torch.distributed.tensor import DTensor
from torch.futures import Future

from genai.core.errors import CorruptCheckpoint, RunError
from genai.core.filesystem import sync_folder
from genai.runs.checkpoint import check_finite, saving_error
from genai.runs.sharded_checkpoint import (
    STATE,
    Manifest,
    ShardFile,
    new_folder_name,
    remove_unused_folders,
    write_manifest,
    write_shard,
    write_state,
)
from genai.runs.tensor_tree import map_tensors
from genai.training.shards import own_shard, whole_tensor


@dataclass(frozen=True)
class ShardedState:
    """A training state in parts.

    Attributes:
        state: the state, with empty tensors in place of the sharded ones.
        shards: the rows of the sharded tensors that this process has, by path.
        planner: knows the place of these rows.
    """

    state: Any
    shards: dict[str, Tensor]
    planner: "ShardPlanner"

    @classmethod
    def split(cls, state: Any) -> "ShardedState":
        """Split a state whose sharded tensors are ``DTensor``s, without communication."""
        sharded: dict[str, DTensor] = {}

        def empty(name: str, tensor: Tensor) -> Tensor:
            if not isinstance(tensor, DTensor) or not tensor.numel():
                return whole_tensor(tensor)
            sharded[name] = tensor
            return torch.empty(0, dtype=tensor.dtype)

        rest = map_tensors(state, empty)
        shards = {name: own_shard(tensor).detach() for name, tensor in sharded.items()}
        return cls(rest, shards, ShardPlanner(sharded))


class ShardPlanner(DefaultSavePlanner):
    """Plans which rows of ``tensors`` this process writes; the rows themselves are those given to ``save``."""

    def __init__(self, tensors: Mapping[str, DTensor]) -> None:
        super().__init__(flatten_state_dict=False, flatten_sharded_tensors=False)
        super().set_up_planner(dict(tensors))
        local_plan = super().create_local_plan()
        items = [item for item in local_plan.items if item.tensor_data and item.tensor_data.chunk.sizes.numel()]
        self.local_plan = replace(local_plan, items=items)  # a process may have no rows of a small tensor
        self.state_dict: Any = {}

    def create_local_plan(self) -> SavePlan:
        return self.local_plan

    def lookup_object(self, index: MetadataIndex) -> Any:
        return self.state_dict[index.fqn]


class ShardWriter(StorageWriter):
    """Writes the shards of this process; the first process also writes all else, and the manifest.

    Args:
        state: the checkpoint, with empty tensors in place of the sharded ones.
        path: of the manifest.
    """

    def __init__(self, state: Any, path: Path) -> None:
        self.state, self.path = state, path
        self.is_first = False
        self.folder: Path | None = None

    def reset(self, checkpoint_id: Any = None) -> None:
        pass

    @classmethod
    def validate_checkpoint_id(cls, checkpoint_id: Any) -> bool:
        return False

    def set_up_storage_writer(self, is_coordinator: bool, *args: Any, **kwargs: Any) -> None:
        self.is_first = is_coordinator

    def prepare_local_plan(self, local_plan: SavePlan) -> SavePlan:
        return local_plan

    def prepare_global_plan(self, plans: list[SavePlan]) -> list[SavePlan]:
        name = new_folder_name(self.path, self.state["genai"]["step"])
        self.folder = self.path.with_name(name)
        return [replace(plan, storage_data=(name, rank)) for rank, plan in enumerate(plans)]

    def write_data(self, local_plan: SavePlan, planner: SavePlanner) -> Future[list[WriteResult]]:
        folder_name, rank = local_plan.storage_data
        folder = self.path.with_name(folder_name)
        tensors: dict[str, Any] = {item.index.fqn: planner.resolve_data(item) for item in local_plan.items}
        offsets = {item.index.fqn: item.index.offset or () for item in local_plan.items}
        check_finite({**self.state, **tensors} if self.is_first else tensors, self.path)
        folder.mkdir(parents=True, exist_ok=True)
        files: dict[str, ShardFile] = {}
        if tensors:
            shard = f"shard-{rank:05d}.safetensors"
            files[shard] = write_shard(tensors, offsets, folder / shard)
        if self.is_first:
            files[STATE] = write_state(self.state, folder / STATE)
        sync_folder(folder)
        results: Future[list[WriteResult]] = Future()
        results.set_result([WriteResult(MetadataIndex(name), file.size, file) for name, file in files.items()])
        return results

    def finish(self, metadata: Metadata, results: list[list[WriteResult]]) -> None:
        files = {result.index.fqn: result.storage_data for part in results for result in part}
        assert self.folder is not None  # from ``prepare_global_plan``
        write_manifest(Manifest(self.state["genai"]["step"], self.folder.name, files), self.path)


def save_shards(content: ShardedState, path: Path, group: distributed.ProcessGroup) -> None:
    """Write a sharded checkpoint; all processes of ``group``, of CPUs, have to call this.

    Raises:
        RunError: in all processes, if one of them has a number that is not finite or cannot write.
        RuntimeError: a process is missing.
    """
    writer = ShardWriter(content.state, path)
    try:
        checkpoint.save(content.shards, storage_writer=writer, planner=content.planner, process_group=group)
    except CheckpointException as failure:
        if writer.is_first:
            remove_unused_folders(path.parent)  # not what a manifest names already
        error = min(failure.failures.items())[1][0]
        if isinstance(error, OSError):
            error = saving_error(path, error)
        elif isinstance(error, CorruptCheckpoint):
            error = RunError(f"cannot save {path}, because it could not be read again: {STATE} {error}")
        raise error from failure
