"""Base class of packed data sets: memory-mapped files that each worker process opens by itself."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray


class MemmapDataset:
    """Base of a ``PackedDataset`` in a file, and in files beside it with other suffixes; pickled as its arguments."""

    def __init__(self, path: Path, *settings: Any) -> None:
        self.path, self._settings = path, settings

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.path, *self._settings)

    def memmap(self, dtype: DTypeLike, shape: Sequence[int] = (), suffix: str = "") -> NDArray[Any]:
        """Map the file, or the one with ``suffix``, as (rows, *shape)."""
        path = self.path.with_suffix(suffix) if suffix else self.path
        return np.memmap(path, dtype, "r").reshape(-1, *shape)

    def read_index(self) -> Any:
        """Read the JSON file of lengths and prompts."""
        return json.loads(self.path.with_suffix(".json").read_text(encoding="utf-8"))
