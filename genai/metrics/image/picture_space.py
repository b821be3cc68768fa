"""A space in which pictures of one thing lie together: linear discriminant analysis of features of real pictures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize

NUM_DIMENSIONS = 100
DAMPING = 0.1
"""Part of the mean variance within a label that is added to all directions, as there are few pictures of each label."""


@dataclass(frozen=True)
class PictureSpace:
    """A linear map of features, from which the mean of each style is subtracted first.

    Attributes:
        means: mean features (features,) by the name of a style; "" where styles are unknown.
        projection: (features, dimensions), the most telling dimensions first.
    """

    means: Mapping[str, Tensor]
    projection: Tensor

    def embed(self, features: Tensor, styles: Sequence[str]) -> Tensor:
        """Map (pictures, features) to vectors of length 1, (pictures, dimensions); ``means`` has all ``styles``."""
        means = torch.stack([self.means[style] for style in styles])
        return normalize((features - means) @ self.projection, dim=1)

    def with_styles(self, features: Tensor, styles: Sequence[str]) -> "PictureSpace":
        """Return the space with the means of styles that were not trained on, from pictures that have them."""
        return PictureSpace(style_means(features, styles) | dict(self.means), self.projection)


def fit_space(features: Tensor, labels: Sequence[str], styles: Sequence[str]) -> PictureSpace:
    """Fit a space to pictures: directions in which labels differ much, and pictures of one label do not.

    If no label has several pictures, these are the principal components, whitened.

    Args:
        features: (pictures, features).
        labels: what each picture shows.
        styles: style of each picture; "" where it is unknown.
    """
    means = style_means(features, styles)
    centered = (features - torch.stack([means[style] for style in styles])).double()
    total = centered.T @ centered / len(centered)
    within = _covariance_within(centered, labels)
    within = total if within is None else within
    damping = DAMPING * within.diagonal().mean() + 1e-9
    variances, directions = torch.linalg.eigh(within + damping * torch.eye(len(within)))
    basis = directions / variances.sqrt()
    num_dimensions = min(NUM_DIMENSIONS, max(1, len(set(labels)) - 1))  # k classes lie in k - 1 dimensions
    rotation = torch.linalg.eigh(basis.T @ total @ basis)[1].flip(1)[:, :num_dimensions]
    return PictureSpace(means, (basis @ rotation).float())


def style_means(features: Tensor, styles: Sequence[str]) -> dict[str, Tensor]:
    """Return the mean features of the pictures of each style."""
    return {
        style: features[torch.tensor([each == style for each in styles])].mean(0) for style in dict.fromkeys(styles)
    }


def _covariance_within(centered: Tensor, labels: Sequence[str]) -> Tensor | None:
    """Return the covariance (features, features) of pictures of one label; ``None`` if each has a label of its own."""
    names = {label: number for number, label in enumerate(dict.fromkeys(labels))}
    numbers = torch.tensor([names[label] for label in labels])
    counts = torch.bincount(numbers)
    sums = torch.zeros(len(names), centered.shape[1], dtype=centered.dtype).index_add_(0, numbers, centered)
    rest = (centered - (sums / counts[:, None])[numbers])[counts[numbers] > 1]
    return rest.T @ rest / len(rest) if len(rest) else None
