"""Differentiable augmentation (Zhao et al. 2020, arXiv:2006.10738): with few images a discriminator learns them by
heart, unless it sees each of them, and what is generated, changed otherwise every time."""

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

Kind = Literal["colour", "translation", "cutout"]


def augmented(x: Tensor, kinds: Sequence[Kind]) -> Tensor:
    """Images (batch, channels, height, width) of zero mean, each changed in these ways by chance; gradients pass."""
    for kind in kinds:
        x = CHANGES[kind](x)
    return x


def colour(x: Tensor) -> Tensor:
    """Brightness by up to half a unit, contrast by up to half, saturation from none to twice."""
    draws = torch.rand(3, len(x), 1, 1, 1, device=x.device)
    x = x + (draws[0] - 0.5)
    grey = x.mean(1, keepdim=True)
    x = grey + (x - grey) * draws[1] * 2
    mean = x.mean((1, 2, 3), keepdim=True)
    return mean + (x - mean) * (draws[2] + 0.5)


def translation(x: Tensor) -> Tensor:
    """By up to an eighth of either side; what comes in is 0."""
    batch, _, height, width = x.shape
    up, left = max(1, height // 8), max(1, width // 8)
    rows = _starts(x, 2 * up) + torch.arange(height, device=x.device)
    columns = _starts(x, 2 * left) + torch.arange(width, device=x.device)
    padded = F.pad(x, (left, left, up, up))
    items = torch.arange(batch, device=x.device)[:, None, None]
    return padded.permute(0, 2, 3, 1)[items, rows[:, :, None], columns[:, None]].permute(0, 3, 1, 2)


def cutout(x: Tensor) -> Tensor:
    """A rectangle of half the sides, or what of it is inside, is 0."""
    _, _, height, width = x.shape
    down, across = _starts(x, height), _starts(x, width)
    rows = (torch.arange(height, device=x.device) - down).abs() <= height // 4
    columns = (torch.arange(width, device=x.device) - across).abs() <= width // 4
    return x * ~(rows[:, :, None] & columns[:, None])[:, None]


CHANGES: dict[str, Callable[[Tensor], Tensor]] = {"colour": colour, "translation": translation, "cutout": cutout}


def _starts(x: Tensor, most: int) -> Tensor:
    """(batch, 1), whole numbers from 0 to ``most``."""
    return torch.randint(0, most + 1, (len(x), 1), device=x.device)
