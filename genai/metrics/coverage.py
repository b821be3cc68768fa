"""Coverage of real items by samples (Naeem et al. 2020, arXiv:2002.09797, eq. 7)."""

import torch
from torch import Tensor

NUM_NEIGHBORS = 5
"""k of the paper."""


def coverage(samples: Tensor, real: Tensor) -> tuple[float, float]:
    """Return the share of real items with a sample as near as their 5th nearest real neighbor, and its variance.

    If samples are as many as real items and of the same kind, the share is 0.97. One sample covers several items, and
    one item is the neighbor of several, so the variance is larger than that of as many independent answers. It is the
    sum of two jackknife estimates, which leave out one real item or one sample at a time.

    Args:
        samples: (samples, features), two or more.
        real: (items, features), more than ``NUM_NEIGHBORS`` + 1.
    """
    neighbors = torch.cdist(real, real).fill_diagonal_(torch.inf)
    nearest = neighbors.sort(1).values
    radius, next_radius = nearest[:, NUM_NEIGHBORS - 1], nearest[:, NUM_NEIGHBORS]
    distances = torch.cdist(real, samples).double()
    first, second = distances.topk(2, 1, largest=False).values.unbind(1)
    covered = first <= radius
    # without item i the radius of those that it is a neighbor of is the next one
    next_covered = (neighbors <= radius[:, None]) & ((first <= next_radius) & ~covered)[:, None]
    without_item = (covered.sum() - covered.double() + next_covered.sum(0)) / (len(real) - 1)
    # without a sample the items are not covered that only it covers
    only_one = covered & (second > radius)
    losses = torch.zeros(len(samples), dtype=torch.double).index_add_(0, distances.argmin(1), only_one.double())
    without_sample = (covered.sum() - losses) / len(real)
    return float(covered.double().mean()), _jackknife_variance(without_item) + _jackknife_variance(without_sample)


def _jackknife_variance(values: Tensor) -> float:
    """Return the variance of a statistic from its values without one observation each (Efron 1979)."""
    return (len(values) - 1) * float(values.var(correction=0))
