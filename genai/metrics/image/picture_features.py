"""Features of pictures that need no training: color layout, directions of edges, and a histogram of colors."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, interpolate

from genai.core.batch import batch_ranges
from genai.core.progress import ProgressBar

MAX_SIDE_PIXELS = 64
"""Larger pictures are downscaled to this side, so that edges are compared at one scale."""
GRIDS = (8, 4)
"""Cells a side of color layouts and of histograms of edges."""
NUM_DIRECTIONS = 8
NUM_LEVELS = 4
"""Levels of each color channel in the histogram of colors."""
NUM_FEATURES = (3 + NUM_DIRECTIONS) * sum(grid**2 for grid in GRIDS) + NUM_LEVELS**3
BATCH_SIZE = 256


def picture_features(load: Callable[[range], Tensor], count: int, label: str) -> Tensor:
    """Return the features (count, 944) of pictures.

    Args:
        load: returns a range of them: (pictures, 1 or 3 channels, height, width) uint8.
        count: number of pictures.
        label: of the progress bar.
    """
    parts = [torch.empty(0, NUM_FEATURES)]
    with ProgressBar(label, count) as bar:
        for rows in batch_ranges(count, BATCH_SIZE):
            parts.append(_batch_features(load(rows)))
            bar.step(len(rows))
    return torch.cat(parts)


def layouts(features: Tensor) -> Tensor:
    """Return the colors of 8 x 8 cells (pictures, 192) in 0..1, which are part of the features."""
    return features[:, : 3 * GRIDS[0] ** 2]


@torch.no_grad()
def _batch_features(pixels: Tensor) -> Tensor:
    """Return the features (pictures, 944) of (pictures, channels, height, width) uint8."""
    x = pixels.cpu().expand(-1, 3, -1, -1).float() / 255
    if (side := max(x.shape[-2:])) > MAX_SIDE_PIXELS:
        size = [max(1, round(length * MAX_SIDE_PIXELS / side)) for length in x.shape[-2:]]
        x = interpolate(x, size=size, mode="area")
    colors = [adaptive_avg_pool2d(x, grid).permute(0, 2, 3, 1).flatten(1) for grid in GRIDS]
    return torch.cat([*colors, *_edge_histograms(x.mean(1)), _color_histogram(x)], 1)


def _edge_histograms(gray: Tensor) -> list[Tensor]:
    """Return histograms of gradients in the cells of each grid (Dalal & Triggs 2005), from (pictures, height, width).

    Gradients are weighted as in a picture of ``MAX_SIDE_PIXELS`` a side.
    """
    across, down = torch.zeros_like(gray), torch.zeros_like(gray)
    across[..., 1:-1] = gray[..., 2:] - gray[..., :-2]
    down[:, 1:-1] = gray[:, 2:] - gray[:, :-2]
    directions = (torch.atan2(down, across) / torch.pi * NUM_DIRECTIONS).round().long() % NUM_DIRECTIONS
    maps = torch.zeros(len(gray), NUM_DIRECTIONS, *gray.shape[1:])  # (B, D, H, W)
    maps.scatter_(1, directions[:, None], torch.hypot(across, down)[:, None])
    histograms = []
    for grid in GRIDS:
        cells = adaptive_avg_pool2d(maps, grid).permute(0, 2, 3, 1) * (MAX_SIDE_PIXELS / grid) ** 2
        histograms.append((cells / (cells.norm(dim=-1, keepdim=True) + 1)).flatten(1))
    return histograms


def _color_histogram(x: Tensor) -> Tensor:
    """Return the square roots of the shares of 64 colors, from (pictures, 3, height, width) in 0..1."""
    red, green, blue = (x * (NUM_LEVELS - 1e-3)).long().flatten(2).unbind(1)
    colors = (red * NUM_LEVELS + green) * NUM_LEVELS + blue
    shares = torch.zeros(len(x), NUM_LEVELS**3).scatter_add_(1, colors, torch.ones(colors.shape))
    return (shares / colors.shape[1]).sqrt()
