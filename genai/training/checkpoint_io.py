"""Plugin with which Lightning reads and writes this package's checkpoint files."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from lightning.pytorch.plugins import CheckpointIO

from genai.runs.checkpoint import save_checkpoint
from genai.training.checkpoint_saver import CheckpointSaver
from genai.training.shard_writer import ShardedState, save_shards


class SafeCheckpointIO(CheckpointIO):
    """Writes as ``genai.runs`` does, in another thread. Lightning reads no file: it gets what was checked.

    Args:
        state: content of the checkpoint to resume; it is handed out once.
        saver: writes while training goes on.
    """

    def __init__(self, state: dict[str, Any], saver: CheckpointSaver) -> None:
        self.state, self.saver = state, saver

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Save a checkpoint.

        Args:
            checkpoint: its content.
            path: its file.
            storage_options: the group of CPU processes that write shards together; ``None``: this one writes a file.
        """
        step = checkpoint["genai"]["step"]
        if storage_options is None:
            self.saver.save(checkpoint, lambda state: save_checkpoint(state, Path(path)), step)
            return
        parts = ShardedState.split(checkpoint)
        tensors = {"state": parts.state, "shards": parts.shards}
        self.saver.save(tensors, lambda copy: save_shards(replace(parts, **copy), Path(path), storage_options), step)

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = True) -> dict[str, Any]:
        state = dict(self.state)
        self.state.clear()  # it is as large as the model and its optimizers
        return state

    def remove_checkpoint(self, path: Any) -> None:
        Path(path).unlink(missing_ok=True)
