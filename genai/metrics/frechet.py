"""The Frechet distance of features of samples to those of held-out data (Heusel et al. 2017, arXiv:1706.08500)."""

import numpy as np
import torch
from torch import Tensor

from genai.metrics.base import Result


def frechet(made: Tensor, real: Tensor, seed: int, judge: str) -> Result:
    """Beside that of as many other real ones: it depends on how many there are, so these are equally many everywhere.

    Args:
        made: (samples, features).
        real: (items, features) of held-out data; twice as many as samples, or fewer samples count.
        seed: of the halves of them.
        judge: whose features they are.
    """
    from torchaudio.functional import frechet_distance

    count, features = min(len(made), len(real) // 2), made.shape[1]
    if count < 2 * features:
        return Result(None, f"needs {2 * features} samples and twice as many held-out clips")
    about = f"Frechet distance on {features} features of {judge}, {count} samples against as many held-out clips"
    order = torch.from_numpy(np.random.default_rng(seed).permutation(len(real)))
    one, other = (moments(real[rows]) for rows in (order[:count], order[-count:]))
    ours = moments(made[:count])
    return Result(float(frechet_distance(*ours, *one)), about, beside=float(frechet_distance(*other, *one)))


def moments(features: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and covariance of (clips, features)."""
    exact = features.cpu().double()
    return exact.mean(0), exact.T.cov()
