"""Scaling between uint8 pixels and the zero-mean, unit-variance inputs of networks."""

import torch
from torch import Tensor

from genai.methods.base import Method


class PixelMethod(Method):
    """A method that learns from pixels.

    Attributes:
        mean, std: mean and standard deviation of the data in [-1, 1].
    """

    mean: float
    std: float

    def scale(self, x: Tensor) -> Tensor:
        """Convert uint8 to zero mean and unit variance."""
        return (x.float() / 127.5 - 1 - self.mean) / self.std

    def unscale(self, x: Tensor) -> Tensor:
        """Invert ``scale``, rounded and clipped."""
        return ((x * self.std + self.mean + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
