"""Scaling between stored data and the zero-mean, unit-variance inputs of networks."""

from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Gt
from torch import Tensor


@dataclass(frozen=True)
class Scaling:
    """Scaling of floating-point data.

    Attributes:
        mean, std: mean and standard deviation of the data.
    """

    mean: float = 0.0
    std: Annotated[float, Gt(0)] = 1.0

    def scale(self, x: Tensor) -> Tensor:
        """Convert stored data to zero mean and unit variance. Raises ``TypeError`` for integers."""
        if not x.is_floating_point():
            raise TypeError(f"data of type {x.dtype} needs a scaling of its own, such as PixelScaling")
        return (x.float() - self.mean) / self.std

    def unscale(self, x: Tensor) -> Tensor:
        """Invert ``scale``."""
        return x * self.std + self.mean


@dataclass(frozen=True)
class PixelScaling(Scaling):
    """Scaling of uint8 pixels.

    Attributes:
        mean, std: mean and standard deviation of the pixels in [-1, 1].
    """

    mean: float = 0.0
    std: Annotated[float, Gt(0)] = 0.5

    def scale(self, x: Tensor) -> Tensor:
        return (x.float() / 127.5 - 1 - self.mean) / self.std

    def unscale(self, x: Tensor) -> Tensor:
        """Invert ``scale``, rounded and clipped."""
        return ((x * self.std + self.mean + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
