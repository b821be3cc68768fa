"""Are the samples copies? Distance of each to its nearest training example; the features come from each modality."""

from abc import abstractmethod
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from genai.core.renamed import module_getattr
from genai.metrics.base import EvalContext, Metric, Result

MAX_CHUNK_VALUES = 2**22
"""Values of the training examples that are compared at once: about 50 MB in float32."""
LOW_QUANTILE = 0.05
"""Quantile of distances that reveals a few copies among many samples."""


class NearestExample(Metric):
    """Distance of samples to their nearest training examples; the reference is that of held-out examples.

    Samples have prompts of the held-out split, so that both sides show the same kind of content. Samples that are much
    nearer than held-out examples are copies.
    """

    compares_with_training = True

    @abstractmethod
    def distances(self, context: EvalContext, prompts: list[str]) -> tuple[NDArray[np.float64], int, str]:
        """Return the distances of one sample for each prompt and of held-out examples, in this order.

        Then come the number of samples, and a description of the distance.
        """

    def compute(self, context: EvalContext) -> dict[str, Result]:
        """Return ``nearest_train`` (mean) and ``nearest_train_low`` (5 % quantile)."""
        prompts = context.source.prompts(context.source.val, context.n, context.seed)
        distances, count, description = self.distances(context, prompts)
        samples, held_out = distances[:count], distances[count:]
        standard_error = float(samples.std(ddof=1) / count**0.5) if count > 1 else None
        low, held_out_low = (float(np.quantile(part, LOW_QUANTILE)) for part in (samples, held_out))
        return {
            "nearest_train": Result(
                float(samples.mean()), f"mean distance {description}", standard_error, float(held_out.mean())
            ),
            "nearest_train_low": Result(low, f"5 % quantile of the distance {description}", reference=held_out_low),
        }


def find_nearest(queries: Tensor, chunks: Iterable[Tensor]) -> tuple[Tensor, Tensor]:
    """Find the row of ``chunks`` that is nearest to each of ``queries`` (n, d).

    Args:
        chunks: (m, d) each.

    Returns:
        The squared distances (n,), up to the rounding of a matrix product, and the nearest rows (n, d). The distance is
        infinite if there are no rows.
    """
    best = torch.full((len(queries),), torch.inf, device=queries.device)
    nearest = torch.zeros_like(queries)
    for rows in chunks:
        distances, neighbors = squared_distances(queries, rows).min(1)
        is_closer = distances < best
        best = torch.where(is_closer, distances, best)
        nearest[is_closer] = rows[neighbors[is_closer]]
    return best, nearest


def squared_distances(a: Tensor, b: Tensor) -> Tensor:
    """Squared distances (n, m) between the rows of (n, d) and (m, d), up to the rounding of a matrix product."""
    return a.square().sum(1)[:, None] - 2 * a @ b.T + b.square().sum(1)


def root_mean_square(differences: Tensor) -> NDArray[Any]:
    """Root mean square of each row of (n, d)."""
    return differences.square().mean(1).sqrt().cpu().numpy()


__getattr__ = module_getattr(__name__)
