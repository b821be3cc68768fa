"""Scores of images on features of a small classifier that is trained on real ones; for ``image_quality.py``.

Distances depend on the classifier and on the number of images. They cannot be compared with those that others report,
only with those of real images and of other models in the same table.
"""

from collections.abc import Sequence
from statistics import mean
from typing import Any

import numpy as np
import torch
from torch import Tensor

from genai.core.cache import cache_key
from genai.core.data import PackedDataset
from genai.metrics.frechet import mean_and_covariance
from genai.metrics.image.classifier import (
    NUM_FEATURES,
    ImageClassifier,
    class_indices,
    correct_predictions,
    picture_features,
    train_image_classifier,
)
from genai.metrics.image.nearest import nearest_picture_distances
from genai.metrics.nearest import LOW_QUANTILE
from genai.metrics.probe import cached_probe

COUNTS = (128, 256, 2048)
"""Numbers of images at which models are compared."""
NUM_NEIGHBORS = 3
"""The k of precision and recall."""
STEPS = 2000
"""Training steps of the classifier."""


class ImageScores:
    """A classifier of the training images, and the features of held-out ones.

    Attributes:
        accuracy: on the held-out images.
    """

    def __init__(
        self,
        train: Tensor,
        train_prompts: Sequence[str],
        val: Tensor,
        val_prompts: Sequence[str],
        packed: PackedDataset,
    ) -> None:
        self.train, self.val, self.packed = train, val, packed
        self.classes = sorted(set(train_prompts))
        self.network = self._cached_classifier(train, train_prompts)
        self.accuracy = self.class_accuracy(val, val_prompts)
        self.real = picture_features(self.network, val)

    def _cached_classifier(self, pixels: Tensor, prompts: Sequence[str]) -> ImageClassifier:
        """Return the classifier from the cache, so that all models are scored by the same one."""

        def train() -> ImageClassifier:
            return train_image_classifier(pixels, class_indices(prompts, self.classes), len(self.classes), STEPS)

        key = cache_key("image_quality", len(pixels), int(pixels.sum()), STEPS)
        return cached_probe(key, lambda: ImageClassifier(pixels.shape[1], len(self.classes)), train, pixels.device)

    def class_accuracy(self, pixels: Tensor, prompts: Sequence[str]) -> float:
        """Return the share of images that are classified as their prompts say."""
        return correct_predictions(self.network, pixels, class_indices(prompts, self.classes)).float().mean().item()

    def scores(self, pixels: Tensor) -> dict[str, float]:
        """Return Frechet distance and KID to all held-out images, and precision and recall against as many of them."""
        features, real = picture_features(self.network, pixels), self.real[: len(pixels)]
        precision, recall = precision_recall(features, real)
        return {
            "frechet": frechet(features, self.real),
            "kid": kid(features, self.real),
            "precision": precision,
            "recall": recall,
        }

    def real_scores(self, repeats: int = 3) -> dict[str, Any]:
        """Return the scores of random training images, averaged over ``repeats``."""
        results: dict[str, Any] = {"classifier_accuracy": self.accuracy, "at": {}}
        for n in COUNTS:
            rows = [torch.randperm(len(self.train))[:n] for _ in range(repeats)]
            scores = [self.scores(self.train[indices]) for indices in rows]
            results["at"][str(n)] = {name: mean(part[name] for part in scores) for name in scores[0]}
        return results | self.nearest(self.val)

    def nearest(self, pixels: Tensor, count: int = 256) -> dict[str, float]:
        """Return the mean RMS distance of the first images to their nearest training images, and its 5 % quantile."""
        distances = nearest_picture_distances(pixels[:count], self.packed, pixels.device)
        return {"nearest": float(distances.mean()), "nearest_low": float(np.quantile(distances, LOW_QUANTILE))}


def frechet(samples: Tensor, real: Tensor) -> float:
    """Frechet distance (Heusel et al. 2017, arXiv:1706.08500, equation 6)."""
    from torchaudio.functional import frechet_distance

    return float(frechet_distance(*mean_and_covariance(samples), *mean_and_covariance(real)))


def kid(samples: Tensor, real: Tensor) -> float:
    """Unbiased squared MMD with the kernel (x y / d + 1)^3 (Binkowski et al. 2018, arXiv:1801.01401, equation 4)."""

    def kernel(a: Tensor, b: Tensor) -> Tensor:
        return (a @ b.T / NUM_FEATURES + 1) ** 3

    def within(a: Tensor) -> Tensor:
        square = kernel(a, a)
        return (square.sum() - square.diagonal().sum()) / (len(a) * (len(a) - 1))

    samples, real = samples.double(), real[:4096].double()
    return float(within(samples) + within(real) - 2 * kernel(samples, real).mean())


def precision_recall(samples: Tensor, real: Tensor) -> tuple[float, float]:
    """Precision and recall (Kynkaanniemi et al. 2019, arXiv:1904.06991).

    Precision is the share of samples that are nearer to a real image than its third neighbor is; recall is the same
    with the roles exchanged.
    """

    def covered(points: Tensor, reference: Tensor) -> float:
        radius = torch.cdist(reference, reference).kthvalue(NUM_NEIGHBORS + 1, 1).values  # the first neighbor is itself
        return (torch.cdist(points, reference) <= radius).any(1).float().mean().item()

    return covered(samples, real), covered(real, samples)
