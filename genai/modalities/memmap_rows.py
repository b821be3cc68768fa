"""Base class of packed conversations: rows of numbers in a file, after a header of counts."""

from collections.abc import Iterable, Mapping
from dataclasses import astuple, fields
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from genai.modalities.memmap_dataset import MemmapDataset

Counts = TypeVar("Counts")
"""A dataclass of whole numbers, of which ``row_size`` is the length of a row."""


class MemmapRows(MemmapDataset, Generic[Counts]):
    """Rows of int32 in a file of ``write_rows``.

    Args:
        path: the file.
        counts: class of the header.
        shape: of a row, without its last dimension.

    Attributes:
        counts: the header.
        rows: (rows, *shape, row_size).
    """

    def __init__(self, path: Path, counts: type[Counts], shape: tuple[int, ...]) -> None:
        super().__init__(path)
        values, size = self.memmap(np.int32), len(fields(counts))  # type: ignore[arg-type]
        self.counts = counts(*values[:size].tolist())
        self.rows: NDArray[np.int32] = values[size:].reshape(-1, *shape, self.counts.row_size)  # type: ignore[attr-defined]

    def __len__(self) -> int:
        return len(self.rows)


def write_rows(path: Path, counts: Any, rows: Iterable[NDArray[np.int32]]) -> None:
    """Write a dataclass of counts, and rows, to a file for ``MemmapRows``."""
    with path.open("wb") as file:
        file.write(np.array(astuple(counts), np.int32).tobytes())
        for row in rows:
            file.write(row.tobytes())


def describe_rows(what: str, notes: Mapping[str, int]) -> str:
    """Return what is in the rows, for people, and the counts that are not 0, by what they say."""
    return "; ".join([what, *(f"{count:,} {note}" for note, count in notes.items() if count)])
