"""A source of shapes: circles, squares and lines of any place and size, with captions."""

from collections.abc import Callable
from typing import Annotated

import numpy as np
from annotated_types import Ge
from numpy.typing import NDArray

from genai.core.data import Example, Source, Split
from tests.plugins.point_clouds.media import PointCloud


def circle(u: NDArray[np.float64]) -> NDArray[np.float64]:
    """Map (points,) in [0, 1) to the unit circle."""
    return np.stack([np.cos(2 * np.pi * u), np.sin(2 * np.pi * u)], 1)


def square(u: NDArray[np.float64]) -> NDArray[np.float64]:
    """Map (points,) in [0, 1) to the outline of a square."""
    along, side = 8 * u % 2 - 1, (4 * u).astype(int)[:, None]
    one = np.ones_like(along)
    sides = [np.stack(pair, 1) for pair in ((along, one), (along, -one), (one, along), (-one, along))]
    return np.select([side == number for number in range(4)], sides)


def line(u: NDArray[np.float64]) -> NDArray[np.float64]:
    """Map (points,) in [0, 1) to a diagonal line."""
    return np.stack([2 * u - 1, 2 * u - 1], 1)


SHAPES: dict[str, Callable[[NDArray[np.float64]], NDArray[np.float64]]] = {
    "circle": circle,
    "square": square,
    "line": line,
}


class Shapes(Source):
    """Shapes with captions.

    Args:
        items: number of shapes to train on; a quarter as many are held out.
    """

    media = PointCloud

    def __init__(self, items: Annotated[int, Ge(4)] = 256) -> None:
        self.items = items

    @property
    def train(self) -> Split:
        return self._split("train", self.items)

    @property
    def val(self) -> Split:
        return self._split("val", self.items // 4)

    def _split(self, name: str, count: int) -> Split:
        def load(index: int) -> Example:
            rng = np.random.default_rng([index, name == "val"])
            kind, size = list(SHAPES)[index % len(SHAPES)], ("small", "large")[index // len(SHAPES) % 2]
            points = SHAPES[kind](rng.random(64)) * (0.3 if size == "small" else 0.9) + rng.uniform(-0.1, 0.1, 2)
            return Example(PointCloud(points.astype(np.float32)), f"a {size} {kind}")

        return Split(name, count, load, f"shapes 1 {name} {count}")
