"""Are the samples copies? Distance of each picture to its nearest training picture."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from genai.core.batch import batch_ranges
from genai.core.data import PackedDataset
from genai.core.progress import ProgressBar
from genai.media.picture import Picture
from genai.metrics.base import EvalContext, Metric, Result
from genai.modalities.image import Image

MAX_CHUNK_VALUES = 2**22
"""Values of the training pictures that are compared at once: about 50 MB in float32."""
LOW_QUANTILE = 0.05
"""Quantile of distances that reveals a few copies among many samples."""


class NearestPicture(Metric):
    """RMS pixel distance of samples to their nearest training pictures; the reference is held-out pictures.

    Samples have prompts of the held-out split, so that both sides show the same kind of content. Samples that are much
    nearer than held-out pictures are copies.
    """

    media = Picture
    compares_with_training = True

    def compute(self, context: EvalContext) -> dict[str, Result]:
        """Return ``nearest_train`` (mean) and ``nearest_train_low`` (5 % quantile)."""
        modality = context.model.modality
        samples = context.samples(context.source.prompts(context.source.val, context.n, context.seed))
        sample_pixels = torch.stack([modality.encode(sample) for sample in samples])
        count = min(context.n, len(context.val))
        val_pixels = context.val.batch([i * len(context.val) // count for i in range(count)], None).x
        flip = isinstance(modality, Image) and modality.flip
        images = torch.cat([sample_pixels, val_pixels])
        distances = nearest_picture_distances(images, context.train, context.model.method.device, flip)
        description = "of samples to their nearest training picture, RMS in 0..1"
        return distance_results(distances[: len(samples)], distances[len(samples) :], description)


def distance_results(
    samples: NDArray[np.float64], held_out: NDArray[np.float64], description: str
) -> dict[str, Result]:
    """Return the mean of the distances of samples and their 5 % quantile; the reference is held-out data."""
    standard_error = float(samples.std(ddof=1) / len(samples) ** 0.5) if len(samples) > 1 else None
    low, held_out_low = (float(np.quantile(distances, LOW_QUANTILE)) for distances in (samples, held_out))
    return {
        "nearest_train": Result(
            float(samples.mean()), f"mean distance {description}", standard_error, float(held_out.mean())
        ),
        "nearest_train_low": Result(low, f"5 % quantile of the distance {description}", reference=held_out_low),
    }


def nearest_picture_distances(
    images: Tensor, train: PackedDataset, device: torch.device, flip: bool = False
) -> NDArray[np.float64]:
    """Return the root-mean-square distance in 0..1 of each image to its nearest in ``train``.

    Args:
        images: (images, channels, height, width) uint8.
        flip: compare with mirrored training pictures, too.
    """
    flat = _flatten(images, device)
    best = torch.full((len(flat),), torch.inf, device=device)
    index = torch.zeros(len(flat), dtype=torch.int64, device=device)
    is_mirrored = torch.zeros(len(flat), dtype=torch.bool, device=device)
    with ProgressBar("nearest training pictures", len(train)) as bar:
        for rows in batch_ranges(len(train), max(1, MAX_CHUNK_VALUES // flat.shape[1])):
            pixels = train.batch(rows, None).x
            for mirror in (False, True) if flip else (False,):
                distances, neighbors = squared_distances(
                    flat, _flatten(pixels.flip(-1) if mirror else pixels, device)
                ).min(1)
                is_closer = distances < best
                best = torch.where(is_closer, distances, best)
                index = torch.where(is_closer, neighbors + rows.start, index)
                is_mirrored = torch.where(is_closer, torch.tensor(mirror, device=device), is_mirrored)
            bar.step(len(rows))
    return np.array(_exact_distances(images, train, zip(index.tolist(), is_mirrored.tolist(), strict=True)))


def _exact_distances(images: Tensor, train: PackedDataset, neighbors: Iterable[tuple[int, Any]]) -> list[float]:
    """Recompute the distances without the rounding of matrix products, so that copies have distance 0."""
    distances = []
    for image, (index, mirror) in zip(images, neighbors, strict=True):
        neighbor = train.batch([index], None).x[0]
        difference = (image.double() - (neighbor.flip(-1) if mirror else neighbor).double()) / 255
        distances.append(float(difference.square().mean().sqrt()))
    return distances


def _flatten(pixels: Tensor, device: torch.device) -> Tensor:
    return pixels.to(device).flatten(1).float() / 255


def squared_distances(a: Tensor, b: Tensor) -> Tensor:
    """Squared distances (n, m) between the rows of (n, d) and (m, d), up to the rounding of a matrix product."""
    return a.square().sum(1)[:, None] - 2 * a @ b.T + b.square().sum(1)
