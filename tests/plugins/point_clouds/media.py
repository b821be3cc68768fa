"""Point clouds: .npy files <-> points in the plane."""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from genai.core.errors import UserError


@dataclass(frozen=True, eq=False)
class PointCloud:
    """A cloud of points.

    Attributes:
        points: (points, 2) float32, x to the right and y upward, roughly in [-1, 1].
    """

    points: NDArray[np.float32]
    suffix: ClassVar[str] = ".npy"

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a .npy file. Raises ``UserError`` naming it."""
        try:
            points = np.load(path, allow_pickle=False).astype(np.float32)
        except (OSError, ValueError) as error:
            raise UserError(f"cannot read {path}: it is not an array of points.") from error
        if points.ndim != 2 or points.shape[1] != 2:
            raise UserError(f"{path} has the shape {points.shape}, not (points, 2).")
        return cls(points)

    def to_bytes(self, suffix: str | None = None) -> bytes:
        file = io.BytesIO()
        np.save(file, self.points)
        return file.getvalue()

    @property
    def on_terminal(self) -> str:
        return ""

    @classmethod
    def on_page(cls, path: Path) -> str:
        return cls.read(path)._repr_html_()

    def _repr_html_(self) -> str:
        dots = "".join(f"<circle cx='{x:.3f}' cy='{-y:.3f}' r='0.03'/>" for x, y in self.points)
        return f"<svg viewBox='-1.5 -1.5 3 3' width='192'>{dots}</svg>"

    def draw(self, side: int = 64) -> NDArray[np.uint8]:
        """Return (side, side, 3) pixels, dark where points are."""
        pixels = np.full((side, side, 3), 255, np.uint8)
        columns, rows = ((self.points * [1, -1] / 3 + 0.5) * side).clip(0, side - 1).astype(int).T
        pixels[rows, columns] = 0
        return pixels
