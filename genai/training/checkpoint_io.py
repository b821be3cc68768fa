"""Plugin with which Lightning reads and writes this package's checkpoint files."""

from pathlib import Path
from typing import Any

from lightning.pytorch.plugins import CheckpointIO

from genai.runs.checkpoint import save_checkpoint


class SafeCheckpointIO(CheckpointIO):
    """Writes as ``genai.runs.checkpoint`` does. Lightning reads no file: it gets what was checked.

    Args:
        state: content of the checkpoint to resume; it is handed out once.
    """

    def __init__(self, state: dict[str, Any]) -> None:
        self.state = state

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        save_checkpoint(checkpoint, Path(path))

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = True) -> dict[str, Any]:
        state = dict(self.state)
        self.state.clear()  # it is as large as the model and its optimizers
        return state

    def remove_checkpoint(self, path: Any) -> None:
        Path(path).unlink(missing_ok=True)
