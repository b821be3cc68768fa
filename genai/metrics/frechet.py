"""Frechet distance between features of samples and of held-out data (Heusel et al. 2017, arXiv:1706.08500)."""

import numpy as np
import torch
from torch import Tensor

from genai.metrics.base import Result


def frechet_result(samples: Tensor, real: Tensor, seed: int, extractor: str, items: str = "clips") -> Result:
    """Return the Frechet distance of samples to one half of the real items; the reference is that of the other half.

    The distance depends on the number of items, so all three sets have the same size.

    Args:
        samples: (samples, features).
        real: (items, features) of held-out data; fewer samples are used if there are not twice as many items.
        seed: of the split into halves.
        extractor: name of the network that computed the features, for the description.
        items: plural noun for the items, for the description.
    """
    from torchaudio.functional import frechet_distance

    count, num_features = min(len(samples), len(real) // 2), samples.shape[1]
    if count < 2 * num_features:
        return Result(None, f"needs {2 * num_features} samples and twice as many held-out {items}")
    description = (
        f"Frechet distance on {num_features} features of {extractor}, {count} samples against as many held-out {items}"
    )
    order = torch.from_numpy(np.random.default_rng(seed).permutation(len(real)))
    first_half, second_half = (mean_and_covariance(real[rows]) for rows in (order[:count], order[-count:]))
    distance = frechet_distance(*mean_and_covariance(samples[:count]), *first_half)
    return Result(float(distance), description, reference=float(frechet_distance(*second_half, *first_half)))


def mean_and_covariance(features: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (features,) and covariance (features, features) of (clips, features), in float64."""
    features = features.cpu().double()
    return features.mean(0), features.T.cov()
