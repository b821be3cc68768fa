"""Plugin with which Lightning reads and writes this package's checkpoint files."""

from pathlib import Path
from typing import Any

from lightning.pytorch.plugins import CheckpointIO

from genai.runs.checkpoint import load_checkpoint, save_checkpoint


class SafeCheckpointIO(CheckpointIO):
    """Writes atomically, with a hash, and only plain types: see ``genai.runs.checkpoint``."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        save_checkpoint(checkpoint, Path(path))

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = True) -> dict[str, Any]:
        return load_checkpoint(Path(path))

    def remove_checkpoint(self, path: Any) -> None:
        Path(path).unlink(missing_ok=True)
