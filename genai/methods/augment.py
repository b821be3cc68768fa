"""Differentiable augmentation for GANs (Zhao et al. 2020, arXiv:2006.10738).

With few images a discriminator memorizes them, unless real and generated images are augmented anew at every step.
"""

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

Augmentation = Literal["color", "translation", "cutout"]


def augment_images(x: Tensor, kinds: Sequence[Augmentation]) -> Tensor:
    """Apply each of ``kinds`` at random to zero-mean images (batch, channels, height, width); differentiable."""
    for kind in kinds:
        x = AUGMENTATIONS[kind](x)
    return x


def random_color(x: Tensor) -> Tensor:
    """Change brightness by up to half a unit, contrast by up to half, saturation by a factor of 0 to 2."""
    draws = torch.rand(3, len(x), 1, 1, 1, device=x.device)
    x = x + (draws[0] - 0.5)
    gray = x.mean(1, keepdim=True)
    x = gray + (x - gray) * draws[1] * 2
    mean = x.mean((1, 2, 3), keepdim=True)
    return mean + (x - mean) * (draws[2] + 0.5)


def random_translation(x: Tensor) -> Tensor:
    """Shift by up to an eighth of each side; new pixels are 0."""
    batch, _, height, width = x.shape
    up, left = max(1, height // 8), max(1, width // 8)
    rows = _random_offsets(x, 2 * up) + torch.arange(height, device=x.device)
    columns = _random_offsets(x, 2 * left) + torch.arange(width, device=x.device)
    padded = F.pad(x, (left, left, up, up))
    items = torch.arange(batch, device=x.device)[:, None, None]
    return padded.permute(0, 2, 3, 1)[items, rows[:, :, None], columns[:, None]].permute(0, 3, 1, 2)


def random_cutout(x: Tensor) -> Tensor:
    """Set a rectangle of half the sides, where it lies inside the image, to 0."""
    _, _, height, width = x.shape
    down, across = _random_offsets(x, height), _random_offsets(x, width)
    rows = (torch.arange(height, device=x.device) - down).abs() <= height // 4
    columns = (torch.arange(width, device=x.device) - across).abs() <= width // 4
    return x * ~(rows[:, :, None] & columns[:, None])[:, None]


AUGMENTATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "color": random_color,
    "translation": random_translation,
    "cutout": random_cutout,
}


def _random_offsets(x: Tensor, max_offset: int) -> Tensor:
    """Draw integers (batch, 1) from 0 to ``max_offset``."""
    return torch.randint(0, max_offset + 1, (len(x), 1), device=x.device)
