"""What methods share that learn from pixels: the units in which their networks see them."""

import torch
from torch import Tensor

from genai.methods.base import Method


class PixelMethod(Method):
    """Attributes:
    mean, std: of the data in [-1, 1].
    """

    mean: float
    std: float

    def scale(self, x: Tensor) -> Tensor:
        """uint8 -> zero mean, unit variance."""
        return (x.float() / 127.5 - 1 - self.mean) / self.std

    def unscale(self, x: Tensor) -> Tensor:
        """The inverse of ``scale``, rounded and clipped."""
        return ((x * self.std + self.mean + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
