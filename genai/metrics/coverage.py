"""Coverage of real items by samples (Naeem et al. 2020, arXiv:2002.09797, eq. 7)."""

import torch
from torch import Tensor

NUM_NEIGHBORS = 5
"""k of the paper."""


def covered_items(samples: Tensor, real: Tensor) -> list[bool]:
    """Return for each real item whether a sample is as near as its 5th nearest real neighbor.

    The share of these is ``coverage``. If samples are as many as real items and of the same kind, it is 0.97.

    Args:
        samples: (samples, features).
        real: (items, features), more than ``NUM_NEIGHBORS``.
    """
    radius = torch.cdist(real, real).kthvalue(NUM_NEIGHBORS + 1, dim=1).values  # the nearest item is the item itself
    covered: list[bool] = (torch.cdist(real, samples).amin(1) <= radius).tolist()
    return covered
