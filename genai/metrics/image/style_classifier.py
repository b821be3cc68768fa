"""Which style is a picture drawn in? Ridge regression on its features."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

PENALTY = 300.0


@dataclass(frozen=True)
class StyleClassifier:
    """A linear classifier of features.

    Attributes:
        names: of the styles.
        mean, std: of the features (features,).
        weights: (features + 1, styles); the last row is the bias.
    """

    names: Sequence[str]
    mean: Tensor
    std: Tensor
    weights: Tensor

    def classify(self, features: Tensor) -> list[str]:
        """Return the style of each row of (pictures, features)."""
        scores = _with_bias((features - self.mean) / self.std) @ self.weights
        return [self.names[index] for index in scores.argmax(1).tolist()]


def fit_styles(features: Tensor, styles: Sequence[str]) -> StyleClassifier:
    """Fit a classifier to pictures (pictures, features) of at least two styles."""
    names = sorted(set(styles))
    mean, std = features.mean(0), features.std(0) + 1e-3
    inputs = _with_bias((features - mean) / std).double()
    labels = torch.tensor([names.index(style) for style in styles])
    targets = torch.nn.functional.one_hot(labels, len(names)).double()
    penalty = PENALTY * torch.eye(inputs.shape[1])
    weights = torch.linalg.solve(inputs.T @ inputs + penalty, inputs.T @ targets)
    return StyleClassifier(names, mean, std, weights.float())


def _with_bias(inputs: Tensor) -> Tensor:
    return torch.cat([inputs, torch.ones(len(inputs), 1)], 1)
