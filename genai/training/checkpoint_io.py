"""Lightning saves and loads through our checkpoint files."""

from pathlib import Path
from typing import Any

from lightning.pytorch.plugins import CheckpointIO

from genai import checkpoints


class SafeCheckpointIO(CheckpointIO):
    """Atomic, hashed, plain: see ``genai.checkpoints``."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        checkpoints.save(checkpoint, Path(path))

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = True) -> dict[str, Any]:
        return checkpoints.load(Path(path))

    def remove_checkpoint(self, path: Any) -> None:
        Path(path).unlink(missing_ok=True)
