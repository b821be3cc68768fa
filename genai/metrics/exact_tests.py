"""Exact one-sided randomization tests: p-values that hold for any number of items and any distribution.

The observed labels are compared with random ones, and count as one of them, so that a p-value is never too small under
the null hypothesis (Phipson & Smyth 2010, "Permutation p-values should never be zero").
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

PERMUTATIONS = 9_999
"""Random labels that the observed ones are compared with."""


@dataclass(frozen=True)
class ItemGroup:
    """Items whose labels may be exchanged with each other.

    Attributes:
        weights: (n,), of the items that have one; others weigh nothing.
        is_marked: (n,) whether these items have the label.
        num_marked, num_items: of all items of the group.
    """

    weights: NDArray[np.float64]
    is_marked: NDArray[np.bool_]
    num_marked: int
    num_items: int

    def permuted_sums(self, rng: np.random.Generator) -> NDArray[np.float64]:
        """Return the weight with the label, (``PERMUTATIONS``,), if the labels are dealt out at random."""
        marked, left = np.full(PERMUTATIONS, self.num_marked, np.int64), self.num_items
        sums = np.zeros(PERMUTATIONS)
        for weight in self.weights:
            is_marked = rng.random(PERMUTATIONS) * left < marked
            sums += weight * is_marked
            marked -= is_marked
            left -= 1
        return sums


@dataclass(frozen=True)
class WeightTest:
    """Whether items with the label have more of the weight than chance gives them.

    Attributes:
        p: p-value.
        expected: mean weight with the label, if labels are exchanged.
        smallest_p: of labels that have as much of the weight as they can.
    """

    p: float
    expected: float
    smallest_p: float


def weight_test(groups: Sequence[ItemGroup], seed: int = 0) -> WeightTest:
    """Test whether the items with the label have more weight; labels are exchanged within each group."""
    rng = np.random.default_rng(seed)
    sums = sum((group.permuted_sums(rng) for group in groups), np.zeros(PERMUTATIONS))
    observed = sum(float(group.weights[group.is_marked].sum()) for group in groups)
    largest = sum(float(np.sort(group.weights)[::-1][: group.num_marked].sum()) for group in groups)
    return WeightTest(_p_value(sums, observed), float(sums.mean()), _p_value(sums, largest))


def rank_sum_p(low: Sequence[float], high: Sequence[float], seed: int = 0) -> float:
    """Return the p-value of values ``low`` being no lower than ``high`` (Wilcoxon, Mann & Whitney 1947).

    Equal values share the mean of their ranks.
    """
    values = np.array([*low, *high])
    lower = (values[:, None] > values).sum(1)
    ranks = lower + ((values[:, None] == values).sum(1) + 1) / 2
    order = np.random.default_rng(seed).permuted(np.tile(ranks, (PERMUTATIONS, 1)), axis=1)
    return _p_value(-order[:, : len(low)].sum(1), -float(ranks[: len(low)].sum()))


def _p_value(sums: NDArray[np.float64], observed: float) -> float:
    return (1 + int((sums >= observed - 1e-9).sum())) / (1 + len(sums))
