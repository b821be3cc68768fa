"""Are the samples copies? How far each picture is from its nearest training picture."""

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

NUMBERS = 2**22
"""Of the training pictures that are compared at once: some 50 MB in float32."""
LOW = 0.05
"""The quantile that shows a few copies among many samples."""


class Nearest(Metric):
    """Root-mean-square pixel distance to the nearest training picture, of samples beside held-out pictures.

    The samples are asked for with prompts of the held-out split, so that both sides show the same kind of thing.
    Samples that are much nearer than held-out pictures are copies.
    """

    media = Picture
    of_training = True

    def compute(self, study: EvalContext) -> dict[str, Result]:
        """``nearest_train`` (mean) and ``nearest_train_low`` (5 % quantile), each beside that of held-out pictures."""
        modality = study.model.modality
        samples = study.samples(study.source.prompts(study.source.val, study.n, study.seed))
        made = torch.stack([modality.encode(sample) for sample in samples])
        count = min(study.n, len(study.val))
        held = study.val.batch([i * len(study.val) // count for i in range(count)], None).x
        flip = isinstance(modality, Image) and modality.flip
        distances = nearest(torch.cat([made, held]), study.train, study.model.method.device, flip)
        ours, theirs = distances[: len(made)], distances[len(made) :]
        return summary("nearest_train", ours, theirs, "of samples to their nearest training picture, RMS in 0..1")


def summary(name: str, ours: NDArray[np.float64], theirs: NDArray[np.float64], about: str) -> dict[str, Result]:
    """``name``, the mean of distances, and ``name_low``, their 5 % quantile: of samples, beside real ones."""
    error = float(ours.std(ddof=1) / len(ours) ** 0.5) if len(ours) > 1 else None
    low, real_low = (float(np.quantile(distances, LOW)) for distances in (ours, theirs))
    return {
        name: Result(float(ours.mean()), f"mean distance {about}", error, float(theirs.mean())),
        f"{name}_low": Result(low, f"5 % quantile {about}", beside=real_low),
    }


def nearest(images: Tensor, train: PackedDataset, device: torch.device, flip: bool = False) -> NDArray[np.float64]:
    """Root-mean-square distance in [0, 1] of each image to its nearest in ``train``, also mirrored where ``flip``.

    Args:
        images: (images, channels, height, width) uint8.
    """
    flat = _flat(images, device)
    best = torch.full((len(flat),), torch.inf, device=device)
    index = torch.zeros(len(flat), dtype=torch.int64, device=device)
    turned = (False, True) if flip else (False,)
    mirrored = torch.zeros(len(flat), dtype=torch.bool, device=device)
    with ProgressBar("nearest training pictures", len(train)) as bar:
        for rows in batch_ranges(len(train), max(1, NUMBERS // flat.shape[1])):
            pixels = train.batch(rows, None).x
            for turn in turned:
                others = _flat(pixels.flip(-1) if turn else pixels, device)
                least, at = squared(flat, others).min(1)
                closer = least < best
                best = torch.where(closer, least, best)
                index = torch.where(closer, at + rows.start, index)
                mirrored = torch.where(closer, torch.tensor(turn, device=device), mirrored)
            bar.step(len(rows))
    return np.array(_exact(images, train, zip(index.tolist(), mirrored.tolist(), strict=True)))


def _exact(images: Tensor, train: PackedDataset, found: Iterable[tuple[int, Any]]) -> list[float]:
    """The distances again without the rounding of matrix products, so that a copy is at 0."""
    distances = []
    for image, (index, turn) in zip(images, found, strict=True):
        other = train.batch([index], None).x[0]
        difference = (image.double() - (other.flip(-1) if turn else other).double()) / 255
        distances.append(float(difference.square().mean().sqrt()))
    return distances


def _flat(pixels: Tensor, device: torch.device) -> Tensor:
    return pixels.to(device).flatten(1).float() / 255


def squared(a: Tensor, b: Tensor) -> Tensor:
    """(n, m) squared distances of the rows of (n, d) and (m, d), up to the rounding of a matrix product."""
    return a.square().sum(1)[:, None] - 2 * a @ b.T + b.square().sum(1)
