"""Grain and variety of pictures, which judges of content do not see."""

import torch
from torch import Tensor

FLAT_LEVELS = 4
"""Neighboring pixels that differ by at most so many of 255 levels of gray are flat."""


def gradient_energy(pixels: Tensor) -> Tensor:
    """Return (pictures,): mean squared difference of neighboring pixels in gray, of 0..1."""
    return torch.stack([(steps**2).mean((1, 2)) for steps in _neighbor_steps(pixels)]).mean(0)


def flat_share(pixels: Tensor) -> Tensor:
    """Return (pictures,): share of neighboring pixels that are flat."""
    limit = (FLAT_LEVELS + 0.01) / 255
    return torch.stack([(steps.abs() <= limit).float().mean((1, 2)) for steps in _neighbor_steps(pixels)]).mean(0)


def pixel_distances(first: Tensor, second: Tensor) -> Tensor:
    """Return (pictures,): the RMS difference of pairs of pictures, in 0..1."""
    return ((first.float() - second.float()) / 255).square().flatten(1).mean(1).sqrt()


def _neighbor_steps(pixels: Tensor) -> tuple[Tensor, Tensor]:
    """Return differences to the right and to the lower neighbor of (pictures, channels, height, width) uint8."""
    gray = pixels.float().mean(1) / 255
    return gray.diff(dim=2), gray.diff(dim=1)
