"""Confidence intervals of scores, and of the ratio of the worst to the best of several groups."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

CONFIDENCE = 0.95
NUM_DRAWS = 100_000
"""Draws of each score from which the interval of a ratio is computed."""
NUM_RESAMPLES = 10_000
"""Resampled sets of items of a bootstrap interval."""
MIN_BEST_PART = 0.01
"""Part of the best score that its draws are at least: the mean of a few uncertain losses could be below 0."""


@dataclass(frozen=True)
class Estimate:
    """A score with its confidence interval.

    Attributes:
        value: of the items at hand.
        low, high: ends of the interval.
        draws: (``NUM_DRAWS``,) values that the score may have, given these items.
    """

    value: float
    low: float
    high: float
    draws: NDArray[np.float64]


@dataclass(frozen=True)
class Ratio:
    """The score of the worst group divided by that of the best one, with its confidence interval."""

    value: float
    low: float
    high: float
    worst: str
    best: str

    @property
    def is_different(self) -> bool:
        """Whether the interval excludes 1."""
        return not self.low <= 1 <= self.high


def proportion_estimate(hits: Sequence[bool], rng: np.random.Generator, scale: float = 1.0) -> Estimate:
    """Estimate a proportion, times ``scale``. The interval is that of Wilson (1927).

    Its draws are from the posterior of Jeffreys' prior, so those of 0 hits are above 0.
    """
    return share_estimate(sum(hits) / len(hits), len(hits), rng, scale)


def wilson_interval(share: float, count: float) -> tuple[float, float]:
    """Return the interval of Wilson (1927) of a share among ``count`` answers; the share is in it.

    An answer may be any number from 0 to 1. These vary less than answers yes and no of the same mean, so the interval
    is not too narrow.
    """
    z = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
    shrink = 1 + z * z / count
    center = (share + z * z / (2 * count)) / shrink
    half = z / shrink * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    return min(share, max(0.0, center - half)), max(share, min(1.0, center + half))


def share_estimate(value: float, total: float, rng: np.random.Generator, scale: float = 1.0) -> Estimate:
    """Estimate a share that is as certain as that of ``total`` independent answers; see ``proportion_estimate``."""
    low, high = wilson_interval(value, total)
    draws = rng.beta(value * total + 0.5, (1 - value) * total + 0.5, NUM_DRAWS)
    return Estimate(scale * value, scale * low, scale * high, scale * draws)


def coverage_estimate(values: tuple[float, float, int], rng: np.random.Generator) -> Estimate:
    """Estimate a share from its value, its variance and the number of items, which are less than so many answers."""
    value, variance, count = values
    inner = (value * count + 1) / (count + 2)  # Laplace: a share of 1 is not certain either
    effective = inner * (1 - inner) / variance if variance else count
    return share_estimate(value, min(count, effective), rng)


def mean_estimate(values: Sequence[float], rng: np.random.Generator) -> Estimate:
    """Estimate the mean of at least two values, with the interval of Student's t distribution."""
    mean, error = float(np.mean(values)), float(np.std(values, ddof=1)) / math.sqrt(len(values))
    draws = mean + error * rng.standard_t(len(values) - 1, NUM_DRAWS)
    low, high = np.quantile(draws, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2]).tolist()
    return Estimate(mean, min(mean, low), max(mean, high), draws)


def worst_to_best(estimates: Mapping[str, Estimate], lower_is_better: bool = False) -> Ratio | None:
    """Return the ratio of the worst to the best group; ``None`` for fewer than two, a score below 0, or if all are 0.

    The worst of many equal groups looks bad by chance. So the interval is wider than that of two groups that were
    chosen beforehand: it holds for all pairs of groups at once (Bonferroni).
    """
    names = sorted(estimates, key=lambda name: estimates[name].value, reverse=lower_is_better)
    if len(names) < 2 or estimates[names[-1]].value <= 0 or estimates[names[0]].value < 0:
        return None
    worst, best = estimates[names[0]], estimates[names[-1]]
    ratios = np.maximum(worst.draws, 0) / np.maximum(best.draws, MIN_BEST_PART * best.value)
    tail = (1 - CONFIDENCE) / 2 / math.comb(len(names), 2)
    low, high = np.quantile(ratios, [tail, 1 - tail]).tolist()
    value = worst.value / best.value
    return Ratio(value, min(low, value), max(high, value), names[0], names[-1])


def bootstrap_ratio(parts: Sequence[float], totals: Sequence[float], seed: int) -> tuple[float, float, float]:
    """Return the interval of ``sum(parts) / sum(totals)`` over random items, and its standard error.

    The items are drawn again with replacement (Efron 1979). If all parts are 0, the upper end is that of Wilson for
    ``sum(totals)`` answers.
    """
    pairs, rng = np.array([parts, totals], float), np.random.default_rng(seed)
    sums = np.array([pairs[:, rng.integers(len(parts), size=len(parts))].sum(1) for _ in range(NUM_RESAMPLES)])
    ratios = sums[:, 0] / sums[:, 1]
    low, high = np.quantile(ratios, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2]).tolist()
    return low, high if any(parts) else wilson_interval(0.0, sum(totals))[1], float(ratios.std())
