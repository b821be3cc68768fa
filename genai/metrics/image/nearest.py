"""Are the samples copies? Distance of each picture to its nearest training picture."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import interpolate

from genai.core.batch import batch_ranges
from genai.core.data import PackedDataset
from genai.core.progress import ProgressBar
from genai.media.picture import Picture
from genai.metrics.base import EvalContext
from genai.metrics.nearest import MAX_CHUNK_VALUES, NearestExample, find_nearest, root_mean_square
from genai.modalities.image import Image

MAX_SIDE_PIXELS = 16
"""Larger pictures are downscaled to this side where they are compared with many others."""


class NearestPicture(NearestExample):
    """RMS pixel distance of samples to their nearest training pictures; the reference is held-out pictures."""

    media = Picture

    def distances(self, context: EvalContext, prompts: list[str]) -> tuple[NDArray[np.float64], int, str]:
        modality = context.model.modality
        sample_pixels = torch.stack([modality.encode(sample) for sample in context.samples(prompts)])
        count = min(context.n, len(context.val))
        val_pixels = context.val.batch([i * len(context.val) // count for i in range(count)], None).x
        flip = isinstance(modality, Image) and modality.flip
        images = torch.cat([sample_pixels, val_pixels])
        distances = nearest_picture_distances(images, context.train, context.model.method.device, flip)
        return distances, len(sample_pixels), "of samples to their nearest training picture, RMS in 0..1"

    def features(self, context: EvalContext, samples: list[Any], real: list[Any]) -> tuple[Tensor, Tensor]:
        modality = context.model.modality
        first, second = (
            _shrink(torch.stack([modality.encode(picture) for picture in pictures])).flatten(1)
            for pictures in (samples, real)
        )
        return first, second


def nearest_picture_distances(
    images: Tensor, train: PackedDataset, device: torch.device, flip: bool = False
) -> NDArray[np.float64]:
    """Return the root-mean-square distance in 0..1 of each image to its nearest in ``train``.

    Args:
        images: (images, channels, height, width) uint8.
        flip: compare with mirrored training pictures, too.
    """
    queries = _flatten(images, device)
    _, nearest = find_nearest(queries, _chunks(train, max(1, MAX_CHUNK_VALUES // queries.shape[1]), device, flip))
    # again without the rounding of matrix products, so that copies have distance 0: differences are whole levels
    return root_mean_square(((queries - nearest).cpu().double() * 255).round() / 255)


def _chunks(train: PackedDataset, max_rows: int, device: torch.device, flip: bool) -> Iterator[Tensor]:
    """Yield all training pictures as rows, at most ``max_rows`` at once; with ``flip`` each chunk mirrored, too."""
    with ProgressBar("nearest training pictures", len(train)) as bar:
        for rows in batch_ranges(len(train), max_rows):
            pixels = train.batch(rows, None).x
            yield _flatten(pixels, device)
            if flip:
                yield _flatten(pixels.flip(-1), device)
            bar.step(len(rows))


def _shrink(images: Tensor) -> Tensor:
    """Convert (images, channels, height, width) uint8 to floats in 0..1 of at most ``MAX_SIDE_PIXELS`` a side."""
    scale = min(1.0, MAX_SIDE_PIXELS / max(images.shape[-2:]))
    size = [max(1, round(scale * side)) for side in images.shape[-2:]]
    return interpolate(images.float() / 255, size=size, mode="area")


def _flatten(pixels: Tensor, device: torch.device) -> Tensor:
    return pixels.to(device).flatten(1).float() / 255
