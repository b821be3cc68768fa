"""Coverage on sets whose coverage is known, and its variance against that of many sets."""

import numpy as np
import pytest
import torch
from torch import Tensor

from genai.metrics.coverage import coverage


def normal(count: int, seed: int) -> Tensor:
    return torch.randn(count, 8, generator=torch.Generator().manual_seed(seed))


def test_samples_of_the_same_kind_cover_what_the_paper_says() -> None:
    assert abs(coverage(normal(300, 0), normal(300, 1))[0] - 31 / 32) < 0.03  # eq. 9 with k = 5


def test_one_mode_and_one_place_cover_less() -> None:
    real = torch.cat([normal(150, 1), normal(150, 2) + 20])
    assert abs(coverage(normal(300, 0), real)[0] - 0.5) < 0.03  # one of two modes
    assert coverage(normal(1, 0).expand(300, -1), normal(300, 1))[0] < 0.2  # always the same
    assert coverage(normal(300, 0) + 50, real) == (0, 0)


def test_a_known_case() -> None:
    real = torch.tensor([[0.0], [1], [2], [3], [4], [5], [100]])  # the 5th neighbor of 0 is 5 away, that of 1 is 4 away
    share, variance = coverage(torch.tensor([[-4.5], [-900.0]]), real)
    assert share == 1 / 7
    # without one of the items 0 to 5, or 100, others are covered, or not: counted by hand with 6 items
    items = [coverage(torch.tensor([[-4.5], [-900.0]]), real[[j for j in range(7) if j != i]]) for i in range(7)]
    by_items = 6 * float(np.var([each[0] for each in items]))
    by_samples = float(np.var([0, 1 / 7]))
    assert variance == pytest.approx(by_items + by_samples)


def test_the_variance_is_not_too_small() -> None:
    found = [coverage(0.8 * normal(50, 2 * i) + 0.2, normal(50, 2 * i + 1)) for i in range(80)]
    shares, variances = np.array(found).T
    assert shares.var() < variances.mean() < 8 * shares.var()
    assert variances.mean() > 1.2 * (shares * (1 - shares)).mean() / 50  # more than of independent answers
